#include "fuzz/run_case.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/fake_runtime.h"
#include "tflite/delegate.h"
#include "tflite/op_options.h"

namespace tf_signbin {
namespace {

// A case's effort: activation elements, and those times the weights.
constexpr int64_t kMaxElements = 1 << 12;
constexpr int64_t kMaxEffort = 1 << 22;

[[noreturn]] void Die(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::abort();
}

int64_t Elements(const std::vector<int16_t>& dims) {
  int64_t elements = 1;
  for (const int size : dims) elements *= std::clamp(size, 0, 1 << 14);
  return elements;
}

bool IsTooLarge(const OpCase& c) {
  const int64_t weights = 8 * static_cast<int64_t>(c.tensors[1].data.size());
  // Any tensor can be named as the activation.
  for (const TensorCase& tensor : c.tensors) {
    if (tensor.dims.size() > 4 || Elements(tensor.dims) > kMaxElements) return true;
  }
  return c.resized.size() > 4 || Elements(c.resized) > kMaxElements ||
         std::max(Elements(c.tensors[0].dims), Elements(c.resized)) * weights > kMaxEffort;
}

std::vector<int> Indices(const std::vector<uint8_t>& bytes) {
  std::vector<int> indices;
  for (const uint8_t byte : bytes) indices.push_back(byte == 255 ? -1 : byte);
  return indices;
}

// The tensors and the node of a case.
class Model {
 public:
  explicit Model(const OpCase& c) : case_(c) {
    for (const TensorCase& tensor : c.tensors) {
      const std::vector<int> dims(tensor.dims.begin(), tensor.dims.end());
      const int index =
          runtime.AddTensor(tensor.type, dims, tensor.data.empty() ? nullptr : tensor.data.data(),
                            tensor.data.size());
      if (!tensor.scales.empty()) runtime.SetScales(index, tensor.scales);
      runtime.tensor(index).params = {tensor.scale, tensor.zero_point};
    }
    const std::vector<int> inputs = Indices(c.inputs), outputs = Indices(c.outputs);
    const auto option = [&c](size_t i) { return i < c.options.size() ? c.options[i] : uint8_t{0}; };
    if (c.op == kBuiltinConv) {
      const abi::TfLiteConvParams params = {option(0), option(1), option(2),
                                            option(3), option(4), option(5)};
      runtime.AddNode(abi::kBuiltinConv2D, nullptr, inputs, outputs, &params, sizeof(params));
    } else if (c.op == kBuiltinFullyConnected) {
      abi::TfLiteFullyConnectedParams params = {};
      params.activation = option(0);
      params.weights_format = option(1);
      params.keep_num_dims = option(2) & 1;
      runtime.AddNode(abi::kBuiltinFullyConnected, nullptr, inputs, outputs, &params,
                      sizeof(params));
    } else {
      runtime.AddNode(abi::kBuiltinCustom,
                      c.op == kPackedConv ? kConvOpName : kFullyConnectedOpName, inputs, outputs,
                      c.options.data(), c.options.size());
    }
  }

  bool Run(std::vector<uint8_t>* result) {
    const int source = case_.inputs.empty() ? -1 : case_.inputs[0];
    if (source < 5 && source >= 0 && runtime.tensor(source).allocation_type != abi::kMmapRo) {
      for (const int size : runtime.Dims(source)) {
        if (size < 0) return false;  // a runtime does not get as far
      }
      runtime.Allocate(source);
      Fill(&runtime.tensor(source));
    }
    if (runtime.Prepare() != abi::kOk || runtime.Invoke() != abi::kOk) return false;
    if (runtime.replaced() == 0) return false;
    const abi::TfLiteTensor& output = runtime.tensor(case_.outputs[0]);
    const auto* bytes = static_cast<const uint8_t*>(output.data);
    result->assign(bytes, bytes + (bytes == nullptr ? 0 : output.bytes));
    return true;
  }

  FakeRuntime runtime;

 private:
  void Fill(abi::TfLiteTensor* tensor) {
    if (case_.activation.empty() || tensor->data == nullptr) return;
    const size_t period = case_.activation.size();
    if (tensor->type == abi::kFloat32) {
      auto* values = static_cast<float*>(tensor->data);
      for (size_t i = 0; i < tensor->bytes / 4; ++i) {
        values[i] = static_cast<int8_t>(case_.activation[i % period]) / 16.0f;
      }
    } else {
      auto* values = static_cast<uint8_t*>(tensor->data);
      for (size_t i = 0; i < tensor->bytes; ++i) values[i] = case_.activation[i % period];
    }
  }

  const OpCase& case_;
};

struct Results {
  bool ran = false;
  std::string error;
  std::vector<std::vector<uint8_t>> outputs;
};

Results RunWith(const OpCase& c, const PlanOptions& plan) {
  DelegateOptions options;
  options.log_level = LogLevel::kError;
  options.num_threads = 1 + c.threads % 3;
  options.plan = plan;
  abi::TfLiteDelegate* delegate = CreateDelegate(options);
  Results results;
  {
    Model model(c);
    const auto run = [&] {
      results.outputs.emplace_back();
      return model.Run(&results.outputs.back());
    };
    const bool applied = delegate->Prepare(model.runtime.context(), delegate) == abi::kOk;
    results.ran = applied && run();
    if (results.ran && !c.resized.empty() && c.inputs[0] == 0) {
      model.runtime.SetDims(0, std::vector<int>(c.resized.begin(), c.resized.end()));
      run();  // a shape that does not fit is an error, and the next one that fits runs
      model.runtime.SetDims(0,
                            std::vector<int>(c.tensors[0].dims.begin(), c.tensors[0].dims.end()));
      const std::string error = model.runtime.error;
      if (!run()) Die("the first shape no longer runs: " + error + model.runtime.error);
      if (results.outputs.back() != results.outputs.front()) Die("the second result differs");
    }
    results.error = model.runtime.error;
    if (!applied && results.error.empty()) Die("refused without a message");
    if (results.ran && c.resized.empty() && !results.error.empty())
      Die("ran, but: " + results.error);
  }
  DestroyDelegate(delegate);
  return results;
}

}  // namespace

Outcome RunCase(const OpCase& op_case) {
  OpCase c = op_case;
  c.op %= 4;
  if (IsTooLarge(c)) return Outcome::kTooLarge;
  PlanOptions plan;
  const char* families[] = {"auto", "table", "permute", "dense", "reference"};
  plan.family = families[c.family % 5];
  const auto& isas = SupportedIsas();
  const size_t isa = c.isa % (isas.size() + 1);
  plan.isa = isa == 0 ? "auto" : isas[isa - 1];
  plan.group = c.group % 12;
  const Results results = RunWith(c, plan);

  PlanOptions reference;
  reference.family = "reference";
  const Results expected = RunWith(c, reference);
  const bool planned = plan.family == "auto" && plan.isa == "auto" && plan.group == 0;
  if (planned && expected.ran != results.ran) {
    Die("the reference family differs: '" + expected.error + "', planned: '" + results.error + "'");
  }
  if (!results.ran) return Outcome::kRefused;
  if (!expected.ran) Die("the reference family fails: " + expected.error);
  if (c.tensors[c.inputs[0]].type == abi::kInt8 && expected.outputs != results.outputs) {
    Die("family " + plan.family + ", isa " + plan.isa + " differs from the reference family");
  }
  return Outcome::kRan;
}

}  // namespace tf_signbin

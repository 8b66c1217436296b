#include "fuzz/run_case.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/families.h"
#include "fuzz/case_model.h"
#include "tflite/delegate.h"

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
    CaseModel model(c);
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
  const auto& families = KernelFamilies();
  const size_t family = c.family % (families.size() + 1);
  if (family > 0) plan.family = families[family - 1]->name;
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

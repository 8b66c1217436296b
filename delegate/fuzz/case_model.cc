#include "fuzz/case_model.h"

#include "tflite/op_options.h"

namespace tf_signbin {
namespace {

std::vector<int> Indices(const std::vector<uint8_t>& bytes) {
  std::vector<int> indices;
  for (const uint8_t byte : bytes) indices.push_back(byte == 255 ? -1 : byte);
  return indices;
}

}  // namespace

CaseModel::CaseModel(const OpCase& c) : case_(c) {
  for (const TensorCase& tensor : c.tensors) {
    const std::vector<int> dims(tensor.dims.begin(), tensor.dims.end());
    const int index = runtime.AddTensor(
        tensor.type, dims, tensor.data.empty() ? nullptr : tensor.data.data(), tensor.data.size());
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
    runtime.AddNode(abi::kBuiltinFullyConnected, nullptr, inputs, outputs, &params, sizeof(params));
  } else {
    runtime.AddNode(abi::kBuiltinCustom, c.op == kPackedConv ? kConvOpName : kFullyConnectedOpName,
                    inputs, outputs, c.options.data(), c.options.size());
  }
}

bool CaseModel::SetInput() {
  const int source = case_.inputs.empty() ? -1 : case_.inputs[0];
  if (source < 0 || source >= 5 || runtime.tensor(source).allocation_type == abi::kMmapRo) {
    return true;  // nothing to fill
  }
  for (const int size : runtime.Dims(source)) {
    if (size < 0) return false;
  }
  runtime.Allocate(source);
  Fill(&runtime.tensor(source));
  return true;
}

bool CaseModel::Run(std::vector<uint8_t>* result) {
  if (!SetInput()) return false;
  if (runtime.Prepare() != abi::kOk || runtime.Invoke() != abi::kOk) return false;
  if (runtime.replaced() == 0) return false;
  *result = Output();
  return true;
}

std::vector<uint8_t> CaseModel::Output() {
  const abi::TfLiteTensor& output = runtime.tensor(case_.outputs[0]);
  const auto* bytes = static_cast<const uint8_t*>(output.data);
  return std::vector<uint8_t>(bytes, bytes + (bytes == nullptr ? 0 : output.bytes));
}

void CaseModel::Fill(abi::TfLiteTensor* tensor) {
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

}  // namespace tf_signbin

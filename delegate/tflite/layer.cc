#include "tflite/layer.h"

#include "tflite/tensor_access.h"

namespace tf_signbin {
namespace {

Status CheckConstant(const char* what, const abi::TfLiteTensor* tensor, int type,
                     const std::vector<int64_t>& shape, size_t element_bytes) {
  if (tensor == nullptr) return Status::Error(std::string(what) + " tensor is missing");
  if (!IsConstant(*tensor)) return Status::Error(std::string(what) + " tensor is not constant");
  if (tensor->type != type) {
    return Status::Error(std::string(what) + " tensor has type " + std::to_string(tensor->type) +
                         "; it must be type " + std::to_string(type));
  }
  const std::vector<int> dims = Dims(*tensor);
  if (std::vector<int64_t>(dims.begin(), dims.end()) != shape) {
    std::string expected;
    for (const int64_t size : shape)
      expected += (expected.empty() ? "" : ", ") + std::to_string(size);
    return Status::Error(std::string(what) + " tensor has shape " + DimsText(dims) +
                         "; the options call for [" + expected + "]");
  }
  // The product cannot overflow: it is compared factor by factor with a size in memory.
  size_t elements = tensor->bytes / element_bytes;
  for (const int64_t size : shape) {
    if (size <= 0 || elements % static_cast<size_t>(size) != 0) elements = 0;
    if (size > 0) elements /= static_cast<size_t>(size);
  }
  if (elements != 1 || tensor->bytes % element_bytes != 0) {
    return Status::Error(std::string(what) + " tensor has " + std::to_string(tensor->bytes) +
                         " bytes, which does not fit its shape " + DimsText(dims));
  }
  return Status::Ok();
}

}  // namespace

Status ReadWeightScales(const abi::TfLiteTensor& weights, int filters, std::vector<float>* scales) {
  const abi::TfLiteAffineQuantization* affine = GetAffine(weights);
  if (affine == nullptr) return Status::Error("int8 weights have no scales");
  const int count = affine->scale->size;
  if (count != 1 && count != filters) {
    return Status::Error("int8 weights have " + std::to_string(count) +
                         " scales; there must be 1 or " + std::to_string(filters));
  }
  if (count > 1 && affine->quantized_dimension != 0) {
    return Status::Error("int8 weights are quantized along dimension " +
                         std::to_string(affine->quantized_dimension) + "; it must be 0");
  }
  if (affine->zero_point != nullptr) {
    for (int i = 0; i < affine->zero_point->size; ++i) {
      if (affine->zero_point->data[i] != 0) {
        return Status::Error("int8 weights have zero point " +
                             std::to_string(affine->zero_point->data[i]) + "; it must be 0");
      }
    }
  }
  scales->assign(affine->scale->data, affine->scale->data + count);
  return Status::Ok();
}

Status ReadBias(abi::TfLiteContext* context, int index, int filters, Layer* layer) {
  if (index == abi::kOptionalTensor) return Status::Ok();
  const abi::TfLiteTensor* bias = GetTensor(context, index);
  const bool is_float = layer->type == DataType::kFloat32;
  const Status status =
      CheckConstant("bias", bias, is_float ? abi::kFloat32 : abi::kInt32, {filters}, 4);
  if (!status.ok()) return status;
  is_float ? CopyConstant(*bias, &layer->bias_f32) : CopyConstant(*bias, &layer->bias_i32);
  return Status::Ok();
}

Status ReadPackedLayer(abi::TfLiteContext* context, const abi::TfLiteNode& node, OpType op,
                       const void* options, size_t options_size, Layer* layer) {
  layer->op = op;
  layer->input = TensorIndex(node.inputs, 0);
  layer->output = TensorIndex(node.outputs, 0);
  const abi::TfLiteTensor* input = GetTensor(context, layer->input);
  const abi::TfLiteTensor* output = GetTensor(context, layer->output);
  layer->name = TensorName(output, layer->output);
  Status status =
      ReadOpOptions(op, static_cast<const uint8_t*>(options), options_size, &layer->options);
  if (!status.ok()) return status;
  if (input == nullptr || output == nullptr || node.inputs->size < 3 || node.inputs->size > 4 ||
      node.outputs->size != 1) {
    return Status::Error("the operator must have 3 or 4 inputs and 1 output");
  }
  if (layer->input == layer->output) {
    return Status::Error("the operator's output is its input");
  }
  if (IsConstant(*output)) {  // of the file, which may be mapped read-only
    return Status::Error("the operator's output is a constant");
  }
  if (input->type != abi::kFloat32 && input->type != abi::kInt8) {
    return Status::Error("activation '" + TensorName(input, layer->input) + "' has type " +
                         std::to_string(input->type) + "; it must be float32 (1) or int8 (9)");
  }
  layer->type = input->type == abi::kFloat32 ? DataType::kFloat32 : DataType::kInt8;

  const OpOptions& o = layer->options;
  PackedFilters& f = layer->filters;
  f.kind = o.kind;
  f.out_c = o.out_channels;
  f.kernel_h = o.kernel_h;
  f.kernel_w = o.kernel_w;
  f.in_c = o.in_channels;
  f.regions = o.regions;
  f.pattern_n = o.pattern_n;
  f.pattern_m = o.pattern_m;

  // kernel_h * kernel_w * in_channels could overflow; a row of masks is at most a tensor's size.
  const int64_t area = static_cast<int64_t>(o.kernel_h) * o.kernel_w;
  const int64_t limit = int64_t{1} << 31;
  if (area > limit / o.in_channels) {
    return Status::Error("a filter of " + std::to_string(o.kernel_h) + " x " +
                         std::to_string(o.kernel_w) + " x " + std::to_string(o.in_channels) +
                         " weights is too large");
  }
  const abi::TfLiteTensor* masks = GetTensor(context, TensorIndex(node.inputs, 1));
  status = CheckConstant("masks", masks, abi::kUInt8,
                         {f.planes(), o.out_channels, (area * o.in_channels + 7) / 8}, 1);
  if (!status.ok()) return status;
  CopyConstant(*masks, &f.masks);

  const bool is_float = layer->type == DataType::kFloat32;
  const abi::TfLiteTensor* values = GetTensor(context, TensorIndex(node.inputs, 2));
  status = CheckConstant("values", values, is_float ? abi::kFloat32 : abi::kInt8,
                         {o.out_channels, o.regions, f.values_per_region()}, is_float ? 4 : 1);
  if (!status.ok()) return status;
  if (is_float) {
    CopyConstant(*values, &f.values_f32);
  } else {
    CopyConstant(*values, &f.values_i8);
    status = ReadWeightScales(*values, o.out_channels, &layer->weight_scales);
    if (!status.ok()) return status;
  }
  return ReadBias(context, TensorIndex(node.inputs, 3), o.out_channels, layer);
}

Status MakeOutputStage(const Layer& layer, const abi::TfLiteTensor& input,
                       const abi::TfLiteTensor& output, OutputStage* stage) {
  stage->bias_f32 = layer.bias_f32;
  stage->bias_i32 = layer.bias_i32;
  if (layer.type == DataType::kFloat32) {
    SetFloatActivation(layer.options.activation, stage);
    return Status::Ok();
  }
  return SetInt8Stage(layer.op, GetQuantization(input), layer.weight_scales,
                      GetQuantization(output), layer.options.activation, layer.options.out_channels,
                      stage);
}

}  // namespace tf_signbin

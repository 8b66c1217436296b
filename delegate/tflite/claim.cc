#include "tflite/claim.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "engine/dense_layers.h"
#include "engine/detect.h"
#include "engine/validate.h"
#include "tflite/tensor_access.h"

namespace tf_signbin {
namespace {

// Takes the attributes of a builtin operator over into `o`; false when one has no counterpart.
bool ReadConvParams(const abi::TfLiteConvParams& params, OpOptions* o) {
  o->stride_h = params.stride_height;
  o->stride_w = params.stride_width;
  o->dilation_h = params.dilation_height_factor;
  o->dilation_w = params.dilation_width_factor;
  o->padding = params.padding == abi::kPaddingSame ? Padding::kSame : Padding::kValid;
  return (params.padding == abi::kPaddingSame || params.padding == abi::kPaddingValid) &&
         o->stride_h >= 1 && o->stride_w >= 1 && o->dilation_h >= 1 && o->dilation_w >= 1 &&
         ReadActivation(params.activation, &o->activation);
}

bool ReadFullyConnectedParams(const abi::TfLiteFullyConnectedParams& params, OpOptions* o) {
  o->keep_num_dims = params.keep_num_dims;
  return params.weights_format == 0 && ReadActivation(params.activation, &o->activation);
}

// TFLite refuses a fully connected layer whose bias scale is far from input scale * weight scale.
bool BiasScaleFits(const abi::TfLiteTensor& input, float weight_scale,
                   const abi::TfLiteTensor& bias, const abi::TfLiteTensor& output) {
  const double product = static_cast<double>(input.params.scale) * weight_scale;
  return std::abs(product - bias.params.scale) / output.params.scale <= 0.02;
}

// Everything but the filters' values; the reason when the engine would not be exact.
std::string CheckForm(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                      const abi::TfLiteTensor& weights, Layer* layer) {
  const bool conv = layer->op == OpType::kConv2D;
  const abi::TfLiteTensor* input = GetTensor(context, layer->input);
  const abi::TfLiteTensor* output = GetTensor(context, layer->output);
  if (input == nullptr || output == nullptr || input == output || IsConstant(*output) ||
      node.outputs->size != 1 || node.inputs->size > 3) {
    return "it has not the usual inputs and outputs";
  }
  if (input->type != weights.type || output->type != weights.type) {
    return "activations and weights differ in type (" + std::to_string(input->type) + ", " +
           std::to_string(output->type) + " and " + std::to_string(weights.type) + ")";
  }
  const bool known =
      conv ? ReadConvParams(*static_cast<const abi::TfLiteConvParams*>(node.builtin_data),
                            &layer->options)
           : ReadFullyConnectedParams(
                 *static_cast<const abi::TfLiteFullyConnectedParams*>(node.builtin_data),
                 &layer->options);
  if (!known) return "an attribute has no counterpart";
  if (conv) {
    const std::vector<int> dims = Dims(*input);
    if (dims.size() != 4 || dims[3] != layer->filters.in_c) {
      return "input " + DimsText(dims) + " does not have " + std::to_string(layer->filters.in_c) +
             " channels (a grouped convolution?)";
    }
  }
  const int bias_index = TensorIndex(node.inputs, 2);
  Status status = ReadBias(context, bias_index, layer->filters.out_c, layer);
  if (!status.ok()) return status.message();
  if (layer->type == DataType::kInt8) {
    status = ReadWeightScales(weights, layer->filters.out_c, &layer->weight_scales);
    if (!status.ok()) return status.message();
    const abi::TfLiteTensor* bias = GetTensor(context, bias_index);
    if (!conv && bias != nullptr && layer->weight_scales.size() == 1 &&
        !BiasScaleFits(*input, layer->weight_scales[0], *bias, *output)) {
      return "its bias scale is not input scale * weight scale";
    }
  }
  OutputStage stage;
  status = MakeOutputStage(*layer, *input, *output, &stage);
  if (status.ok()) status = CheckFilters(layer->type, layer->filters);
  if (status.ok()) status = CheckOutputStage(layer->type, layer->filters, stage);
  return status.message();
}

// The constant weights of a builtin convolution or fully connected layer; fills operator, type,
// tensors, name and the sizes of the filters. Null when it is another operator, or one without.
const abi::TfLiteTensor* ReadGeometry(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                                      const abi::TfLiteRegistration& registration, Layer* layer) {
  const bool conv = registration.builtin_code == abi::kBuiltinConv2D;
  if (!conv && registration.builtin_code != abi::kBuiltinFullyConnected) return nullptr;
  if (node.builtin_data == nullptr) return nullptr;
  const abi::TfLiteTensor* weights = GetTensor(context, TensorIndex(node.inputs, 1));
  if (weights == nullptr || !IsConstant(*weights) || weights->sparsity != nullptr ||
      (weights->type != abi::kFloat32 && weights->type != abi::kInt8)) {
    return nullptr;
  }
  const std::vector<int> dims = Dims(*weights);
  if (dims.size() != (conv ? 4 : 2)) return nullptr;
  const size_t element_bytes = weights->type == abi::kFloat32 ? 4 : 1;
  size_t elements = weights->bytes / element_bytes;
  for (const int size : dims) {
    if (size <= 0 || elements % static_cast<size_t>(size) != 0) return nullptr;
    elements /= static_cast<size_t>(size);
  }
  if (elements != 1) return nullptr;

  layer->op = conv ? OpType::kConv2D : OpType::kFullyConnected;
  layer->type = weights->type == abi::kFloat32 ? DataType::kFloat32 : DataType::kInt8;
  layer->input = TensorIndex(node.inputs, 0);
  layer->output = TensorIndex(node.outputs, 0);
  layer->name = TensorName(GetTensor(context, layer->output), layer->output);
  PackedFilters& f = layer->filters;
  f.out_c = dims.front();
  f.kernel_h = conv ? dims[1] : 1;
  f.kernel_w = conv ? dims[2] : 1;
  f.in_c = dims.back();
  return weights;
}

void CopyFilterOptions(Layer* layer) {
  const PackedFilters& f = layer->filters;
  OpOptions& o = layer->options;
  o.kind = f.kind;
  o.kernel_h = f.kernel_h;
  o.kernel_w = f.kernel_w;
  o.in_channels = f.in_c;
  o.out_channels = f.out_c;
  o.regions = f.regions;
  o.pattern_n = f.pattern_n;
  o.pattern_m = f.pattern_m;
}

// Whether the engine wants the layer, whose dense filters are read, besides the packed ones.
bool EngineWants(const Layer& layer, const PlanOptions& options) {
  const OpOptions& o = layer.options;
  const OutputStage output;
  ConvProblem problem{layer.type, {}, &layer.filters, &output};
  problem.shape.in_c = o.in_channels;
  problem.shape.out_c = o.out_channels;
  problem.shape.kernel_h = o.kernel_h;
  problem.shape.kernel_w = o.kernel_w;
  problem.shape.stride_h = o.stride_h;
  problem.shape.stride_w = o.stride_w;
  problem.shape.dilation_h = o.dilation_h;
  problem.shape.dilation_w = o.dilation_w;
  return WantsDense(problem, options);
}

}  // namespace

bool ReadActivation(int code, Activation* activation) {
  switch (code) {
    case abi::kActNone:
      *activation = Activation::kNone;
      return true;
    case abi::kActRelu:
      *activation = Activation::kRelu;
      return true;
    case abi::kActReluN1To1:
      *activation = Activation::kReluN1To1;
      return true;
    case abi::kActRelu6:
      *activation = Activation::kRelu6;
      return true;
    default:
      return false;
  }
}

Claim ClaimBuiltin(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                   const abi::TfLiteRegistration& registration, Layer* layer, std::string* reason) {
  const abi::TfLiteTensor* weights = ReadGeometry(context, node, registration, layer);
  if (weights == nullptr) return Claim::kNo;
  PackedFilters& f = layer->filters;
  bool packed;
  if (layer->type == DataType::kFloat32) {
    // Only the model file's alignment is certain, and that only if the file is well made.
    std::vector<float> aligned;
    CopyConstant(*weights, &aligned);
    packed = PackByValue(aligned.data(), &f);
  } else {
    packed = PackByValue(static_cast<const int8_t*>(weights->data), &f);
  }
  if (!packed) return Claim::kNo;
  CopyFilterOptions(layer);
  *reason = CheckForm(context, node, *weights, layer);
  return reason->empty() ? Claim::kYes : Claim::kUnsupported;
}

bool ClaimDense(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                const abi::TfLiteRegistration& registration, const PlanOptions& options,
                Layer* layer) {
  const abi::TfLiteTensor* weights = ReadGeometry(context, node, registration, layer);
  if (weights == nullptr || layer->op != OpType::kConv2D || layer->type != DataType::kInt8) {
    return false;
  }
  PackedFilters& f = layer->filters;
  f.kind = WeightKind::kDense;
  CopyFilterOptions(layer);
  CopyConstant(*weights, &f.values_i8);
  return EngineWants(*layer, options) && CheckForm(context, node, *weights, layer).empty();
}

}  // namespace tf_signbin

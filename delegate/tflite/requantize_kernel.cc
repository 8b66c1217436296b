#include "tflite/requantize_kernel.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "engine/kernels/output/tflite_rules.h"
#include "engine/requantize.h"
#include "tflite/claim.h"
#include "tflite/layer.h"
#include "tflite/tensor_access.h"

namespace tf_signbin {
namespace {

class RequantizeKernel final : public NodeKernel {
 public:
  RequantizeKernel(int input, int output, std::string name, const Requantization& requantization,
                   std::shared_ptr<Runtime> runtime)
      : input_(input),
        output_(output),
        name_(std::move(name)),
        requantization_(requantization),
        runtime_(std::move(runtime)) {}

  Status Prepare(abi::TfLiteContext* context) override {
    pool_.reset();
    const abi::TfLiteTensor* input = GetTensor(context, input_);
    abi::TfLiteTensor* output = GetTensor(context, output_);
    if (input == nullptr || output == nullptr) return Fail("tensors are missing");
    if (input->type != abi::kInt8 || output->type != abi::kInt8) {
      return Fail("input and output must be int8");
    }
    const Status status = ResizeOutput(context, output, Dims(*input));
    if (!status.ok()) return Fail(status.message());
    bytes_ = 1;
    for (const int size : Dims(*input)) bytes_ *= static_cast<size_t>(size);
    pool_ = runtime_->Pool(context->recommended_num_threads);
    return Status::Ok();
  }

  Status Invoke(abi::TfLiteContext* context) override {
    if (pool_ == nullptr) return Fail("invoked without being prepared");
    const abi::TfLiteTensor& input = context->tensors[input_];
    const abi::TfLiteTensor& output = context->tensors[output_];
    if (input.bytes != bytes_ || output.bytes != bytes_) {
      return Fail("a tensor changed its size since it was prepared");
    }
    requantization_.Run(static_cast<const int8_t*>(input.data), bytes_,
                        static_cast<int8_t*>(output.data), *pool_);
    return Status::Ok();
  }

  const char* op_name() const override { return "TfSignBinRequantize"; }
  const std::string& name() const override { return name_; }

 private:
  Status Fail(const std::string& message) const {
    return Status::Error(std::string(op_name()) + " '" + name_ + "': " + message);
  }

  const int input_, output_;
  const std::string name_;
  const Requantization requantization_;
  const std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<ThreadPool> pool_;
  size_t bytes_ = 0;
};

// What TFLite's reference kernel makes of each activation in a channel.
ByteMap MapOf(const OutputStage& stage, int channel, int weight) {
  const int32_t bias = stage.bias_i32.empty() ? 0 : stage.bias_i32[channel];
  ByteMap map;
  for (int x = -128; x < 128; ++x) {
    const int64_t accumulator = int64_t{x - stage.input_zero_point} * weight + bias;
    const int32_t scaled = MultiplyByQuantizedMultiplier(
        static_cast<int32_t>(accumulator), stage.multiplier[channel], stage.shift[channel]);
    map[x + 128] = static_cast<int8_t>(std::clamp(AddZeroPoint(scaled, stage.output_zero_point),
                                                  stage.clamp_min_i8, stage.clamp_max_i8));
  }
  return map;
}

bool IsPointwise(const abi::TfLiteDepthwiseConvParams& params) {
  return params.stride_width == 1 && params.stride_height == 1 && params.depth_multiplier == 1 &&
         params.dilation_width_factor == 1 && params.dilation_height_factor == 1;
}

// What a node does to each activation, and about the quotient of its scales.
struct NodeMap {
  ByteMap map;
  double scale;
};

std::optional<NodeMap> ReadRelu(const abi::TfLiteTensor& input, const abi::TfLiteTensor& output) {
  // The runtime divides in float.
  const float scale = input.params.scale / output.params.scale;
  Layer layer;
  layer.type = DataType::kInt8;
  layer.options.out_channels = 1;
  layer.options.activation = Activation::kRelu;
  layer.weight_scales = {1.0f};
  OutputStage stage;
  if (!MakeOutputStage(layer, input, output, &stage).ok()) return std::nullopt;
  QuantizeMultiplier(scale, &stage.multiplier[0], &stage.shift[0]);
  return NodeMap{MapOf(stage, 0, 1), scale};
}

std::optional<NodeMap> ReadDepthwise(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                                     const abi::TfLiteTensor& input,
                                     const abi::TfLiteTensor& output) {
  const auto& params = *static_cast<const abi::TfLiteDepthwiseConvParams*>(node.builtin_data);
  Layer layer;
  layer.type = DataType::kInt8;
  const abi::TfLiteTensor* weights = GetTensor(context, TensorIndex(node.inputs, 1));
  if (weights == nullptr || !IsConstant(*weights) || weights->sparsity != nullptr ||
      weights->type != abi::kInt8 || !IsPointwise(params) ||
      !ReadActivation(params.activation, &layer.options.activation)) {
    return std::nullopt;
  }
  const std::vector<int> dims = Dims(*weights), in_dims = Dims(input);
  if (dims.size() != 4 || dims[0] != 1 || dims[1] != 1 || dims[2] != 1 || in_dims.size() != 4 ||
      dims[3] < 1 || dims[3] != in_dims[3] || weights->bytes != static_cast<size_t>(dims[3])) {
    return std::nullopt;
  }
  const int channels = layer.options.out_channels = dims[3];
  const abi::TfLiteAffineQuantization* affine = GetAffine(*weights);
  if (affine == nullptr || (affine->scale->size > 1 && affine->quantized_dimension != 3)) {
    return std::nullopt;
  }
  layer.weight_scales.assign(affine->scale->data, affine->scale->data + affine->scale->size);
  OutputStage stage;
  if (!ReadBias(context, TensorIndex(node.inputs, 2), channels, &layer).ok() ||
      !MakeOutputStage(layer, input, output, &stage).ok()) {
    return std::nullopt;
  }
  const auto* values = static_cast<const int8_t*>(weights->data);
  const ByteMap map = MapOf(stage, 0, values[0]);
  for (int channel = 1; channel < channels; ++channel) {
    if (MapOf(stage, channel, values[channel]) != map) return std::nullopt;
  }
  const double scale = static_cast<double>(input.params.scale) * layer.weight_scales[0] *
                       values[0] / output.params.scale;
  return NodeMap{map, scale};
}

}  // namespace

std::unique_ptr<NodeKernel> ClaimRequantization(abi::TfLiteContext* context,
                                                const abi::TfLiteNode& node,
                                                const abi::TfLiteRegistration& registration,
                                                std::shared_ptr<Runtime> runtime) {
  const bool relu = registration.builtin_code == abi::kBuiltinRelu;
  if (!relu && (registration.builtin_code != abi::kBuiltinDepthwiseConv2D ||
                node.builtin_data == nullptr || node.inputs->size > 3)) {
    return nullptr;
  }
  const int in = TensorIndex(node.inputs, 0), out = TensorIndex(node.outputs, 0);
  const abi::TfLiteTensor* input = GetTensor(context, in);
  const abi::TfLiteTensor* output = GetTensor(context, out);
  if (input == nullptr || output == nullptr || input == output || IsConstant(*output) ||
      input->type != abi::kInt8 || output->type != abi::kInt8 || node.outputs->size != 1) {
    return nullptr;
  }
  const auto read =
      relu ? ReadRelu(*input, *output) : ReadDepthwise(context, node, *input, *output);
  if (!read) return nullptr;
  const auto params = FindRequantization(read->map, read->scale);
  if (!params) return nullptr;
  const Requantization requantization(*params, runtime->options().plan);
  if (!requantization.vectorized()) return nullptr;
  return std::make_unique<RequantizeKernel>(in, out, TensorName(output, out), requantization,
                                            std::move(runtime));
}

}  // namespace tf_signbin

#include "tflite/quantization.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace tf_signbin {
namespace {

// A float of a model's file in a message.
std::string Str(float value) { return std::to_string(value); }

bool IsScale(float scale) { return std::isfinite(scale) && scale > 0; }

// zero_point + round(value / scale), saturated; TFLite computes in float and rounds half away.
int32_t Quantize(float value, const TensorQuantization& q) {
  const double steps = std::round(value / q.scale);
  return static_cast<int32_t>(std::clamp(q.zero_point + steps, -1e9, 1e9));
}

}  // namespace

void QuantizeMultiplier(double real, int32_t* multiplier, int32_t* shift) {
  *multiplier = 0;
  *shift = 0;
  if (real == 0) return;
  int exponent;
  const double fraction = std::frexp(real, &exponent);
  int64_t fixed = static_cast<int64_t>(std::round(fraction * (int64_t{1} << 31)));
  if (fixed == int64_t{1} << 31) {
    fixed /= 2;
    ++exponent;
  }
  if (exponent < -31) return;  // all bits would be shifted out
  *multiplier = static_cast<int32_t>(fixed);
  *shift = exponent;
}

void SetFloatActivation(Activation activation, OutputStage* output) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  output->clamp_min_f32 = -kInfinity;
  output->clamp_max_f32 = kInfinity;
  if (activation == Activation::kReluN1To1) output->clamp_min_f32 = -1;
  if (activation == Activation::kRelu || activation == Activation::kRelu6)
    output->clamp_min_f32 = 0;
  if (activation == Activation::kReluN1To1) output->clamp_max_f32 = 1;
  if (activation == Activation::kRelu6) output->clamp_max_f32 = 6;
}

Status SetInt8Stage(OpType op, const TensorQuantization& input,
                    const std::vector<float>& weight_scales, const TensorQuantization& out,
                    Activation activation, int filters, OutputStage* output) {
  if (!IsScale(input.scale)) {
    return Status::Error("the input's scale is " + Str(input.scale) + "; it must be above 0");
  }
  if (!IsScale(out.scale)) {
    return Status::Error("the output's scale is " + Str(out.scale) + "; it must be above 0");
  }
  if (weight_scales.size() != 1 && weight_scales.size() != static_cast<size_t>(filters)) {
    return Status::Error("the values have " + std::to_string(weight_scales.size()) +
                         " scales; there must be 1 or " + std::to_string(filters));
  }
  output->input_zero_point = input.zero_point;
  output->output_zero_point = out.zero_point;
  for (int filter = 0; filter < filters; ++filter) {
    const float scale = weight_scales[weight_scales.size() == 1 ? 0 : filter];
    if (!IsScale(scale)) {
      return Status::Error("scale " + std::to_string(filter) + " of the values is " + Str(scale) +
                           "; it must be above 0");
    }
    const double real = static_cast<double>(input.scale) * static_cast<double>(scale) /
                        static_cast<double>(out.scale);
    if (op == OpType::kFullyConnected) {  // its reference kernel rounds once, in double
      output->real_multiplier.push_back(real);
      continue;
    }
    int32_t multiplier, shift;
    QuantizeMultiplier(real, &multiplier, &shift);
    if (shift > 30) {
      return Status::Error("filter " + std::to_string(filter) + ": input scale * weight scale / " +
                           "output scale is " + std::to_string(real) + ", beyond 2^30");
    }
    output->multiplier.push_back(multiplier);
    output->shift.push_back(shift);
  }
  output->clamp_min_i8 = -128;
  output->clamp_max_i8 = 127;
  if (activation == Activation::kRelu || activation == Activation::kRelu6) {
    output->clamp_min_i8 = std::max(-128, Quantize(0.0f, out));
  }
  if (activation == Activation::kRelu6) {
    output->clamp_max_i8 = std::min(127, Quantize(6.0f, out));
  }
  if (activation == Activation::kReluN1To1) {
    output->clamp_min_i8 = std::max(-128, Quantize(-1.0f, out));
    output->clamp_max_i8 = std::min(127, Quantize(1.0f, out));
  }
  return Status::Ok();
}

}  // namespace tf_signbin

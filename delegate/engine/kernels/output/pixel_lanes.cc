#include "engine/kernels/output/pixel_lanes.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "engine/kernels/output/filter_lanes.h"
#include "engine/kernels/output/tflite_rules.h"

namespace tf_signbin {
namespace output {

void SetMultiplier(const OutputStage& output, int filter, ParamsI8* params) {
  const bool fixed_point = output.real_multiplier.empty();
  params->multiplier = fixed_point ? output.multiplier[filter] : 0;
  params->left_shift = static_cast<uint8_t>(fixed_point ? std::max(0, output.shift[filter]) : 0);
  params->right_shift = static_cast<uint8_t>(fixed_point ? std::max(0, -output.shift[filter]) : 0);
}

bool AllowsFast(const OutputStage& output, int filter, int64_t magnitude, int largest) {
  if (!output.real_multiplier.empty()) return false;
  const int shift = output.shift[filter];
  if (shift < -16 || shift > -1) return false;
  const int64_t bias = output.bias_i32.empty() ? 0 : std::abs(int64_t{output.bias_i32[filter]});
  const double sum = static_cast<double>(magnitude * largest + bias);
  return std::ldexp(sum * output.multiplier[filter], shift - 31) < 32000;
}

bool FindFloatParams(const OutputStage& output, int filter, const ParamsI8& params, bool sums_alone,
                     int64_t least, int64_t most, FloatParamsI8* found) {
  // Multiples of the filter's one weight are fewer, and so more often expressible.
  FilterSums sums;
  sums.d = sums_alone ? std::max(std::abs(int{params.scale}), 1) : 1;
  sums.bias = params.bias;
  sums.least = least / sums.d;
  sums.most = most / sums.d;
  FloatRescale rescale;
  if (!FindFloatRescale(output, filter, sums, &rescale)) return false;
  found->scale = rescale.scale;
  found->correction = rescale.correction;
  found->offset = rescale.offset;
  found->negative_offset = rescale.negative_offset;
  found->split = rescale.split;
  found->addend = static_cast<int16_t>(rescale.addend);
  found->factor = static_cast<int16_t>(params.scale / sums.d);
  return true;
}

ArgsI8 MakeArgs(const OutputStage& output, const std::vector<ParamsI8>& params, bool fast,
                int first, int count) {
  ArgsI8 args{};
  args.params = &params[first];
  args.filters = count;
  args.zero_point = output.output_zero_point;
  args.clamp_min = output.clamp_min_i8;
  args.clamp_max = output.clamp_max_i8;
  args.real_multipliers = output.real_multiplier.empty() ? nullptr : &output.real_multiplier[first];
  args.fast = fast;
  args.exact_negative = output.clamp_min_i8 < output.output_zero_point;
  return args;
}

ArgsF32 MakeArgs(const OutputStage& output, const std::vector<ParamsF32>& params, bool /*fast*/,
                 int first, int count) {
  ArgsF32 args{};
  args.params = &params[first];
  args.filters = count;
  args.clamp_min = output.clamp_min_f32;
  args.clamp_max = output.clamp_max_f32;
  return args;
}

const PixelLanesOps& PixelLanesOpsFor(Isa isa) {
  switch (isa) {
#if defined(__x86_64__) || defined(__i386__)
    case Isa::kAvx2:
    case Isa::kAvxVnni:
      return kPixelLanesOpsAvx2;
    case Isa::kAvx512:
    case Isa::kAvx512Vnni:
    case Isa::kAmx:
      return kPixelLanesOpsAvx512;
#elif defined(__aarch64__) || defined(__arm__)
    case Isa::kNeon:
    case Isa::kNeonDot:
    case Isa::kNeonI8mm:
      return kPixelLanesOpsNeon;
#endif
    default:
      return kPixelLanesOpsPortable;
  }
}

}  // namespace output
}  // namespace tf_signbin

#include "engine/kernels/table/output_params.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace tf_signbin {
namespace table {

void SetMultiplier(const OutputStage& output, int filter, OutputParamsI8* params) {
  const bool fixed_point = output.real_multiplier.empty();
  params->multiplier = fixed_point ? output.multiplier[filter] : 0;
  params->left_shift = static_cast<uint8_t>(fixed_point ? std::max(0, output.shift[filter]) : 0);
  params->right_shift = static_cast<uint8_t>(fixed_point ? std::max(0, -output.shift[filter]) : 0);
}

bool AllowsFastOutput(const OutputStage& output, int filter, int64_t magnitude) {
  if (!output.real_multiplier.empty()) return false;
  const int shift = output.shift[filter];
  if (shift < -16 || shift > -1) return false;
  const int64_t largest = std::max(128 + output.input_zero_point, 127 - output.input_zero_point);
  const int64_t bias = output.bias_i32.empty() ? 0 : std::abs(int64_t{output.bias_i32[filter]});
  const double sum = static_cast<double>(magnitude * largest + bias);
  return std::ldexp(sum * output.multiplier[filter], shift - 31) < 32000;
}

}  // namespace table
}  // namespace tf_signbin

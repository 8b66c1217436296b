// TensorFlow Lite's two ways of rescaling an int32 accumulator: in fixed point with two roundings,
// and in double with one. One number at a time; vector code computes the same in other steps.
//
// The fixed-point rule in closed form, for an accumulator x, a multiplier m, 0 <= m < 2^31, and a
// shift to the right by s >= 0 (a shift to the left comes first, and wraps):
//   (1) p = x * m                                    in 64 bits
//   (2) h = floor((p + 2^30) / 2^31)                 gemmlowp's nudge and truncation, either sign
//   (3) r = floor((h + 2^(s-1) - (h < 0)) / 2^s)     s >= 1: halves away from zero; s = 0: r = h
// Nested floors of divisions by powers of two merge, which makes one shift of (2) and (3):
//   (4) r = floor((p + 2^30 + 2^31 * (2^(s-1) - (h < 0))) / 2^(31+s))
// and p may tell the sign in place of h: they differ where -2^30 <= p < 0, which makes h = 0, and
// there (4) is 0 with either, as 0 <= p + 2^30 < 2^30 and s >= 1:
//   (5) r = floor((p + 2^30 + 2^(30+s) - 2^31 * (p < 0)) / 2^(31+s))
// Whole numbers added to r move into the sum, so the output's zero point z costs nothing:
//   (6) r + z = floor((p + 2^30 + 2^(30+s) + z * 2^(31+s) - 2^31 * (p < 0)) / 2^(31+s))
// nor does a bias, as (x + bias) * m = x * m + bias * m. The sign only decides how halves below
// zero are rounded: where the clamp begins at the zero point it is left out, as r <= 0 either way.
//
// Functions are `static` on purpose: kernel files are compiled for several instruction sets, and an
// ordinary inline function could be merged into a copy that an older CPU cannot run.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_TFLITE_RULES_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_TFLITE_RULES_H_

#include <cmath>
#include <cstdint>

namespace tf_signbin {

// round(a * b / 2^31), ties away from zero, as gemmlowp's SaturatingRoundingDoublingHighMul.
// `b` is a quantized multiplier (>= 0), so the one saturating case, both INT32_MIN, cannot occur.
[[maybe_unused]] static inline int32_t RoundingDoublingHighMul(int32_t a, int32_t b) {
  const int64_t product = static_cast<int64_t>(a) * b;
  const int64_t nudge = product >= 0 ? (int64_t{1} << 30) : (1 - (int64_t{1} << 30));
  return static_cast<int32_t>((product + nudge) / (int64_t{1} << 31));
}

// x / 2^exponent, rounded to nearest, ties away from zero; exponent in [0, 31].
[[maybe_unused]] static inline int32_t RoundingDivideByPowerOfTwo(int32_t x, int exponent) {
  const int32_t mask = static_cast<int32_t>((int64_t{1} << exponent) - 1);
  const int32_t remainder = x & mask;
  const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
  return (x >> exponent) + (remainder > threshold ? 1 : 0);
}

// x * multiplier / 2^31 * 2^shift. A left shift that overflows wraps, as the compiled reference
// does.
[[maybe_unused]] static inline int32_t MultiplyByQuantizedMultiplier(int32_t x, int32_t multiplier,
                                                                     int shift) {
  const int left = shift > 0 ? shift : 0;
  const int right = shift > 0 ? 0 : -shift;
  const int32_t shifted = static_cast<int32_t>(static_cast<uint32_t>(x) << left);
  return RoundingDivideByPowerOfTwo(RoundingDoublingHighMul(shifted, multiplier), right);
}

// One rounding, halves away from zero. The caller knows that the result fits (CheckOutputStage).
[[maybe_unused]] static inline int32_t MultiplyByRealMultiplier(int32_t x, double multiplier) {
  return static_cast<int32_t>(std::round(static_cast<double>(x) * multiplier));
}

// Wraps at the ends of int32, where only a multiplier far above 1 leads.
[[maybe_unused]] static inline int32_t AddZeroPoint(int32_t scaled, int32_t zero_point) {
  return static_cast<int32_t>(static_cast<uint32_t>(scaled) + static_cast<uint32_t>(zero_point));
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_TFLITE_RULES_H_

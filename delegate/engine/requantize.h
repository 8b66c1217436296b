// TensorFlow Lite's two ways of rescaling an int32 accumulator: in fixed point with two roundings,
// and in double with one.
//
// Functions are `static` on purpose: kernel files are compiled for several instruction sets, and an
// ordinary inline function could be merged into a copy that an older CPU cannot run.
#ifndef TF_SIGNBIN_ENGINE_REQUANTIZE_H_
#define TF_SIGNBIN_ENGINE_REQUANTIZE_H_

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

#endif  // TF_SIGNBIN_ENGINE_REQUANTIZE_H_

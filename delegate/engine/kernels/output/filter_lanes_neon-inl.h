// The rules of filter_lanes.h that need no floats, on the accumulators of one pixel in vectors of
// four filters, for 64-bit NEON files of any extension: objects that are made once for 16 filters
// and called for each pixel.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_LANES_NEON_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_LANES_NEON_INL_H_

#include <arm_neon.h>

#include "engine/kernels/output/filter_lanes_view.h"

namespace tf_signbin {
namespace {

constexpr int kLaneVectors = 4;
constexpr int kLaneFilters = 4 * kLaneVectors;

// Two vectors of 32 bits as one of 16, saturated.
inline int16x8_t Narrow(int32x4_t low, int32x4_t high) {
  return vqmovn_high_s32(vqmovn_s32(low), high);
}

// (2), then (3) of tflite_rules.h where every filter shifts right by s >= 1: no sum wraps. Without
// kSigns a negative result may come out one too large.
template <bool kSigns>
class RightShiftScale {
 public:
  RightShiftScale(const RescaleView& r, int lane) : zero_point_(vdupq_n_s16(r.addend[lane])) {
    for (int v = 0; v < kLaneVectors; ++v) {
      multiplier_[v] = vld1q_s32(r.multiplier + lane + 4 * v);
      shift_[v] = vnegq_s32(vld1q_s32(r.right_shift + lane + 4 * v));
    }
  }

  // Of vectors v and v + 1, with the zero point.
  int16x8_t operator()(int32x4_t low, int32x4_t high, int v) const {
    return vqaddq_s16(Narrow(Scale(low, v), Scale(high, v + 1)), zero_point_);
  }

 private:
  int32x4_t Scale(int32x4_t x, int v) const {
    x = vqrdmulhq_s32(x, multiplier_[v]);
    // A rounding shift rounds halves up; below zero they must go down.
    if (kSigns) x = vsraq_n_s32(x, x, 31);
    return vrshlq_s32(x, shift_[v]);
  }

  int32x4_t multiplier_[kLaneVectors], shift_[kLaneVectors];
  int16x8_t zero_point_;
};

// Those of any shift. Sums wrap where the reference's do.
class FixedPointScale {
 public:
  FixedPointScale(const RescaleView& r, int lane)
      : left_(r.left_shift + lane),
        multiplier_(r.multiplier + lane),
        right_(r.right_shift + lane),
        zero_point_(vdupq_n_s32(r.addend[lane])) {}

  int16x8_t operator()(int32x4_t low, int32x4_t high, int v) const {
    return Narrow(Scale(low, v), Scale(high, v + 1));
  }

 private:
  int32x4_t Scale(int32x4_t x, int v) const {
    x = vshlq_s32(x, vld1q_s32(left_ + 4 * v));
    x = vqrdmulhq_s32(x, vld1q_s32(multiplier_ + 4 * v));
    const int32x4_t shift = vnegq_s32(vld1q_s32(right_ + 4 * v));
    x = vqaddq_s32(x, vshrq_n_s32(vandq_s32(x, shift), 31));  // as above, but for shifts by 0
    return vaddq_s32(vrshlq_s32(x, shift), zero_point_);
  }

  const int32_t *const left_, *const multiplier_, *const right_;
  const int32x4_t zero_point_;
};

// round(x * multiplier) in double, halves away from zero.
class RealScale {
 public:
  RealScale(const RescaleView& r, int lane)
      : multiplier_(r.real_multiplier + lane), zero_point_(vdupq_n_s32(r.addend[lane])) {}

  int16x8_t operator()(int32x4_t low, int32x4_t high, int v) const {
    return Narrow(Scale(low, v), Scale(high, v + 1));
  }

 private:
  int32x4_t Scale(int32x4_t x, int v) const {
    const int64x2_t low = Scale(vmovl_s32(vget_low_s32(x)), multiplier_ + 4 * v);
    const int64x2_t high = Scale(vmovl_high_s32(x), multiplier_ + 4 * v + 2);
    return vaddq_s32(vuzp1q_s32(vreinterpretq_s32_s64(low), vreinterpretq_s32_s64(high)),
                     zero_point_);
  }

  static int64x2_t Scale(int64x2_t x, const double* multiplier) {
    return vcvtaq_s64_f64(vmulq_f64(vcvtq_f64_s64(x), vld1q_f64(multiplier)));
  }

  const double* const multiplier_;
  const int32x4_t zero_point_;
};

// The accumulators of 16 filters as bytes. Saturating before the clamp changes nothing: the clamp
// lies within.
template <class Scale>
inline int8x16_t ToBytes(const Scale& scale, const int32x4_t (&x)[kLaneVectors], int8x16_t least,
                         int8x16_t most) {
  const int16x8_t low = scale(x[0], x[1], 0), high = scale(x[2], x[3], 2);
  const int8x16_t bytes = vqmovn_high_s16(vqmovn_s16(low), high);
  return vminq_s8(vmaxq_s8(bytes, least), most);
}

// The first `count` of 16 bytes.
inline void StoreBytes(int8x16_t bytes, int count, int8_t* to) {
  if (count >= kLaneFilters) return vst1q_s8(to, bytes);
  int8_t all[kLaneFilters];
  vst1q_s8(all, bytes);
  for (int i = 0; i < count; ++i) to[i] = all[i];
}

constexpr bool kTakesSums = false;  // but accumulators
template <bool kSigns>
struct FloatScale;

}  // namespace
}  // namespace tf_signbin

#include "engine/kernels/output/with_scale-inl.h"

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_LANES_NEON_INL_H_

// The rules of filter_lanes.h on pairs of vectors of eight accumulators, for files compiled for
// AVX2: objects that are made once for 16 filters and called for each pixel with the accumulators
// of vector `kVector`. They return 32-bit integers that lack the addend and the clamp; those
// with kRoundsDown are called under RoundDown.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_VECTORS_AVX2_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_VECTORS_AVX2_INL_H_

#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/output/filter_lanes_view.h"
#include "engine/kernels/output/real_rule_avx2-inl.h"
#include "engine/kernels/output/round_down_avx2-inl.h"

namespace tf_signbin {
namespace {

inline __m256i LoadLanes(const int32_t* parameters, int lane) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(parameters + lane));
}

// Under RoundDown, which keeps the sums on their side of the whole numbers.
template <bool kSigns>
struct FloatScale {
  static constexpr bool kRoundsDown = true;
  const RescaleView r;
  const int lane;

  FloatScale(const RescaleView& view, int first_lane) : r(view), lane(first_lane) {}

  template <int kVector>
  __m256i Of(__m256i sum) const {
    const int at = lane + 8 * kVector;
    const __m256 x = _mm256_cvtepi32_ps(sum);  // exact, or beyond the clamp
    __m256 c = _mm256_load_ps(r.offset + at);
    if (kSigns) {
      const __m256i below = _mm256_cmpgt_epi32(LoadLanes(r.split, at), sum);
      c = _mm256_blendv_ps(c, _mm256_load_ps(r.negative_offset + at), _mm256_castsi256_ps(below));
    }
    const __m256 inner = _mm256_fmadd_ps(x, _mm256_load_ps(r.correction + at), c);
    return _mm256_cvtps_epi32(_mm256_fmadd_ps(x, _mm256_load_ps(r.scale + at), inner));
  }
};

// TFLite's MultiplyByQuantizedMultiplier: (2), then (3) of tflite_rules.h.
struct FixedPointScale {
  static constexpr bool kRoundsDown = false;
  const RescaleView r;
  const int lane;

  FixedPointScale(const RescaleView& view, int first_lane) : r(view), lane(first_lane) {}

  template <int kVector>
  __m256i Of(__m256i x) const {
    const int at = lane + 8 * kVector;
    const __m256i multiplier = LoadLanes(r.multiplier, at);
    const __m256i remainder = LoadLanes(r.remainder, at);
    const __m256i nudge = _mm256_set1_epi64x(1 << 30);
    x = _mm256_sllv_epi32(x, LoadLanes(r.left_shift, at));
    const __m256i even =
        _mm256_srli_epi64(_mm256_add_epi64(_mm256_mul_epi32(x, multiplier), nudge), 31);
    const __m256i odd = _mm256_slli_epi64(
        _mm256_add_epi64(
            _mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(multiplier, 32)), nudge),
        1);
    x = _mm256_blend_epi32(even, odd, 0xaa);
    // Compared, not added: near the ends of 32 bits a sum would wrap.
    const __m256i half =
        _mm256_sub_epi32(_mm256_srli_epi32(remainder, 1), _mm256_srai_epi32(x, 31));
    const __m256i up = _mm256_cmpgt_epi32(_mm256_and_si256(x, remainder), half);
    return _mm256_sub_epi32(_mm256_srav_epi32(x, LoadLanes(r.right_shift, at)), up);
  }
};

// The same where every filter shifts right by s >= 1: (5) of tflite_rules.h. Without kSigns a
// negative result may come out one too large.
template <bool kSigns>
struct RightShiftScale {
  static constexpr bool kRoundsDown = false;
  const RescaleView r;
  const int lane;

  RightShiftScale(const RescaleView& view, int first_lane) : r(view), lane(first_lane) {}

  template <int kVector>
  __m256i Of(__m256i x) const {
    const int at = lane + 8 * kVector;
    const __m256i multiplier = LoadLanes(r.multiplier, at);
    const int64_t* rounding = r.rounding64 + lane + 4 * kVector;
    const __m256i even = Scale(x, multiplier, rounding);
    const __m256i odd =
        Scale(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(multiplier, 32), rounding + 8);
    return _mm256_srav_epi32(_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa),
                             LoadLanes(r.high_shift, at));
  }

 private:
  // The even lanes of x, but for the shift by s - 1, in the high halves of 64-bit lanes.
  static __m256i Scale(__m256i x, __m256i multiplier, const int64_t* rounding) {
    const __m256i product = _mm256_mul_epi32(x, multiplier);
    const __m256i sum =
        _mm256_add_epi64(product, _mm256_load_si256(reinterpret_cast<const __m256i*>(rounding)));
    if (!kSigns) return sum;
    const __m256i negative = _mm256_cmpgt_epi64(_mm256_setzero_si256(), product);
    return _mm256_sub_epi64(sum, _mm256_and_si256(negative, _mm256_set1_epi64x(int64_t{1} << 31)));
  }
};

struct RealScale {
  static constexpr bool kRoundsDown = false;
  const double* multiplier;

  RealScale(const RescaleView& r, int lane) : multiplier(r.real_multiplier + lane) {}

  template <int kVector>
  __m256i Of(__m256i x) const {
    const __m128i low = MultiplyByReal(_mm256_castsi256_si128(x), multiplier + 8 * kVector);
    const __m128i high =
        MultiplyByReal(_mm256_extracti128_si256(x, 1), multiplier + 8 * kVector + 4);
    return _mm256_set_m128i(high, low);
  }
};

constexpr bool kTakesSums = true;

}  // namespace
}  // namespace tf_signbin

#include "engine/kernels/output/with_scale-inl.h"

namespace tf_signbin {
namespace {

// Of 16 filters of one pixel, as words [0-3, 8-11, 4-7, 12-15].
template <typename Scale>
__m256i ToWords(const Scale& scale, __m256i low, __m256i high) {
  return _mm256_packs_epi32(scale.template Of<0>(low), scale.template Of<1>(high));
}

// What words of 16 filters become: saturating to 16 and 8 bits before the clamp changes nothing, as
// the clamp lies within.
struct ByteRule {
  __m256i addend, least, most;

  ByteRule(const int16_t* addends, int8_t least_value, int8_t most_value)
      : addend(_mm256_permute4x64_epi64(
            _mm256_load_si256(reinterpret_cast<const __m256i*>(addends)), 0xd8)),
        least(_mm256_set1_epi8(least_value)),
        most(_mm256_set1_epi8(most_value)) {}

  // The bytes of two pixels, one behind the other.
  __m256i operator()(__m256i first, __m256i second) const {
    const __m256i y =
        _mm256_packs_epi16(_mm256_adds_epi16(first, addend), _mm256_adds_epi16(second, addend));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    return _mm256_permutevar8x32_epi32(_mm256_max_epi8(_mm256_min_epi8(y, most), least), order);
  }
};

}  // namespace
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_VECTORS_AVX2_INL_H_

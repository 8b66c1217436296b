// The rules of filter_lanes.h on vectors of 16 accumulators, for files compiled for AVX-512 (F, BW,
// DQ, VL): objects that are made once for a vector of filters and called for each pixel with what
// kTakesSums names, sums (FilterSums) or accumulators. They return 32-bit integers that lack the
// addend and the clamp.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_LANES_AVX512_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_LANES_AVX512_INL_H_

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "engine/kernels/output/filter_lanes_view.h"

namespace tf_signbin {
namespace {

inline __m512i LoadLanes(const int32_t* parameters, int lane) {
  return _mm512_load_si512(parameters + lane);
}

// Rounding down keeps the sums on their side of the whole numbers.
template <bool kSigns>
struct FloatScale {
  static constexpr bool kTakesSums = true;
  __m512 scale, correction, offset, negative_offset;
  __m512i split;

  FloatScale(const RescaleView& r, int lane)
      : scale(_mm512_load_ps(r.scale + lane)),
        correction(_mm512_load_ps(r.correction + lane)),
        offset(_mm512_load_ps(r.offset + lane)),
        negative_offset(_mm512_load_ps(r.negative_offset + lane)),
        split(LoadLanes(r.split, lane)) {}

  __m512i operator()(__m512i sum) const {
    constexpr int kDown = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
    const __m512 x = _mm512_cvtepi32_ps(sum);  // exact, or beyond the clamp
    const __m512 c =
        kSigns ? _mm512_mask_blend_ps(_mm512_cmplt_epi32_mask(sum, split), offset, negative_offset)
               : offset;
    const __m512 y =
        _mm512_fmadd_round_ps(x, scale, _mm512_fmadd_round_ps(x, correction, c, kDown), kDown);
    return _mm512_cvt_roundps_epi32(y, kDown);
  }
};

// TFLite's MultiplyByQuantizedMultiplier: (2), then (3) of tflite_rules.h.
struct FixedPointScale {
  static constexpr bool kTakesSums = false;
  __m512i multiplier, left, right, remainder;

  FixedPointScale(const RescaleView& r, int lane)
      : multiplier(LoadLanes(r.multiplier, lane)),
        left(LoadLanes(r.left_shift, lane)),
        right(LoadLanes(r.right_shift, lane)),
        remainder(LoadLanes(r.remainder, lane)) {}

  __m512i operator()(__m512i x) const {
    x = _mm512_sllv_epi32(x, left);
    const __m512i nudge = _mm512_set1_epi64(1 << 30);
    const __m512i even =
        _mm512_srli_epi64(_mm512_add_epi64(_mm512_mul_epi32(x, multiplier), nudge), 31);
    const __m512i odd = _mm512_slli_epi64(
        _mm512_add_epi64(
            _mm512_mul_epi32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(multiplier, 32)), nudge),
        1);
    x = _mm512_mask_blend_epi32(0xaaaa, even, odd);
    // Compared, not added: near the ends of 32 bits a sum would wrap.
    const __m512i half =
        _mm512_sub_epi32(_mm512_srli_epi32(remainder, 1), _mm512_srai_epi32(x, 31));
    const __mmask16 up = _mm512_cmpgt_epi32_mask(_mm512_and_si512(x, remainder), half);
    x = _mm512_srav_epi32(x, right);
    return _mm512_mask_add_epi32(x, up, x, _mm512_set1_epi32(1));
  }
};

// The same where every filter shifts right by s >= 1: (5) of tflite_rules.h. Without kSigns a
// negative result may come out one too large.
template <bool kSigns>
struct RightShiftScale {
  static constexpr bool kTakesSums = false;
  __m512i multiplier[2], rounding[2];  // of even, of odd lanes; for x * m >= 0
  __m512i shift;                       // s - 1

  RightShiftScale(const RescaleView& r, int lane)
      : multiplier{LoadLanes(r.multiplier, lane),
                   _mm512_srli_epi64(LoadLanes(r.multiplier, lane), 32)},
        rounding{_mm512_load_si512(r.rounding64 + lane),
                 _mm512_load_si512(r.rounding64 + lane + 8)},
        shift(LoadLanes(r.high_shift, lane)) {}

  __m512i operator()(__m512i x) const {
    const __m512i even = ScaleEven(x, 0);
    const __m512i odd = ScaleEven(_mm512_srli_epi64(x, 32), 1);
    return _mm512_srav_epi32(_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB), shift);
  }

 private:
  // The even lanes of x, but for the shift by s - 1, in the high halves of 64-bit lanes.
  __m512i ScaleEven(__m512i x, int odd) const {
    const __m512i product = _mm512_mul_epi32(x, multiplier[odd]);
    const __m512i sum = _mm512_add_epi64(product, rounding[odd]);
    if (!kSigns) return sum;
    return _mm512_mask_sub_epi64(sum, _mm512_movepi64_mask(product), sum,
                                 _mm512_set1_epi64(int64_t{1} << 31));
  }
};

// round(x * multiplier) in double, halves away from zero: x * m truncated after adding a half of
// its sign would round 0.49999999999999994 up, so the half is added by the comparison of the
// remainder.
inline __m256i RescaleReal8(__m256i x, const double* multiplier) {
  const __m512d product = _mm512_mul_pd(_mm512_cvtepi32_pd(x), _mm512_load_pd(multiplier));
  const __m512d whole = _mm512_roundscale_pd(product, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
  const __m512d remainder = _mm512_sub_pd(product, whole);  // exact
  const __mmask8 up = _mm512_cmp_pd_mask(remainder, _mm512_set1_pd(0.5), _CMP_GE_OQ);
  const __mmask8 down = _mm512_cmp_pd_mask(remainder, _mm512_set1_pd(-0.5), _CMP_LE_OQ);
  __m512d rounded = _mm512_mask_add_pd(whole, up, whole, _mm512_set1_pd(1));
  rounded = _mm512_mask_sub_pd(rounded, down, rounded, _mm512_set1_pd(1));
  return _mm512_cvtpd_epi32(rounded);
}

struct RealScale {
  static constexpr bool kTakesSums = false;
  const double* multiplier;

  RealScale(const RescaleView& r, int lane) : multiplier(r.real_multiplier + lane) {}

  __m512i operator()(__m512i x) const {
    const __m256i low = RescaleReal8(_mm512_castsi512_si256(x), multiplier);
    const __m256i high = RescaleReal8(_mm512_extracti64x4_epi64(x, 1), multiplier + 8);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }
};

constexpr bool kTakesSums = true;

}  // namespace
}  // namespace tf_signbin

#include "engine/kernels/output/with_scale-inl.h"

namespace tf_signbin {
namespace {

inline __mmask64 FirstBytes(ptrdiff_t count) { return count >= 64 ? ~0ull : (1ull << count) - 1; }

// Saturating to 16 and 8 bits before the clamp changes nothing: the clamp lies within.
struct Clamp {
  __m512i least, most;

  Clamp(int32_t least_value, int32_t most_value)
      : least(_mm512_set1_epi8(static_cast<char>(least_value))),
        most(_mm512_set1_epi8(static_cast<char>(most_value))) {}
};

// Two vectors of words without their addends, as bytes.
inline __m512i PackBytes(__m512i low, __m512i high, __m512i low_addend, __m512i high_addend,
                         const Clamp& clamp) {
  const __m512i y =
      _mm512_packs_epi16(_mm512_adds_epi16(low, low_addend), _mm512_adds_epi16(high, high_addend));
  return _mm512_max_epi8(_mm512_min_epi8(y, clamp.most), clamp.least);
}

// Writes the outputs of one vector of 16 filters, four pixels at a time: `rescaled(p)` are pixel
// p's, without their addend; it is also called for up to three pixels after the last.
template <typename Rescaled>
inline __attribute__((always_inline)) void StoreOneVector(const int16_t* addends, int filters,
                                                          const Clamp& clamp, int pixels,
                                                          int8_t* out, ptrdiff_t out_pixel,
                                                          const Rescaled& rescaled) {
  constexpr int kLanes = 16;
  const __mmask16 mask = static_cast<__mmask16>(FirstBytes(filters));
  const bool adjacent = out_pixel == kLanes && mask == 0xffff;
  // Words of two pixels alternate by four filters.
  const __m512i addend = _mm512_permutexvar_epi64(
      _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3),
      _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(addends))));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  for (int p = 0; p < pixels; p += 4) {
    const int count = pixels - p < 4 ? pixels - p : 4;
    const __m512i y = _mm512_permutexvar_epi32(
        order,
        PackBytes(_mm512_packs_epi32(rescaled(p), rescaled(p + 1)),
                  _mm512_packs_epi32(rescaled(p + 2), rescaled(p + 3)), addend, addend, clamp));
    if (adjacent) {
      _mm512_mask_storeu_epi8(out, FirstBytes(count * kLanes), y);
      out += 4 * kLanes;
      continue;
    }
    const __m128i bytes[4] = {_mm512_castsi512_si128(y), _mm512_extracti32x4_epi32(y, 1),
                              _mm512_extracti32x4_epi32(y, 2), _mm512_extracti32x4_epi32(y, 3)};
    for (int i = 0; i < count; ++i, out += out_pixel) _mm_mask_storeu_epi8(out, mask, bytes[i]);
  }
}

}  // namespace
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_LANES_AVX512_INL_H_

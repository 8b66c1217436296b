// The int32 products of an int16 vector come as two vectors in "split order": on x86 the even
// lanes, then the odd ones (one multiplication that widens gives either); elsewhere the lower half,
// then the upper.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_SIMD_SPLIT_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_SIMD_SPLIT_INL_H_

#include "engine/kernels/simd/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_signbin {
namespace simd {
namespace {

using I32 = hn::ScalableTag<int32_t>;
// In a vector's worth of lanes, the even ones come first, then the odd ones; 0: in order.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
constexpr int kSplitLanes = kLanes16;
#else
constexpr int kSplitLanes = 0;
#endif

struct Split {
  V<I32> first, second;
};

HWY_INLINE Split SplitLoad(I32 d32, const int32_t* from) {
  return {hn::Load(d32, from), hn::Load(d32, from + kLanes32)};
}

HWY_INLINE void SplitStore(I32 d32, Split x, int32_t* to) {
  hn::Store(x.first, d32, to);
  hn::Store(x.second, d32, to + kLanes32);
}

// x * factor, |factor| < 32768.
template <class V16>
HWY_INLINE Split WidenMul(I32 d32, V16 x, int32_t factor) {
#if HWY_TARGET == HWY_AVX2
  (void)d32;
  return {V<I32>{_mm256_madd_epi16(x.raw, _mm256_set1_epi32(factor & 0xffff))},
          V<I32>{_mm256_madd_epi16(x.raw, _mm256_set1_epi32(factor * 65536))}};
#elif HWY_TARGET == HWY_AVX3
  (void)d32;
  return {V<I32>{_mm512_madd_epi16(x.raw, _mm512_set1_epi32(factor & 0xffff))},
          V<I32>{_mm512_madd_epi16(x.raw, _mm512_set1_epi32(factor * 65536))}};
#elif HWY_TARGET == HWY_NEON
  (void)d32;
  const int16x8_t f = vdupq_n_s16(static_cast<int16_t>(factor));
  const int32x4_t low = vmull_s16(vget_low_s16(x.raw), vget_low_s16(f));
#if TF_SIGNBIN_A64
  return {V<I32>(low), V<I32>(vmull_high_s16(x.raw, f))};
#else
  return {V<I32>(low), V<I32>(vmull_s16(vget_high_s16(x.raw), vget_high_s16(f)))};
#endif
#else
  const hn::Rebind<int16_t, I32> d16h;
  const auto f = hn::Set(d32, factor);
  return {hn::Mul(hn::PromoteTo(d32, hn::LowerHalf(d16h, x)), f),
          hn::Mul(hn::PromoteTo(d32, hn::UpperHalf(d16h, x)), f)};
#endif
}

// Two vectors of consecutive lanes in split order.
HWY_INLINE Split ToSplit(I32 d32, V<I32> low, V<I32> high) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return {hn::ConcatEven(d32, high, low), hn::ConcatOdd(d32, high, low)};
#else
  (void)d32;
  return {low, high};
#endif
}

// Back to consecutive int16 lanes; every value fits.
HWY_INLINE auto Join(I32 /*d32*/, Split x) {
  const hn::Repartition<int16_t, I32> d16;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return hn::OddEven(hn::BitCast(d16, hn::ShiftLeft<16>(x.second)), hn::BitCast(d16, x.first));
#else
  const hn::Rebind<int16_t, I32> d16h;
  return hn::Combine(d16, hn::DemoteTo(d16h, x.second), hn::DemoteTo(d16h, x.first));
#endif
}

}  // namespace
}  // namespace simd
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

#endif  // TF_SIGNBIN_ENGINE_KERNELS_SIMD_SPLIT_INL_H_

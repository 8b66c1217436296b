// Transpositions in registers: channels (or filters) of a pixel lie side by side in memory, pixels
// of a channel lie side by side in a vector.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_SIMD_TRANSPOSE_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_SIMD_TRANSPOSE_INL_H_

#include "engine/kernels/simd/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_signbin {
namespace simd {
namespace {

// One round of a transposition network: after log2(count) rounds count x count blocks are
// transposed.
template <class D, int kCount>
HWY_INLINE void TransposeRound(D d, V<D> (&x)[kCount]) {
  V<D> y[kCount];
#pragma GCC unroll 16
  for (int i = 0; i < kCount / 2; ++i) {
    y[2 * i] = hn::InterleaveLower(d, x[i], x[i + kCount / 2]);
    y[2 * i + 1] = hn::InterleaveUpper(d, x[i], x[i + kCount / 2]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kCount; ++i) x[i] = y[i];
}

#if HWY_TARGET == HWY_NEON
// Swaps the odd elements of x with the even ones of y, for elements of kBytes.
template <int kBytes>
HWY_INLINE void SwapElements(int8x16_t& x, int8x16_t& y) {
#if TF_SIGNBIN_A64
  const int8x16_t a = x, b = y;
  if (kBytes == 1) {
    x = vtrn1q_s8(a, b);
    y = vtrn2q_s8(a, b);
  } else if (kBytes == 2) {
    const int16x8_t c = vreinterpretq_s16_s8(a), d = vreinterpretq_s16_s8(b);
    x = vreinterpretq_s8_s16(vtrn1q_s16(c, d));
    y = vreinterpretq_s8_s16(vtrn2q_s16(c, d));
  } else if (kBytes == 4) {
    const int32x4_t c = vreinterpretq_s32_s8(a), d = vreinterpretq_s32_s8(b);
    x = vreinterpretq_s8_s32(vtrn1q_s32(c, d));
    y = vreinterpretq_s8_s32(vtrn2q_s32(c, d));
  } else {
    const int64x2_t c = vreinterpretq_s64_s8(a), d = vreinterpretq_s64_s8(b);
    x = vreinterpretq_s8_s64(vtrn1q_s64(c, d));
    y = vreinterpretq_s8_s64(vtrn2q_s64(c, d));
  }
#else
  if (kBytes == 1) {
    const int8x16x2_t t = vtrnq_s8(x, y);
    x = t.val[0];
    y = t.val[1];
  } else if (kBytes == 2) {
    const int16x8x2_t t = vtrnq_s16(vreinterpretq_s16_s8(x), vreinterpretq_s16_s8(y));
    x = vreinterpretq_s8_s16(t.val[0]);
    y = vreinterpretq_s8_s16(t.val[1]);
  } else if (kBytes == 4) {
    const int32x4x2_t t = vtrnq_s32(vreinterpretq_s32_s8(x), vreinterpretq_s32_s8(y));
    x = vreinterpretq_s8_s32(t.val[0]);
    y = vreinterpretq_s8_s32(t.val[1]);
  } else {
    const int8x8_t middle = vget_high_s8(x);
    x = vcombine_s8(vget_low_s8(x), vget_low_s8(y));
    y = vcombine_s8(middle, vget_high_s8(y));
  }
#endif
}

template <int kDistance, class V8>
HWY_INLINE void TransposeStep(V8 (&x)[16]) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    if ((i & kDistance) == 0) SwapElements<kDistance>(x[i].raw, x[i + kDistance].raw);
  }
}

// (TRN is faster than ZIP on the Cortex-A72, and in 32 bit does both halves at once.)
template <class D>
HWY_INLINE void Transpose16x16(D /*d*/, V<D> (&x)[16]) {
  TransposeStep<1>(x);
  TransposeStep<2>(x);
  TransposeStep<4>(x);
  TransposeStep<8>(x);
}
#else
template <class D>
HWY_INLINE void Transpose16x16(D d, V<D> (&x)[16]) {
  TransposeRound(d, x);
  TransposeRound(d, x);
  TransposeRound(d, x);
  TransposeRound(d, x);
}
#endif

// Which pixel of 2 * kLanes16 is byte `i` of block `block`, so that interleaving the bytes of a
// vector with anything gives int16 vectors of consecutive pixels (and packing two such gives it
// back).
constexpr int PixelOf(int block, int i) { return (i < 8 ? 0 : kLanes16) + 8 * block + i % 8; }

// Block b from from[b].
template <class D>
HWY_INLINE V<D> LoadBlocks(D d, const hn::TFromD<D>* const (&from)[kBlocks]) {
  const hn::FixedTag<hn::TFromD<D>, 16 / sizeof(hn::TFromD<D>)> d1;
#if HWY_MAX_BYTES == 16
  (void)d;
  return hn::LoadU(d1, from[0]);
#elif HWY_MAX_BYTES == 32
  return hn::Combine(d, hn::LoadU(d1, from[1]), hn::LoadU(d1, from[0]));
#else
  const hn::Half<D> d2;
  (void)d1;
  return hn::Combine(d, hn::Combine(d2, hn::LoadU(d1, from[3]), hn::LoadU(d1, from[2])),
                     hn::Combine(d2, hn::LoadU(d1, from[1]), hn::LoadU(d1, from[0])));
#endif
}

// Block b to to[b], where that is not null.
template <class D>
HWY_INLINE void StoreBlocks(D /*d*/, V<D> x, hn::TFromD<D>* const (&to)[kBlocks]) {
  const hn::FixedTag<hn::TFromD<D>, 16 / sizeof(hn::TFromD<D>)> d1;
#if HWY_MAX_BYTES == 16
  if (to[0] != nullptr) hn::StoreU(x, d1, to[0]);
#else
  const hn::Repartition<int32_t, D> di;
  const hn::Repartition<int32_t, decltype(d1)> di1;
  using Block = V<decltype(di1)>;
  const auto raw = hn::BitCast(di, x).raw;
  const auto store = [&](int b, __m128i block) HWY_ATTR {
    if (to[b] != nullptr) hn::StoreU(hn::BitCast(d1, Block{block}), d1, to[b]);
  };
#if HWY_MAX_BYTES == 32
  store(0, _mm256_castsi256_si128(raw));
  store(1, _mm256_extracti128_si256(raw, 1));
#else
  store(0, _mm512_castsi512_si128(raw));
  store(1, _mm512_extracti32x4_epi32(raw, 1));
  store(2, _mm512_extracti32x4_epi32(raw, 2));
  store(3, _mm512_extracti32x4_epi32(raw, 3));
#endif
#endif
}

}  // namespace
}  // namespace simd
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

#endif  // TF_SIGNBIN_ENGINE_KERNELS_SIMD_TRANSPOSE_INL_H_

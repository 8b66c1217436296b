// Dense family, vector parts (AVX-512 F, BW, DQ, VL). See dense_ops.h.
#include <immintrin.h>

#include "engine/kernels/dense/dense_ops.h"

namespace tf_signbin {
namespace {

// ---------------------------------------------------------------- copying activations

inline __m512i Offset(__m512i x) { return _mm512_xor_si512(x, _mm512_set1_epi8(-128)); }

inline __mmask64 FirstBytes(ptrdiff_t count) { return count >= 64 ? ~0ull : (1ull << count) - 1; }

void Fill(uint8_t* out, ptrdiff_t bytes, uint8_t value) {
  const __m512i x = _mm512_set1_epi8(static_cast<char>(value));
  ptrdiff_t i = 0;
  for (; i + 64 <= bytes; i += 64) _mm512_storeu_si512(out + i, x);
  if (i < bytes) _mm512_mask_storeu_epi8(out + i, FirstBytes(bytes - i), x);
}

void CopyBytes(const int8_t* in, ptrdiff_t bytes, uint8_t* out) {
  ptrdiff_t i = 0;
  for (; i + 64 <= bytes; i += 64) _mm512_storeu_si512(out + i, Offset(_mm512_loadu_si512(in + i)));
  if (i < bytes) {
    const __mmask64 mask = FirstBytes(bytes - i);
    _mm512_mask_storeu_epi8(out + i, mask, Offset(_mm512_maskz_loadu_epi8(mask, in + i)));
  }
}

// Columns of the row whose pixels lie left of x.
int ColumnsBefore(const DenseRow& r, int x) {
  const int distance = x - r.first_x;
  if (distance <= 0) return 0;
  const int columns = (distance + r.step - 1) / r.step;
  return columns < r.columns ? columns : r.columns;
}

// ---------------------------------------------------------------- accumulators to outputs

// The rescaled even, then odd lanes of x, in the low halves of 64-bit lanes.
template <bool kSigns>
inline __m512i Scale8(__m512i x, const DenseScale& scale, int odd) {
  const __m512i product = _mm512_mul_epi32(x, _mm512_load_si512(scale.multiplier[odd]));
  __m512i sum = _mm512_add_epi64(product, _mm512_load_si512(scale.addend[odd]));
  if (kSigns) {
    sum = _mm512_mask_sub_epi64(sum, _mm512_movepi64_mask(product), sum,
                                _mm512_load_si512(scale.negative[odd]));
  }
  return _mm512_srav_epi64(sum, _mm512_load_si512(scale.shift[odd]));
}

// 16 outputs as 32-bit integers, filters in order within each vector's quarter.
template <bool kSigns>
inline __m512i Scale16(const int32_t* sums, const DenseScale& scale) {
  const __m512i x = _mm512_load_si512(sums);
  const __m512i even = Scale8<kSigns>(x, scale, 0);
  const __m512i odd = Scale8<kSigns>(_mm512_srli_epi64(x, 32), scale, 1);
  return _mm512_castps_si512(
      _mm512_shuffle_ps(_mm512_castsi512_ps(even), _mm512_castsi512_ps(odd), 0x88));
}

// Saturating to 16 or 8 bits before the clamp changes nothing: the clamp lies within.
template <bool kSigns>
void FlushFour(const DenseFlush& f) {
  const __m512i clamp_min = _mm512_set1_epi8(static_cast<char>(f.clamp_min));
  const __m512i clamp_max = _mm512_set1_epi8(static_cast<char>(f.clamp_max));
  const __mmask64 mask = FirstBytes(f.filters);
  const int32_t* sums = f.sums;
  int8_t* out = f.out;
  for (int p = 0; p < f.pixels; ++p, sums += 4 * kDenseLanes, out += f.out_pixel) {
    const __m512i low = _mm512_packs_epi32(Scale16<kSigns>(sums, f.scales[0]),
                                           Scale16<kSigns>(sums + 16, f.scales[1]));
    const __m512i high = _mm512_packs_epi32(Scale16<kSigns>(sums + 32, f.scales[2]),
                                            Scale16<kSigns>(sums + 48, f.scales[3]));
    const __m512i y =
        _mm512_max_epi8(_mm512_min_epi8(_mm512_packs_epi16(low, high), clamp_max), clamp_min);
    if (mask == ~0ull) {
      _mm512_storeu_si512(out, y);
    } else {
      _mm512_mask_storeu_epi8(out, mask, y);
    }
  }
}

template <bool kSigns>
void FlushTwo(const DenseFlush& f) {
  const __m256i clamp_min = _mm256_set1_epi8(static_cast<char>(f.clamp_min));
  const __m256i clamp_max = _mm256_set1_epi8(static_cast<char>(f.clamp_max));
  const __mmask32 mask = static_cast<__mmask32>(FirstBytes(f.filters));
  const int32_t* sums = f.sums;
  int8_t* out = f.out;
  for (int p = 0; p < f.pixels; ++p, sums += 2 * kDenseLanes, out += f.out_pixel) {
    const __m256i bytes = _mm512_cvtsepi16_epi8(_mm512_packs_epi32(
        Scale16<kSigns>(sums, f.scales[0]), Scale16<kSigns>(sums + 16, f.scales[1])));
    const __m256i y = _mm256_max_epi8(_mm256_min_epi8(bytes, clamp_max), clamp_min);
    if (mask == ~0u) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), y);
    } else {
      _mm256_mask_storeu_epi8(out, mask, y);
    }
  }
}

template <bool kSigns>
void FlushOne(const DenseFlush& f) {
  const __m128i clamp_min = _mm_set1_epi8(static_cast<char>(f.clamp_min));
  const __m128i clamp_max = _mm_set1_epi8(static_cast<char>(f.clamp_max));
  const __mmask16 mask = static_cast<__mmask16>(FirstBytes(f.filters));
  const int32_t* sums = f.sums;
  int8_t* out = f.out;
  for (int p = 0; p < f.pixels; ++p, sums += kDenseLanes, out += f.out_pixel) {
    const __m128i bytes = _mm512_cvtsepi32_epi8(Scale16<kSigns>(sums, f.scales[0]));
    const __m128i y = _mm_max_epi8(_mm_min_epi8(bytes, clamp_max), clamp_min);
    if (mask == 0xffff) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), y);
    } else {
      _mm_mask_storeu_epi8(out, mask, y);
    }
  }
}

template <bool kSigns>
void FlushSums(const DenseFlush& f) {
  if (f.vectors == 4) return FlushFour<kSigns>(f);
  if (f.vectors == 2) return FlushTwo<kSigns>(f);
  FlushOne<kSigns>(f);
}

}  // namespace

void DenseCopyRow(const DenseRow& r) {
  if (r.row == nullptr) {
    return Fill(r.out, static_cast<ptrdiff_t>(r.columns) * r.padded_c, r.padding);
  }
  const int first = ColumnsBefore(r, 0), end = ColumnsBefore(r, r.in_w);
  Fill(r.out, static_cast<ptrdiff_t>(first) * r.padded_c, r.padding);
  uint8_t* out = r.out + static_cast<ptrdiff_t>(first) * r.padded_c;
  const int8_t* in = r.row + static_cast<ptrdiff_t>(r.first_x + first * r.step) * r.in_c;
  if (r.step == 1 && r.in_c == r.padded_c) {
    CopyBytes(in, static_cast<ptrdiff_t>(end - first) * r.in_c, out);
  } else {
    const ptrdiff_t in_step = static_cast<ptrdiff_t>(r.step) * r.in_c;
    uint8_t* to = out;
    for (int column = first; column < end; ++column, in += in_step, to += r.padded_c) {
      CopyBytes(in, r.in_c, to);
    }
  }
  Fill(r.out + static_cast<ptrdiff_t>(end) * r.padded_c,
       static_cast<ptrdiff_t>(r.columns - end) * r.padded_c, r.padding);
}

void DenseFlushSums(const DenseFlush& f) {
  if (f.above_zero_point) {
    FlushSums<false>(f);
  } else {
    FlushSums<true>(f);
  }
}

}  // namespace tf_signbin

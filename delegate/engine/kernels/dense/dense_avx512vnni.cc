// Dense family, vector parts (AVX-512 F, BW, DQ, VL). See dense_ops.h.
#include <immintrin.h>

#include "engine/kernels/dense/dense_ops.h"

namespace tf_signbin {
namespace {

// ---------------------------------------------------------------- copying activations

inline __mmask64 FirstBytes(ptrdiff_t count) { return count >= 64 ? ~0ull : (1ull << count) - 1; }

void Fill(int8_t* out, ptrdiff_t bytes, int8_t value) {
  const __m512i x = _mm512_set1_epi8(value);
  ptrdiff_t i = 0;
  for (; i + 64 <= bytes; i += 64) _mm512_storeu_si512(out + i, x);
  if (i < bytes) _mm512_mask_storeu_epi8(out + i, FirstBytes(bytes - i), x);
}

void CopyBytes(const int8_t* in, ptrdiff_t bytes, int8_t* out) {
  ptrdiff_t i = 0;
  for (; i + 64 <= bytes; i += 64) _mm512_storeu_si512(out + i, _mm512_loadu_si512(in + i));
  if (i < bytes) {
    const __mmask64 mask = FirstBytes(bytes - i);
    _mm512_mask_storeu_epi8(out + i, mask, _mm512_maskz_loadu_epi8(mask, in + i));
  }
}

// ---------------------------------------------------------------- accumulators to outputs

struct Scale {
  __m512i multiplier[2], addend[2], negative[2];  // of even, of odd lanes
  __m512i shift;
};

template <bool kSigns>
inline Scale LoadScale(const DenseScale& s) {
  Scale scale;
  for (int odd = 0; odd < 2; ++odd) {
    scale.multiplier[odd] = _mm512_load_si512(s.multiplier[odd]);
    scale.addend[odd] = _mm512_load_si512(s.addend[odd]);
    scale.negative[odd] = kSigns ? _mm512_load_si512(s.negative[odd]) : _mm512_setzero_si512();
  }
  scale.shift = _mm512_load_si512(s.shift);
  return scale;
}

// The even lanes of x, rescaled but for the shift, in the high halves of 64-bit lanes.
template <bool kSigns>
inline __m512i Scale8(__m512i x, const Scale& scale, int odd) {
  const __m512i product = _mm512_mul_epi32(x, scale.multiplier[odd]);
  const __m512i sum = _mm512_add_epi64(product, scale.addend[odd]);
  if (!kSigns) return sum;
  return _mm512_mask_sub_epi64(sum, _mm512_movepi64_mask(product), sum, scale.negative[odd]);
}

// 16 outputs as 32-bit integers, filters in order within each quarter.
template <bool kSigns>
inline __m512i Scale16(const int32_t* sums, const Scale& scale) {
  const __m512i x = _mm512_load_si512(sums);
  const __m512i even = Scale8<kSigns>(x, scale, 0);
  const __m512i odd = Scale8<kSigns>(_mm512_srli_epi64(x, 32), scale, 1);
  const __m512 high = _mm512_shuffle_ps(_mm512_castsi512_ps(even), _mm512_castsi512_ps(odd), 0xdd);
  return _mm512_srav_epi32(_mm512_castps_si512(high), scale.shift);
}

// Saturating to 16 and 8 bits before the clamp changes nothing: the clamp lies within.
struct Clamp {
  __m512i least, most;
};

inline Clamp LoadClamp(const DenseFlush& f) {
  return {_mm512_set1_epi8(static_cast<char>(f.clamp_min)),
          _mm512_set1_epi8(static_cast<char>(f.clamp_max))};
}

inline __m512i PackBytes(__m512i low, __m512i high, const Clamp& clamp) {
  return _mm512_max_epi8(_mm512_min_epi8(_mm512_packs_epi16(low, high), clamp.most), clamp.least);
}

inline void StoreBytes(int8_t* out, __m256i y, __mmask32 mask) {
  if (mask == ~0u) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), y);
  } else {
    _mm256_mask_storeu_epi8(out, mask, y);
  }
}

// Two vectors of filters: two pixels fill a vector of bytes.
template <bool kSigns>
void FlushPair(const DenseFlush& f, const Clamp& clamp, int vector) {
  const int filters = f.filters - vector * kDenseLanes;
  const __mmask32 mask = static_cast<__mmask32>(FirstBytes(filters));
  const Scale scale0 = LoadScale<kSigns>(f.scales[vector]);
  const Scale scale1 = LoadScale<kSigns>(f.scales[vector + 1]);
  const __m512i pixels = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  const int pixel_sums = f.vectors * kDenseLanes;
  const int32_t* sums = f.sums + vector * kDenseLanes;
  int8_t* out = f.out + vector * kDenseLanes;
  for (int p = 0; p < f.pixels; p += 2, sums += 2 * pixel_sums) {
    const bool pair = p + 1 < f.pixels;
    const int32_t* next = pair ? sums + pixel_sums : sums;
    const __m512i bytes = PackBytes(_mm512_packs_epi32(Scale16<kSigns>(sums, scale0),
                                                       Scale16<kSigns>(sums + kDenseLanes, scale1)),
                                    _mm512_packs_epi32(Scale16<kSigns>(next, scale0),
                                                       Scale16<kSigns>(next + kDenseLanes, scale1)),
                                    clamp);
    const __m512i y = _mm512_permutexvar_epi64(pixels, bytes);
    StoreBytes(out, _mm512_castsi512_si256(y), mask);
    out += f.out_pixel;
    if (!pair) break;
    StoreBytes(out, _mm512_extracti64x4_epi64(y, 1), mask);
    out += f.out_pixel;
  }
}

// One vector of filters: four pixels fill a vector of bytes.
template <bool kSigns>
void FlushOne(const DenseFlush& f, const Clamp& clamp) {
  const __mmask16 mask = static_cast<__mmask16>(FirstBytes(f.filters));
  const bool adjacent = f.out_pixel == kDenseLanes && mask == 0xffff;
  const Scale scale = LoadScale<kSigns>(f.scales[0]);
  const __m512i pixels = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const int32_t* sums = f.sums;
  int8_t* out = f.out;
  for (int p = 0; p < f.pixels; p += 4, sums += 4 * kDenseLanes) {
    const int count = f.pixels - p < 4 ? f.pixels - p : 4;
    __m512i x[4];  // of pixels after the last: not stored
    for (int i = 0; i < 4; ++i) x[i] = Scale16<kSigns>(sums + i * kDenseLanes, scale);
    const __m512i y = _mm512_permutexvar_epi32(
        pixels, PackBytes(_mm512_packs_epi32(x[0], x[1]), _mm512_packs_epi32(x[2], x[3]), clamp));
    if (adjacent) {
      _mm512_mask_storeu_epi8(out, FirstBytes(count * kDenseLanes), y);
      out += 4 * kDenseLanes;
      continue;
    }
    const __m128i bytes[4] = {_mm512_castsi512_si128(y), _mm512_extracti32x4_epi32(y, 1),
                              _mm512_extracti32x4_epi32(y, 2), _mm512_extracti32x4_epi32(y, 3)};
    for (int i = 0; i < count; ++i, out += f.out_pixel) {
      _mm_mask_storeu_epi8(out, mask, bytes[i]);
    }
  }
}

template <bool kSigns>
void FlushSums(const DenseFlush& f) {
  const Clamp clamp = LoadClamp(f);
  if (f.vectors == 1) return FlushOne<kSigns>(f, clamp);
  for (int vector = 0; vector < f.vectors && vector * kDenseLanes < f.filters; vector += 2) {
    FlushPair<kSigns>(f, clamp, vector);
  }
}

}  // namespace

void DenseCopyRow(const DenseRow& r) {
  if (r.row == nullptr) {
    return Fill(r.out, static_cast<ptrdiff_t>(r.columns) * r.padded_c, r.padding);
  }
  Fill(r.out, static_cast<ptrdiff_t>(r.inside) * r.padded_c, r.padding);
  int8_t* out = r.out + static_cast<ptrdiff_t>(r.inside) * r.padded_c;
  const int8_t* in = r.row + static_cast<ptrdiff_t>(r.inside_x) * r.in_c;
  if (r.step == 1 && r.in_c == r.padded_c) {
    CopyBytes(in, static_cast<ptrdiff_t>(r.right - r.inside) * r.in_c, out);
  } else {
    const ptrdiff_t in_step = static_cast<ptrdiff_t>(r.step) * r.in_c;
    int8_t* to = out;
    for (int column = r.inside; column < r.right; ++column, in += in_step, to += r.padded_c) {
      CopyBytes(in, r.in_c, to);
    }
  }
  Fill(r.out + static_cast<ptrdiff_t>(r.right) * r.padded_c,
       static_cast<ptrdiff_t>(r.columns - r.right) * r.padded_c, r.padding);
}

void DenseFlushSums(const DenseFlush& f) {
  if (f.above_zero_point) {
    FlushSums<false>(f);
  } else {
    FlushSums<true>(f);
  }
}

}  // namespace tf_signbin

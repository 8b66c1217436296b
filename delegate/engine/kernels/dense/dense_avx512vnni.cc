// Dense family, vector parts (AVX-512 F, BW, DQ, VL, VNNI). See dense_ops.h.
#include <immintrin.h>

#include "engine/kernels/dense/dense_ops.h"
#include "engine/kernels/output/filter_lanes_avx512-inl.h"

namespace tf_signbin {
namespace {

// ---------------------------------------------------------------- copying activations

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

// Pixels of three channels, as images have them, to four bytes each. The fourth meets no weight.
void CopyThreeChannels(const int8_t* in, ptrdiff_t pixels, int8_t* out) {
  const __m512i quarters = _mm512_setr_epi32(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0);
  const __m512i bytes =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0));
  for (; pixels > 0; pixels -= 16, in += 48, out += 64) {
    const ptrdiff_t count = pixels < 16 ? pixels : 16;
    const __m512i x = _mm512_maskz_loadu_epi8(FirstBytes(3 * count), in);
    _mm512_mask_storeu_epi8(out, FirstBytes(4 * count),
                            _mm512_shuffle_epi8(_mm512_permutexvar_epi32(quarters, x), bytes));
  }
}

// ---------------------------------------------------------------- accumulators to outputs

// What microkernels left, as accumulators (or sums, where they are rescaled). Made once for a
// vector of filters.
struct AsTheyAre {
  AsTheyAre(const DenseFlush& /*flush*/, int /*lane*/) {}

  __m512i operator()(const int32_t* sums, int /*pixel*/) const { return _mm512_load_si512(sums); }
};

// kMultiplied: by the difference already.
template <bool kMultiplied>
struct WithBackground {
  const int32_t* box;
  __m512i difference, background, bias;

  WithBackground(const DenseFlush& f, int lane)
      : box(f.box),
        difference(kMultiplied ? _mm512_setzero_si512() : LoadLanes(f.difference, lane)),
        background(LoadLanes(f.background, lane)),
        bias(LoadLanes(f.bias, lane)) {}

  __m512i operator()(const int32_t* sums, int pixel) const {
    __m512i masked = _mm512_load_si512(sums);
    if (!kMultiplied) masked = _mm512_mullo_epi32(masked, difference);
    const __m512i all = _mm512_mullo_epi32(_mm512_set1_epi32(box[pixel]), background);
    return _mm512_add_epi32(_mm512_add_epi32(masked, all), bias);
  }
};

inline void StoreBytes(int8_t* out, __m256i y, __mmask32 mask) {
  if (mask == ~0u) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), y);
  } else {
    _mm256_mask_storeu_epi8(out, mask, y);
  }
}

// Two vectors of filters: two pixels fill a vector of bytes.
template <typename Load, typename MakeScale>
void FlushPair(const DenseFlush& f, const Clamp& clamp, int vector, const MakeScale& make_scale) {
  const int filters = f.filters - vector * kDenseLanes;
  const __mmask32 mask = static_cast<__mmask32>(FirstBytes(filters));
  const int lane = f.first_lane + vector * kDenseLanes;
  const auto scale0 = make_scale(f.rescale, lane);
  const auto scale1 = make_scale(f.rescale, lane + kDenseLanes);
  const Load load0(f, lane), load1(f, lane + kDenseLanes);
  const __m512i addend = _mm512_loadu_si512(f.rescale.addend + lane);
  const __m512i pixels = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  const int pixel_sums = f.vectors * kDenseLanes;
  const int32_t* sums = f.sums + vector * kDenseLanes;
  const auto words = [&](const int32_t* sums, int pixel) {
    return _mm512_packs_epi32(scale0(load0(sums, pixel)), scale1(load1(sums + kDenseLanes, pixel)));
  };
  int8_t* out = f.out + vector * kDenseLanes;
  for (int p = 0; p < f.pixels; p += 2, sums += 2 * pixel_sums) {
    const bool pair = p + 1 < f.pixels;
    const __m512i y = _mm512_permutexvar_epi64(
        pixels, PackBytes(words(sums, p), pair ? words(sums + pixel_sums, p + 1) : words(sums, p),
                          addend, clamp));
    StoreBytes(out, _mm512_castsi512_si256(y), mask);
    out += f.out_pixel;
    if (!pair) break;
    StoreBytes(out, _mm512_extracti64x4_epi64(y, 1), mask);
    out += f.out_pixel;
  }
}

template <typename Load, typename MakeScale>
void FlushOne(const DenseFlush& f, const Clamp& clamp, const MakeScale& make_scale) {
  const auto scale = make_scale(f.rescale, f.first_lane);
  const Load load(f, f.first_lane);
  StoreOneVector(f.rescale.addend + f.first_lane, f.filters, clamp, f.pixels, f.out, f.out_pixel,
                 [&](int p) { return scale(load(f.sums + p * kDenseLanes, p)); });
}

template <typename Load, typename MakeScale>
void FlushVectors(const DenseFlush& f, const MakeScale& make_scale) {
  const Clamp clamp(f.clamp_min, f.clamp_max);
  if (f.vectors == 1) return FlushOne<Load>(f, clamp, make_scale);
  for (int vector = 0; vector < f.vectors && vector * kDenseLanes < f.filters; vector += 2) {
    FlushPair<Load>(f, clamp, vector, make_scale);
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
  } else if (r.step == 1 && r.in_c == 3) {
    CopyThreeChannels(in, r.right - r.inside, out);
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
  WithScale(f.rescale, [&](const auto& make_scale) {
    if (f.background == nullptr) return FlushVectors<AsTheyAre>(f, make_scale);
    if (f.difference == nullptr) return FlushVectors<WithBackground<true>>(f, make_scale);
    FlushVectors<WithBackground<false>>(f, make_scale);
  });
}

}  // namespace tf_signbin

// Dense family, vector parts (AVX-512 F, BW, DQ, VL, VNNI). See dense_ops.h.
#include <immintrin.h>

#include "engine/kernels/dense/dense_flush_avx512-inl.h"
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

template <typename Load, typename MakeScale>
void FlushVectors(const DenseFlush& f, const MakeScale& make_scale) {
  switch (f.vectors) {
    case 1:
      return OneVector<Load, MakeScale>(f, make_scale).Write();
    case 2:
      return TwoVectors<Load, MakeScale>(f, make_scale).Write(f.pixels);
    default:
      return FourVectors<Load, MakeScale>(f, make_scale).Write(f.pixels);
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
    if (f.words != nullptr) return FlushVectors<WithWords>(f, make_scale);
    if (f.difference != nullptr) return FlushVectors<WithDifference>(f, make_scale);
    if (f.background != nullptr) return FlushVectors<WithBackground>(f, make_scale);
    FlushVectors<AsTheyAre>(f, make_scale);
  });
}

}  // namespace tf_signbin

// Accumulators to outputs, for files compiled for AVX-512 (F, BW, DQ, VL).
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_FLUSH_AVX512_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_FLUSH_AVX512_INL_H_

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "engine/kernels/dense/dense_ops.h"
#include "engine/kernels/output/filter_lanes_avx512-inl.h"

namespace tf_signbin {
namespace {

// What microkernels left, as accumulators (or sums, where they are rescaled). Made once for a
// vector of filters.
struct AsTheyAre {
  AsTheyAre(const DenseFlush& /*flush*/, int /*lane*/) {}

  __m512i operator()(const int32_t* sums, int /*pixel*/) const { return _mm512_load_si512(sums); }
};

// Those that are multiplied by the difference already.
struct WithBackground {
  const int32_t* box;
  __m512i background;

  WithBackground(const DenseFlush& f, int lane)
      : box(f.box), background(LoadLanes(f.background, lane)) {}

  __m512i operator()(const int32_t* sums, int pixel) const {
    return _mm512_add_epi32(_mm512_load_si512(sums),
                            _mm512_mullo_epi32(_mm512_set1_epi32(box[pixel]), background));
  }
};

struct WithDifference {
  const int32_t* box;
  __m512i difference, background, bias;

  WithDifference(const DenseFlush& f, int lane)
      : box(f.box),
        difference(LoadLanes(f.difference, lane)),
        background(LoadLanes(f.background, lane)),
        bias(LoadLanes(f.bias, lane)) {}

  __m512i operator()(const int32_t* sums, int pixel) const {
    const __m512i masked = _mm512_mullo_epi32(_mm512_load_si512(sums), difference);
    const __m512i all = _mm512_mullo_epi32(_mm512_set1_epi32(box[pixel]), background);
    return _mm512_add_epi32(_mm512_add_epi32(masked, all), bias);
  }
};

// The same of words.
struct WithWords {
  const int32_t* box;
  __m512i words, bias;

  WithWords(const DenseFlush& f, int lane)
      : box(f.box), words(LoadLanes(f.words, lane)), bias(LoadLanes(f.bias, lane)) {}

  __m512i operator()(const int32_t* sums, int pixel) const {
    const __m512i both = _mm512_or_si512(_mm512_load_si512(sums), _mm512_set1_epi32(box[pixel]));
    return _mm512_dpwssd_epi32(bias, both, words);
  }
};

// The sums of a pixel's vector of filters, rescaled.
template <typename Load, typename Scale>
struct Vector {
  Load load;
  Scale scale;

  template <typename MakeScale>
  Vector(const DenseFlush& f, int vector, const MakeScale& make_scale)
      : load(f, f.first_lane + vector * kDenseLanes),
        scale(make_scale(f.rescale, f.first_lane + vector * kDenseLanes)) {}

  __m512i operator()(const int32_t* sums, int pixel) const { return scale(load(sums, pixel)); }
};

// Writes the outputs of a DenseFlush little by little, so that others' work can be done in between:
// what the classes below have in common.
class OutputWriter {
 public:
  explicit OutputWriter(const DenseFlush& f)
      : f_(f), clamp_(f.clamp_min, f.clamp_max), out_(f.out), column_(f.first_column) {
    if (column_ >= f.row_outputs) NextRow();
  }

 protected:
  bool done() const { return pixel_ >= f_.pixels; }

  const int32_t* sums() const {
    return f_.sums + static_cast<ptrdiff_t>(pixel_) * f_.vectors * kDenseLanes;
  }

  // Pixels that are left of the output row.
  int row_left() const {
    const int row = f_.row_outputs - column_, all = f_.pixels - pixel_;
    return row < all ? row : all;
  }

  void Advance(int pixels) {
    out_ += pixels * f_.out_pixel;
    pixel_ += pixels;
    column_ += pixels;
    if (column_ == f_.row_outputs) NextRow();
  }

  const DenseFlush f_;
  const Clamp clamp_;
  int8_t* out_;
  int pixel_ = 0, column_;

 private:
  void NextRow() {
    pixel_ += f_.row_pixels - column_;
    column_ = 0;
  }
};

// Four vectors of filters: a pixel fills a vector of bytes.
template <typename Load, typename MakeScale>
class FourVectors : public OutputWriter {
 public:
  FourVectors(const DenseFlush& f, const MakeScale& make_scale)
      : OutputWriter(f),
        mask_(FirstBytes(f.filters)),
        v0_(f, 0, make_scale),
        v1_(f, 1, make_scale),
        v2_(f, 2, make_scale),
        v3_(f, 3, make_scale) {
    // Words of two vectors alternate by eight filters.
    const __m512i low = _mm512_loadu_si512(f.rescale.addend + f.first_lane);
    const __m512i high = _mm512_loadu_si512(f.rescale.addend + f.first_lane + 2 * kDenseLanes);
    addend01_ = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13), high);
    addend23_ = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15), high);
  }

  // At least `count` pixels, or all that are left.
  inline __attribute__((always_inline)) void Write(int count) {
    for (; count > 0 && !done(); --count) {
      const int32_t* s = sums();
      const __m512i y = PackBytes(
          _mm512_packs_epi32(v0_(s, pixel_), v1_(s + kDenseLanes, pixel_)),
          _mm512_packs_epi32(v2_(s + 2 * kDenseLanes, pixel_), v3_(s + 3 * kDenseLanes, pixel_)),
          addend01_, addend23_, clamp_);
      if (mask_ == ~0ull) {
        _mm512_storeu_si512(out_, y);
      } else {
        _mm512_mask_storeu_epi8(out_, mask_, y);
      }
      Advance(1);
    }
  }

 private:
  const __mmask64 mask_;
  const Vector<Load, typename MakeScale::Scale> v0_, v1_, v2_, v3_;
  __m512i addend01_, addend23_;
};

// Two: two pixels of a row do.
template <typename Load, typename MakeScale>
class TwoVectors : public OutputWriter {
 public:
  TwoVectors(const DenseFlush& f, const MakeScale& make_scale)
      : OutputWriter(f),
        mask_(static_cast<__mmask32>(FirstBytes(f.filters))),
        addend_(_mm512_loadu_si512(f.rescale.addend + f.first_lane)),
        v0_(f, 0, make_scale),
        v1_(f, 1, make_scale) {}

  // At least `count` pixels, or all that are left.
  inline __attribute__((always_inline)) void Write(int count) {
    while (count > 0 && !done()) {
      const bool pair = row_left() > 1;
      const int32_t* s = sums();
      const __m512i one = Words(s, pixel_);
      const __m512i y = _mm512_permutexvar_epi64(
          _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7),
          PackBytes(one, pair ? Words(s + 2 * kDenseLanes, pixel_ + 1) : one, addend_, addend_,
                    clamp_));
      Store(_mm512_castsi512_si256(y), out_);
      if (pair) Store(_mm512_extracti64x4_epi64(y, 1), out_ + f_.out_pixel);
      Advance(1 + pair);
      count -= 1 + pair;
    }
  }

 private:
  __m512i Words(const int32_t* s, int pixel) const {
    return _mm512_packs_epi32(v0_(s, pixel), v1_(s + kDenseLanes, pixel));
  }

  void Store(__m256i y, int8_t* out) const {
    if (mask_ == ~0u) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), y);
    } else {
      _mm256_mask_storeu_epi8(out, mask_, y);
    }
  }

  const __mmask32 mask_;
  const __m512i addend_;
  const Vector<Load, typename MakeScale::Scale> v0_, v1_;
};

// One: rows are written whole.
template <typename Load, typename MakeScale>
class OneVector : public OutputWriter {
 public:
  OneVector(const DenseFlush& f, const MakeScale& make_scale)
      : OutputWriter(f), v_(f, 0, make_scale) {}

  void Write() {
    while (!done()) {
      const int first = pixel_, count = row_left();
      StoreOneVector(f_.rescale.addend + f_.first_lane, f_.filters, clamp_, count, out_,
                     f_.out_pixel,
                     [&](int p) { return v_(f_.sums + (first + p) * kDenseLanes, first + p); });
      Advance(count);
    }
  }

 private:
  const Vector<Load, typename MakeScale::Scale> v_;
};

}  // namespace
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_FLUSH_AVX512_INL_H_

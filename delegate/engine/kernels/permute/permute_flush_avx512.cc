// Register-permute family: accumulators to outputs (AVX-512 F, BW, DQ, VL). See permute_ops.h.
#include <immintrin.h>

#include "engine/kernels/output/filter_lanes_avx512-inl.h"
#include "engine/kernels/permute/permute_ops.h"

namespace tf_signbin {
namespace {

inline __m512i LoadParam(const void* params, int filter) {
  return LoadLanes(static_cast<const int32_t*>(params), filter);
}

// What the backgrounds of a vector of filters add to an accumulator. Those of the first region stay
// in a register: outputs that are stored meanwhile might, to a compiler, be any memory.
class Backgrounds {
 public:
  Backgrounds(const Flush& f, int filter) : regions_(f.regions), padded_(f.padded_filters) {
    if (f.regions == 0) return;
    box_ = static_cast<const int32_t*>(f.box);
    others_ = static_cast<const int32_t*>(f.background) + filter;
    first_ = LoadParam(others_, 0);
  }

  __m512i AddTo(__m512i x, int pixel) const {
    const int32_t* box = box_ + static_cast<ptrdiff_t>(pixel) * regions_;
    x = _mm512_add_epi32(x, _mm512_mullo_epi32(first_, _mm512_set1_epi32(box[0])));
    for (int region = 1; region < regions_; ++region) {
      const int32_t* background = others_ + static_cast<ptrdiff_t>(region) * padded_;
      x = _mm512_add_epi32(
          x, _mm512_mullo_epi32(LoadParam(background, 0), _mm512_set1_epi32(box[region])));
    }
    return x;
  }

 private:
  const int regions_, padded_;
  const int32_t *box_ = nullptr, *others_ = nullptr;
  __m512i first_ = _mm512_setzero_si512();
};

// The even and odd 16-bit sums of a vector times b - a, widened: multiply-add against (b - a, 0)
// and (0, b - a). Filters sit in the lanes such that the final pack puts them in order
// (LaneFilter).
template <typename MakeScale>
void FlushLastI8(const Flush& f, const MakeScale& make_scale) {
  const __m512i clamp_min = _mm512_set1_epi16(static_cast<short>(f.clamp_min));
  const __m512i clamp_max = _mm512_set1_epi16(static_cast<short>(f.clamp_max));
  for (int vector = 0; vector < f.vectors; ++vector) {
    const int filter = f.first_filter + vector * 32;
    const int left = f.filters - filter;
    const __mmask32 mask = left >= 32 ? ~0u : (1u << left) - 1;
    const auto scale0 = make_scale(f.rescale, filter), scale1 = make_scale(f.rescale, filter + 16);
    const __m512i addend = _mm512_load_si512(f.rescale.addend + filter);
    const __m512i difference0 = LoadParam(f.difference, filter);
    const __m512i difference1 = LoadParam(f.difference, filter + 16);
    const __m512i bias0 = LoadParam(f.bias, filter), bias1 = LoadParam(f.bias, filter + 16);
    const Backgrounds backgrounds0(f, filter), backgrounds1(f, filter + 16);
    const char* sums = f.sums + vector * 64;
    int8_t* out = static_cast<int8_t*>(f.out) + filter;
    const int32_t* accumulators = static_cast<const int32_t*>(f.accumulators) + filter;
    for (int p = 0; p < f.pixels; ++p, accumulators += f.padded_filters) {
      const __m512i x = _mm512_load_si512(sums + p * f.vectors * 64);
      __m512i x0 = _mm512_madd_epi16(x, difference0);
      __m512i x1 = _mm512_madd_epi16(x, difference1);
      if (!scale0.kTakesSums) {
        x0 = _mm512_add_epi32(x0, bias0);
        x1 = _mm512_add_epi32(x1, bias1);
      }
      if (!f.first) {
        x0 = _mm512_add_epi32(x0, _mm512_load_si512(accumulators));
        x1 = _mm512_add_epi32(x1, _mm512_load_si512(accumulators + 16));
      }
      if (f.regions > 0) {
        x0 = backgrounds0.AddTo(x0, p);
        x1 = backgrounds1.AddTo(x1, p);
      }
      // Saturating to 16 bits first changes nothing: the clamp lies well inside.
      __m512i y = _mm512_packs_epi32(scale0(x0), scale1(x1));
      y = _mm512_adds_epi16(y, addend);
      y = _mm512_max_epi16(_mm512_min_epi16(y, clamp_max), clamp_min);
      const __m256i bytes = _mm512_cvtepi16_epi8(y);
      if (mask == ~0u) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + p * f.out_pixel), bytes);
      } else {
        _mm256_mask_storeu_epi8(out + p * f.out_pixel, mask, bytes);
      }
    }
  }
}

}  // namespace

void FlushI8(const Flush& f) {
  if (f.last) {
    return WithScale(f.rescale, [&f](const auto& make_scale) { FlushLastI8(f, make_scale); });
  }
  for (int vector = 0; vector < f.vectors; ++vector) {
    const int filter = f.first_filter + vector * 32;
    const __m512i difference0 = LoadParam(f.difference, filter);
    const __m512i difference1 = LoadParam(f.difference, filter + 16);
    const char* sums = f.sums + vector * 64;
    int32_t* accumulators = static_cast<int32_t*>(f.accumulators) + filter;
    for (int p = 0; p < f.pixels; ++p, accumulators += f.padded_filters) {
      const __m512i x = _mm512_load_si512(sums + p * f.vectors * 64);
      __m512i x0 = _mm512_madd_epi16(x, difference0);
      __m512i x1 = _mm512_madd_epi16(x, difference1);
      if (!f.first) {
        x0 = _mm512_add_epi32(x0, _mm512_load_si512(accumulators));
        x1 = _mm512_add_epi32(x1, _mm512_load_si512(accumulators + 16));
      }
      _mm512_store_si512(accumulators, x0);
      _mm512_store_si512(accumulators + 16, x1);
    }
  }
}

namespace {

// A folded vector: the multiply-add joins the halves of each filter's sum.
template <typename MakeScale>
void FlushLastFolded(const Flush& f, const MakeScale& make_scale) {
  const auto scale = make_scale(f.rescale, f.first_filter);
  const __m512i difference = LoadParam(f.difference, f.first_filter);
  const __m512i bias = LoadParam(f.bias, f.first_filter);
  const int32_t* accumulators = static_cast<const int32_t*>(f.accumulators) + f.first_filter;
  const Backgrounds backgrounds(f, f.first_filter);
  const auto rescaled = [&](int p) {
    __m512i x = _mm512_madd_epi16(_mm512_load_si512(f.sums + p * 64), difference);
    if (!scale.kTakesSums) x = _mm512_add_epi32(x, bias);
    if (!f.first) {
      x = _mm512_add_epi32(
          x, _mm512_load_si512(accumulators + static_cast<ptrdiff_t>(p) * f.padded_filters));
    }
    if (f.regions > 0) x = backgrounds.AddTo(x, p);
    return scale(x);
  };
  StoreOneVector(f.rescale.addend + f.first_filter, f.filters - f.first_filter,
                 Clamp(f.clamp_min, f.clamp_max), f.pixels,
                 static_cast<int8_t*>(f.out) + f.first_filter, static_cast<ptrdiff_t>(f.out_pixel),
                 rescaled);
}

}  // namespace

void FlushF32(const Flush& f) {
  const __m512 clamp_min = _mm512_set1_ps(f.clamp_min_f32);
  const __m512 clamp_max = _mm512_set1_ps(f.clamp_max_f32);
  const float* box = static_cast<const float*>(f.box);
  for (int vector = 0; vector < f.vectors; ++vector) {
    const int filter = f.first_filter + vector * 16;
    if (filter >= f.filters) break;
    const int left = f.filters - filter;
    const __mmask16 mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1u << left) - 1);
    const __m512 difference = _mm512_load_ps(static_cast<const float*>(f.difference) + filter);
    const __m512 bias = _mm512_load_ps(static_cast<const float*>(f.bias) + filter);
    const char* sums = f.sums + vector * 64;
    float* accumulators = static_cast<float*>(f.accumulators) + filter;
    float* out = static_cast<float*>(f.out) + filter;
    for (int p = 0; p < f.pixels; ++p) {
      float* accumulator = accumulators + static_cast<ptrdiff_t>(p) * f.padded_filters;
      const __m512 sum = _mm512_load_ps(sums + p * f.vectors * 64);
      __m512 x = f.first ? _mm512_mul_ps(sum, difference)
                         : _mm512_fmadd_ps(sum, difference, _mm512_load_ps(accumulator));
      if (!f.last) {
        _mm512_store_ps(accumulator, x);
        continue;
      }
      for (int region = 0; region < f.regions; ++region) {
        const __m512 background =
            _mm512_load_ps(static_cast<const float*>(f.background) +
                           static_cast<ptrdiff_t>(region) * f.padded_filters + filter);
        x = _mm512_fmadd_ps(background, _mm512_set1_ps(box[p * f.regions + region]), x);
      }
      // Operand order keeps a NaN, as TFLite's reference does.
      x = _mm512_min_ps(clamp_max, _mm512_max_ps(clamp_min, _mm512_add_ps(x, bias)));
      if (mask == 0xffff) {
        _mm512_storeu_ps(out + p * f.out_pixel, x);
      } else {
        _mm512_mask_storeu_ps(out + p * f.out_pixel, mask, x);
      }
    }
  }
}

void FlushFoldedI8(const Flush& f) {
  if (f.last) {
    return WithScale(f.rescale, [&f](const auto& make_scale) { FlushLastFolded(f, make_scale); });
  }
  const __m512i difference = LoadParam(f.difference, f.first_filter);
  int32_t* accumulators = static_cast<int32_t*>(f.accumulators) + f.first_filter;
  for (int p = 0; p < f.pixels; ++p, accumulators += f.padded_filters) {
    __m512i x = _mm512_madd_epi16(_mm512_load_si512(f.sums + p * 64), difference);
    if (!f.first) x = _mm512_add_epi32(x, _mm512_load_si512(accumulators));
    _mm512_store_si512(accumulators, x);
  }
}

}  // namespace tf_signbin

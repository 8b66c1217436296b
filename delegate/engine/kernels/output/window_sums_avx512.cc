// Sums of windows (AVX-512 F). See window_sums.h.
#include <immintrin.h>

#include <cstddef>

#include "engine/kernels/output/window_sums.h"

namespace tf_signbin {
namespace {

constexpr int kLanes = 16;

// The places of 16 elements that lie `step` apart.
inline __m512i Places(int step) {
  return _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                            _mm512_set1_epi32(step));
}

struct Int32 {
  using Vector = __m512i;
  static Vector Zero() { return _mm512_setzero_si512(); }
  static Vector Add(Vector a, Vector b) { return _mm512_add_epi32(a, b); }
  static Vector Load(__mmask16 mask, const int32_t* p) { return _mm512_maskz_loadu_epi32(mask, p); }
  static Vector Gather(__mmask16 mask, __m512i places, const int32_t* p) {
    return _mm512_mask_i32gather_epi32(Zero(), mask, places, p, sizeof(*p));
  }
  static void Store(__mmask16 mask, Vector x, int32_t* p) { _mm512_mask_storeu_epi32(p, mask, x); }
  static void Scatter(__mmask16 mask, __m512i places, Vector x, int32_t* p) {
    _mm512_mask_i32scatter_epi32(p, mask, places, x, sizeof(*p));
  }
};

struct Float32 {
  using Vector = __m512;
  static Vector Zero() { return _mm512_setzero_ps(); }
  static Vector Add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static Vector Load(__mmask16 mask, const float* p) { return _mm512_maskz_loadu_ps(mask, p); }
  static Vector Gather(__mmask16 mask, __m512i places, const float* p) {
    return _mm512_mask_i32gather_ps(Zero(), mask, places, p, sizeof(*p));
  }
  static void Store(__mmask16 mask, Vector x, float* p) { _mm512_mask_storeu_ps(p, mask, x); }
  static void Scatter(__mmask16 mask, __m512i places, Vector x, float* p) {
    _mm512_mask_i32scatter_ps(p, mask, places, x, sizeof(*p));
  }
};

template <typename Type, typename Sum>
inline void Add(const WindowSums<Sum>& w) {
  const __m512i places = Places(w.pixel_step), total_places = Places(w.total_step);
  for (int pixel = 0; pixel < w.pixels; pixel += kLanes) {
    const int left = w.pixels - pixel;
    const __mmask16 inside = static_cast<__mmask16>(left < kLanes ? (1 << left) - 1 : 0xffff);
    typename Type::Vector total = Type::Zero();
    for (int row = 0; row < w.rows; ++row) {
      const Sum* sums = w.columns[row] + static_cast<ptrdiff_t>(pixel) * w.pixel_step;
      for (int tap = 0; tap < w.taps; ++tap, sums += w.tap_step) {
        total = Type::Add(total, w.pixel_step == 1 ? Type::Load(inside, sums)
                                                   : Type::Gather(inside, places, sums));
      }
    }
    Sum* totals = w.totals + static_cast<ptrdiff_t>(pixel) * w.total_step;
    if (w.total_step == 1) {
      Type::Store(inside, total, totals);
    } else {
      Type::Scatter(inside, total_places, total, totals);
    }
  }
}

}  // namespace

void AddWindows(const WindowSums<int32_t>& windows) { Add<Int32>(windows); }
void AddWindows(const WindowSums<float>& windows) { Add<Float32>(windows); }

}  // namespace tf_signbin

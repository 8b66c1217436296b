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

// Only the addition tells the lanes' types apart.
inline __m512i AddLanes(__m512i a, __m512i b, int32_t) { return _mm512_add_epi32(a, b); }
inline __m512i AddLanes(__m512i a, __m512i b, float) {
  return _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}

template <typename Sum>
inline void Add(const WindowSums<Sum>& w) {
  const __m512i places = Places(w.pixel_step), total_places = Places(w.total_step);
  for (int pixel = 0; pixel < w.pixels; pixel += kLanes) {
    const int left = w.pixels - pixel;
    const __mmask16 inside = static_cast<__mmask16>(left < kLanes ? (1 << left) - 1 : 0xffff);
    __m512i total = _mm512_setzero_si512();
    for (int row = 0; row < w.rows; ++row) {
      const Sum* sums = w.columns[row] + static_cast<ptrdiff_t>(pixel) * w.pixel_step;
      for (int tap = 0; tap < w.taps; ++tap, sums += w.tap_step) {
        const __m512i x = w.pixel_step == 1
                              ? _mm512_maskz_loadu_epi32(inside, sums)
                              : _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), inside, places,
                                                            sums, sizeof(Sum));
        total = AddLanes(total, x, Sum());
      }
    }
    Sum* totals = w.totals + static_cast<ptrdiff_t>(pixel) * w.total_step;
    if (w.total_step == 1) {
      _mm512_mask_storeu_epi32(totals, inside, total);
    } else {
      _mm512_mask_i32scatter_epi32(totals, inside, total_places, total, sizeof(Sum));
    }
  }
}

}  // namespace

void AddWindows(const WindowSums<int32_t>& windows) { Add(windows); }
void AddWindows(const WindowSums<float>& windows) { Add(windows); }

}  // namespace tf_signbin

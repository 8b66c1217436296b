// The sums of all channels in windows, from those of columns: what backgrounds are multiplied with.
// Plain pointers and sizes only: window_sums_avx512.cc is compiled for AVX-512.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_WINDOW_SUMS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_WINDOW_SUMS_H_

#include <cstdint>

namespace tf_signbin {

// Windows of adjacent pixels. Steps are in elements.
template <typename Sum>
struct WindowSums {
  const Sum* const* columns;  // of each window row, from the first pixel's first column on
  int rows, taps;             // of a window
  int tap_step, pixel_step;   // from column to column of a window, from window to window
  int pixels;
  Sum* totals;
  int total_step;  // from pixel to pixel
};

void AddWindows(const WindowSums<int32_t>& windows);
void AddWindows(const WindowSums<float>& windows);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_WINDOW_SUMS_H_

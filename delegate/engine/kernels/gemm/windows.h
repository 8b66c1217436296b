// The windows of output pixels side by side (im2col), so that depth is padded once for a window
// instead of once for each of its taps.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_GEMM_WINDOWS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_GEMM_WINDOWS_H_

#include <cstddef>
#include <cstdint>

#include "engine/types.h"

namespace tf_signbin {
namespace gemm {

class Windows {
 public:
  using CopyRunsFn = void (*)(const int8_t* from, size_t step, int count, int bytes, int8_t* to);

  // `depth`: bytes from one copied window to the next.
  Windows(const ConvShape& shape, int zero_point, int depth);

  // Copies those of the output pixels [first_pixel, first_pixel + pixels) of all images to `rows`.
  void Copy(int first_pixel, int pixels, const int8_t* input, int8_t* rows) const;

 private:
  void CopyRow(const int8_t* image, int y, int x, int end, int8_t* to) const;
  void CopyOne(const int8_t* image, int first_y, int first_x, int8_t* to) const;

  const ConvShape shape_;
  const int8_t padding_;
  const int depth_;
  const CopyRunsFn copy_runs_;
  // The output columns whose windows have all their columns inside the image.
  int inside_begin_, inside_end_;
};

}  // namespace gemm
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_GEMM_WINDOWS_H_

#include "engine/kernels/gemm/windows.h"

#include <algorithm>
#include <cstring>

#include "engine/ceil_div.h"

namespace tf_signbin {
namespace gemm {
namespace {

// Copies `count` runs of `bytes` >= kChunk that lie `step` apart, in chunks of which the last
// overlaps the one before; two of them without `kMany`.
template <int kChunk, bool kMany>
void CopyRuns(const int8_t* from, size_t step, int count, int bytes, int8_t* to) {
  const int last = bytes - kChunk;
  for (int i = 0; i < count; ++i, from += step, to += bytes) {
    std::memcpy(to, from, kChunk);
    for (int k = kChunk; kMany && k < last; k += kChunk) std::memcpy(to + k, from + k, kChunk);
    std::memcpy(to + last, from + last, kChunk);
  }
}

// The function for runs of that many bytes: none calls memcpy.
Windows::CopyRunsFn FindCopyRuns(int bytes) {
  if (bytes > 32) return CopyRuns<16, true>;
  if (bytes > 16) return CopyRuns<16, false>;
  if (bytes > 8) return CopyRuns<8, false>;
  if (bytes > 4) return CopyRuns<4, false>;
  return CopyRuns<1, true>;
}

}  // namespace

Windows::Windows(const ConvShape& shape, int zero_point, int depth)
    : shape_(shape),
      padding_(static_cast<int8_t>(zero_point)),
      depth_(depth),
      copy_runs_(FindCopyRuns(shape.kernel_w * shape.in_c)) {
  const int last = (shape_.kernel_w - 1) * shape_.dilation_w;
  inside_begin_ = std::min(CeilDiv(shape_.pad_left, shape_.stride_w), shape_.out_w);
  const int right = shape_.in_w - 1 - last + shape_.pad_left;  // of the last such window
  inside_end_ = right < 0 ? 0 : std::min(right / shape_.stride_w + 1, shape_.out_w);
}

void Windows::Copy(int first_pixel, int pixels, const int8_t* input, int8_t* rows) const {
  const ConvShape& s = shape_;
  const size_t image_bytes = static_cast<size_t>(s.in_h) * s.in_w * s.in_c;
  int x = first_pixel % s.out_w, y = first_pixel / s.out_w % s.out_h;
  const int8_t* image = input + first_pixel / s.out_w / s.out_h * image_bytes;
  while (pixels > 0) {
    const int count = std::min(pixels, s.out_w - x);
    CopyRow(image, y, x, x + count, rows);
    rows += static_cast<size_t>(count) * depth_;
    pixels -= count;
    x = 0;
    if (++y < s.out_h) continue;
    y = 0;
    image += image_bytes;
  }
}

// Those of the pixels [x, end) of output row y.
void Windows::CopyRow(const int8_t* image, int y, int x, int end, int8_t* to) const {
  const ConvShape& s = shape_;
  const size_t in_row_bytes = static_cast<size_t>(s.in_w) * s.in_c;
  const int first_y = y * s.stride_h - s.pad_top;
  const bool inside =
      s.dilation_w == 1 && first_y >= 0 && first_y + (s.kernel_h - 1) * s.dilation_h < s.in_h;
  const int inside_end = inside ? std::min(inside_end_, end) : 0;
  for (; x < (inside_end > inside_begin_ ? std::min(inside_begin_, end) : end); ++x) {
    CopyOne(image, first_y, x * s.stride_w - s.pad_left, to);
    to += depth_;
  }
  const int8_t* from = image + static_cast<ptrdiff_t>(first_y * in_row_bytes) +
                       static_cast<ptrdiff_t>(x * s.stride_w - s.pad_left) * s.in_c;
  for (; x < inside_end; ++x, from += s.stride_w * s.in_c, to += depth_) {
    copy_runs_(from, s.dilation_h * in_row_bytes, s.kernel_h, s.kernel_w * s.in_c, to);
  }
  for (; x < end; ++x, to += depth_) {
    CopyOne(image, first_y, x * s.stride_w - s.pad_left, to);
  }
}

// One window, which may reach beyond the image.
void Windows::CopyOne(const int8_t* image, int first_y, int first_x, int8_t* to) const {
  const ConvShape& s = shape_;
  const auto pad = [&](int columns) {
    std::memset(to, padding_, static_cast<size_t>(columns) * s.in_c);
    to += columns * s.in_c;
  };
  // Columns that one copy takes.
  const int width = s.dilation_w == 1 ? s.kernel_w : 1;
  int in_y = first_y;
  for (int dy = 0; dy < s.kernel_h; ++dy, in_y += s.dilation_h) {
    int in_x = first_x;
    for (int dx = 0; dx < s.kernel_w; dx += width, in_x += s.dilation_w) {
      const int left = std::min(std::max(-in_x, 0), width);
      const int right = std::max(std::min(s.in_w - in_x, width), left);
      if (in_y < 0 || in_y >= s.in_h || left == right) {
        pad(width);
        continue;
      }
      pad(left);
      const size_t pixel = static_cast<size_t>(in_y) * s.in_w + in_x + left;
      std::memcpy(to, image + pixel * s.in_c, static_cast<size_t>(right - left) * s.in_c);
      to += (right - left) * s.in_c;
      pad(width - right);
    }
  }
}

}  // namespace gemm
}  // namespace tf_signbin

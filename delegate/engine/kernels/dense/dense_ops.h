// The vector parts of the dense family around its microkernels: copying activations and turning
// accumulators into outputs. Plain pointers and sizes only: dense_avx512vnni.cc is compiled for
// AVX-512 and must not instantiate templates that other files share.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_OPS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_OPS_H_

#include <cstddef>
#include <cstdint>

namespace tf_signbin {

inline constexpr int kDenseLanes = 16;    // filters in a vector
inline constexpr int kDenseChannels = 4;  // input channels in a group

// The microkernels take activations as x + 128, unsigned.
inline constexpr int kDenseOffset = 128;

// One row of the copy: `columns` pixels of `padded_c` bytes. Columns [inside, right) are input
// pixels from x = inside_x on, every step-th; the others are padding.
struct DenseRow {
  const int8_t* row;  // input row; null: the whole row is padding
  int in_c, padded_c;
  int columns, inside, right;
  int inside_x, step;
  int8_t padding;  // the zero point
  int8_t* out;
};

// How 16 accumulators are rescaled, even lanes' filters first. With s = -shift >= 1, TFLite's two
// roundings of x * multiplier are one floor of a 64-bit sum,
//   (x * multiplier + 2^30 + 2^(30 + s) - (x * multiplier < 0 ? 2^31 : 0)) >> (31 + s)
// because floor(floor(a / b + c) / d) = floor((a + b * c) / (b * d)); the term in parentheses is
// gemmlowp's rounding of halves away from zero. The output zero point is added before the shift.
struct alignas(64) DenseScale {
  int64_t multiplier[2][8];
  int64_t addend[2][8];    // 2^30, 2^(30 + s) and the zero point shifted left by 31 + s
  int64_t negative[2][8];  // 2^31: subtracted when the product is negative
  int32_t shift[16];       // s - 1, of the sums' high halves; filters in order within each quarter
};
inline constexpr int kMaxDenseShift = 24;  // larger s could overflow 64 bits

// Empties the registers of one microkernel call. Pixel p, vector f of filters is at
// sums + (p * vectors + f) * 16.
struct DenseFlush {
  const int32_t* sums;
  int pixels, vectors;
  int filters;               // filters to write, at most vectors * 16
  const DenseScale* scales;  // of the first vector
  bool above_zero_point;     // clamp_min >= zero point: the sign of a product does not matter
  int32_t clamp_min, clamp_max;
  int8_t* out;       // pixel 0, first filter
  size_t out_pixel;  // from pixel to pixel
};

// Which of a block's filters sits in a lane: the order that even/odd rescaling and the packs to
// bytes of one vector, or of two, undo.
inline int DenseLaneFilter(int vectors, int vector, int lane) {
  const int slot = lane % 2 * 2 + lane % 4 / 2;
  if (vectors == 1) return lane / 4 * 4 + slot;
  return vector / 2 * 2 * kDenseLanes + lane / 4 * 8 + vector % 2 * 4 + slot;
}

void DenseCopyRow(const DenseRow& row);
void DenseFlushSums(const DenseFlush& flush);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_OPS_H_

// The microkernels of dense_kernels_avx512vnni.S: those that multiply channels (i8), and those that
// look sums of channels up in four tables a group and widen them at once (i8b) or after 2 or 4
// groups (i8b2, i8b4). Of dense_wide_kernels_avx512vnni.S: those with one table a group (i8w2,
// i8w4).
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_KERNELS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_KERNELS_H_

#include <cstdint>

namespace tf_signbin {

// One call: P adjacent output pixels times F vectors of 16 filters. A tap is a run of channels that
// is contiguous in the input (of tables, in their ring). The assembly knows these offsets.
struct DenseTask {
  const int8_t* const* taps;  // for each tap: the first pixel's first channel
  int64_t tap_count;
  int64_t blocks;          // whole blocks of 4 channel groups in a tap
  int64_t tail_groups;     // groups after them
  int64_t pixel_bytes;     // from one pixel's channels to the next pixel's
  const int8_t* weights;   // for each tap, group: F vectors of 16 filters x 4 bytes
  const int32_t* bias;     // F vectors
  int32_t* sums;           // P * F vectors
  const int32_t* factors;  // of look-ups: F vectors
  // Taps can be divided among calls: what the last one left for these pixels, or null; and whether
  // another one follows, for which `sums` takes P * F vectors (2 P of look-ups for 64 filters).
  const int32_t* partial;
  int64_t unfinished;
};
static_assert(sizeof(DenseTask) == 88, "dense_kernels_avx512vnni.S relies on this layout");

inline constexpr int kDenseBlockGroups = 4;

using DenseKernelFn = void (*)(const DenseTask* task);

// Shapes (P pixels, F vectors of filters): those of all, and those of i8 and i8b alone.
// clang-format off
#define TF_SIGNBIN_DENSE_KERNELS(X)                                                     \
  X(1, 4) X(2, 4) X(3, 4)                                                               \
  X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2)                       \
  X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(9, 1) X(10, 1)      \
  X(11, 1) X(12, 1) X(13, 1) X(14, 1) X(15, 1) X(16, 1)
#define TF_SIGNBIN_WIDE_DENSE_KERNELS(X) X(9, 2) X(10, 2) X(11, 2) X(12, 2)
// clang-format on

#define TF_SIGNBIN_DENSE_64_FILTER_KERNELS(X) \
  X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) X(6, 4) X(7, 4) X(8, 4)

inline constexpr int kMaxDenseSums = 32;  // largest P * F

#define TF_SIGNBIN_DECLARE(pixels, vectors)                                         \
  extern "C" void tf_signbin_dense_i8_p##pixels##f##vectors(const DenseTask* task); \
  extern "C" void tf_signbin_dense_i8b_p##pixels##f##vectors(const DenseTask* task);
TF_SIGNBIN_DENSE_KERNELS(TF_SIGNBIN_DECLARE)
TF_SIGNBIN_WIDE_DENSE_KERNELS(TF_SIGNBIN_DECLARE)
#undef TF_SIGNBIN_DECLARE
#define TF_SIGNBIN_DECLARE(pixels, vectors)                                           \
  extern "C" void tf_signbin_dense_i8b2_p##pixels##f##vectors(const DenseTask* task); \
  extern "C" void tf_signbin_dense_i8b4_p##pixels##f##vectors(const DenseTask* task);
TF_SIGNBIN_DENSE_KERNELS(TF_SIGNBIN_DECLARE)
#undef TF_SIGNBIN_DECLARE
#define TF_SIGNBIN_DECLARE(pixels, vectors)                                           \
  extern "C" void tf_signbin_dense_i8w2_p##pixels##f##vectors(const DenseTask* task); \
  extern "C" void tf_signbin_dense_i8w4_p##pixels##f##vectors(const DenseTask* task);
TF_SIGNBIN_DENSE_64_FILTER_KERNELS(TF_SIGNBIN_DECLARE)
#undef TF_SIGNBIN_DECLARE

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_KERNELS_H_

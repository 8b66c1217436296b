// The register-permute microkernels of permute_kernels_avx512.S.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_KERNELS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_KERNELS_H_

#include <cstdint>

namespace tf_signbin {

inline constexpr int kTableBytes = 128;  // one table: 64 int16 or 32 float32 entries, two registers

// One call: P adjacent output pixels times F vectors of filters, over `tap_count` taps (with
// shared taps: rows of three taps). The assembly knows these offsets.
struct PermuteTask {
  const char* const* taps;  // for each tap: the first pixel's table of the first group
  int64_t tap_count;
  int64_t blocks;        // whole index words' worth of groups
  int64_t tail_groups;   // groups in the last, partial index word
  int64_t column_bytes;  // from one pixel's table to the next pixel's
  const void* indices;   // for each tap, word, shared tap: F vectors
  void* out;             // P * F vectors of 64 bytes
};
static_assert(sizeof(PermuteTask) == 56, "permute_kernels_avx512.S relies on this layout");

using PermuteKernelFn = void (*)(const PermuteTask* task);

// A microkernel's shape; `shared_taps` horizontally adjacent taps read each table together.
struct PermuteKernel {
  int shared_taps;  // 1 or 3
  int pixels;       // P
  int vectors;      // F
  PermuteKernelFn int8;
  PermuteKernelFn float32;
};

#define TF_SIGNBIN_PERMUTE_KERNELS(X)                                                          \
  X(1, 1, 4) X(1, 2, 4) X(1, 3, 4) X(1, 4, 4) X(1, 5, 4) X(1, 6, 4)                            \
  X(1, 4, 2) X(1, 5, 2) X(1, 6, 2) X(1, 7, 2) X(1, 8, 2)                                       \
  X(3, 4, 2) X(3, 5, 2) X(3, 6, 2) X(3, 7, 2) X(3, 8, 2)                                       \
  X(1, 4, 1) X(1, 5, 1) X(1, 6, 1) X(1, 7, 1) X(1, 8, 1)                                       \
  X(3, 4, 1) X(3, 5, 1) X(3, 6, 1) X(3, 7, 1) X(3, 8, 1)                                       \
  X(1, 1, 8)

#define TF_SIGNBIN_DECLARE(taps, pixels, vectors)                                        \
  extern "C" void tf_signbin_permute_i8_t##taps##_p##pixels##f##vectors(                 \
      const PermuteTask* task);                                                          \
  extern "C" void tf_signbin_permute_f32_t##taps##_p##pixels##f##vectors(                \
      const PermuteTask* task);
TF_SIGNBIN_PERMUTE_KERNELS(TF_SIGNBIN_DECLARE)
#undef TF_SIGNBIN_DECLARE

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_KERNELS_H_

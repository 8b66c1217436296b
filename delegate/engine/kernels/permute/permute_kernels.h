// The register-permute microkernels of permute_kernels_avx512.S.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_KERNELS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_KERNELS_H_

#include <cstdint>

namespace tf_signbin {

// One call: P adjacent output pixels times F vectors of filters, over `tap_count` taps (with
// shared taps: rows of three taps). The assembly knows these offsets.
struct PermuteTask {
  const char* const* taps;  // for each tap: the first pixel's table of the first group
  int64_t tap_count;
  int64_t blocks;  // whole index vectors' worth of groups (2 for int8, 1 for i8b, 4 for float32)
  int64_t tail_groups;   // groups in the last, partial index vector
  int64_t column_bytes;  // from one pixel's table to the next pixel's
  const void* indices;   // for each tap, vector's worth, shared tap: F vectors of 64 bytes
  void* out;             // P * F vectors of 64 bytes
};
static_assert(sizeof(PermuteTask) == 56, "permute_kernels_avx512.S relies on this layout");

using PermuteKernelFn = void (*)(const PermuteTask* task);

// Shapes (table registers, taps that share a table, P pixels, F vectors of filters).
// clang-format off
#define TF_SIGNBIN_PERMUTE_SHAPES(X, regs)                                              \
  X(regs, 1, 1, 4) X(regs, 1, 2, 4) X(regs, 1, 3, 4) X(regs, 1, 4, 4) X(regs, 1, 5, 4)  \
  X(regs, 1, 6, 4) X(regs, 1, 4, 2) X(regs, 1, 5, 2) X(regs, 1, 6, 2) X(regs, 1, 7, 2)  \
  X(regs, 1, 8, 2) X(regs, 3, 4, 2) X(regs, 3, 5, 2) X(regs, 3, 6, 2) X(regs, 3, 7, 2)  \
  X(regs, 3, 8, 2) X(regs, 1, 4, 1) X(regs, 1, 5, 1) X(regs, 1, 6, 1) X(regs, 1, 7, 1)  \
  X(regs, 1, 8, 1) X(regs, 3, 4, 1) X(regs, 3, 5, 1) X(regs, 3, 6, 1) X(regs, 3, 7, 1)  \
  X(regs, 3, 8, 1) X(regs, 1, 16, 1) X(regs, 3, 16, 1) X(regs, 1, 1, 8)
// clang-format on
#define TF_SIGNBIN_PERMUTE_KERNELS(X) \
  TF_SIGNBIN_PERMUTE_SHAPES(X, 1) TF_SIGNBIN_PERMUTE_SHAPES(X, 2)

// i8s adds with saturation, which never happens, but suits some cores better. So does i8b, which
// permutes bytes: an index is the two bytes of an entry in a one-register table.
#define TF_SIGNBIN_DECLARE_BYTES(regs, taps, pixels, vectors)                       \
  extern "C" void tf_signbin_permute_i8b_r##regs##_t##taps##_p##pixels##f##vectors( \
      const PermuteTask* task);
TF_SIGNBIN_PERMUTE_SHAPES(TF_SIGNBIN_DECLARE_BYTES, 1)
#undef TF_SIGNBIN_DECLARE_BYTES
#define TF_SIGNBIN_DECLARE(regs, taps, pixels, vectors)                             \
  extern "C" void tf_signbin_permute_i8_r##regs##_t##taps##_p##pixels##f##vectors(  \
      const PermuteTask* task);                                                     \
  extern "C" void tf_signbin_permute_i8s_r##regs##_t##taps##_p##pixels##f##vectors( \
      const PermuteTask* task);                                                     \
  extern "C" void tf_signbin_permute_f32_r##regs##_t##taps##_p##pixels##f##vectors( \
      const PermuteTask* task);
TF_SIGNBIN_PERMUTE_KERNELS(TF_SIGNBIN_DECLARE)
#undef TF_SIGNBIN_DECLARE

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_KERNELS_H_

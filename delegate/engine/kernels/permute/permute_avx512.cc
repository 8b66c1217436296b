// Register-permute convolution (AVX-512 F, BW, DQ, VL): filters in lanes, tables in registers.
//
// For each input pixel and group of M input channels a table holds the sum of every channel subset
// of the layer's dictionary. The microkernels look a group up for 32 (int8) or 16 (float32) filters
// with one permutation and add it to accumulators that stay in registers; this file builds the
// tables, walks the tiles and turns accumulators into outputs.
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "engine/kernels/permute/permute.h"
#include "engine/kernels/permute/permute_kernels.h"
#include "engine/kernels/permute/permute_plan.h"

namespace tf_signbin {
namespace {

constexpr int kMaxOutVectors = 24;  // largest P * F of any microkernel
constexpr int kZeroLane = 31;       // a source lane that is always 0 (int16 tables)
constexpr int kZeroLaneF32 = 15;

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct AlignedDelete {
  void operator()(void* p) const { std::free(p); }
};
template <typename T>
using AlignedArray = std::unique_ptr<T[], AlignedDelete>;

template <typename T>
AlignedArray<T> MakeAligned(size_t count) {
  const size_t bytes = (count * sizeof(T) + 127) / 64 * 64;
  void* p = std::aligned_alloc(64, bytes);
  if (p == nullptr) throw std::bad_alloc();
  std::memset(p, 0, bytes);
  return AlignedArray<T>(static_cast<T*>(p));
}

PermuteKernelFn FindKernel(DataType type, int shared_taps, int pixels, int vectors) {
#define TF_SIGNBIN_CASE(t, p, f)                                   \
  if (shared_taps == t && pixels == p && vectors == f) {           \
    return type == DataType::kInt8 ? tf_signbin_permute_i8_t##t##_p##p##f##f    \
                                   : tf_signbin_permute_f32_t##t##_p##p##f##f;  \
  }
  TF_SIGNBIN_PERMUTE_KERNELS(TF_SIGNBIN_CASE)
#undef TF_SIGNBIN_CASE
  return nullptr;
}

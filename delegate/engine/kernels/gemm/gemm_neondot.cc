// NEON with dot products (ARMv8.2): filters in lanes, four weights of each a dot product.
#include <arm_neon.h>

#include "engine/kernels/gemm/gemm_ops.h"
#include "engine/kernels/gemm/gemm_panel-inl.h"

namespace tf_signbin {
namespace gemm {
namespace {

struct Sums {
  static constexpr int kPixels = 8, kFilters = 8, kGroup = 4, kVectors = kFilters / 4;
  int32x4_t lanes[kPixels][kVectors];

  void Clear() {
    for (auto& pixel : lanes) {
      for (int32x4_t& sum : pixel) sum = vdupq_n_s32(0);
    }
  }

  // Group kLane of the 16 activations in x.
  template <int kLane>
  void AddGroup(const int8x16_t (&x)[kPixels], const int8_t* weights) {
    int8x16_t w[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      w[v] = vld1q_s8(weights + (kLane * kVectors + v) * 16);
    }
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        lanes[p][v] = vdotq_laneq_s32(lanes[p][v], w[v], x[p], kLane);
      }
    }
  }

  // `groups` of at most four; 16 activations of each row can be read.
  void AddBlock(const int8_t* row, size_t row_bytes, const int8_t* weights, int groups) {
    int8x16_t x[kPixels];
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) x[p] = vld1q_s8(row + p * row_bytes);
    AddGroup<0>(x, weights);
    if (groups > 1) AddGroup<1>(x, weights);
    if (groups > 2) AddGroup<2>(x, weights);
    if (groups > 3) AddGroup<3>(x, weights);
  }

  // Filters become rows: four pixels by four filters at a time.
  void Store(int32_t* to) const {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 2
      for (int p = 0; p < kPixels; p += 4) {
        const int64x2_t low01 = vreinterpretq_s64_s32(vtrn1q_s32(lanes[p][v], lanes[p + 1][v]));
        const int64x2_t high01 = vreinterpretq_s64_s32(vtrn2q_s32(lanes[p][v], lanes[p + 1][v]));
        const int64x2_t low23 = vreinterpretq_s64_s32(vtrn1q_s32(lanes[p + 2][v], lanes[p + 3][v]));
        const int64x2_t high23 =
            vreinterpretq_s64_s32(vtrn2q_s32(lanes[p + 2][v], lanes[p + 3][v]));
        int32_t* filter = to + v * 4 * kTilePixels + p;
        vst1q_s32(filter, vreinterpretq_s32_s64(vtrn1q_s64(low01, low23)));
        vst1q_s32(filter + kTilePixels, vreinterpretq_s32_s64(vtrn1q_s64(high01, high23)));
        vst1q_s32(filter + 2 * kTilePixels, vreinterpretq_s32_s64(vtrn2q_s64(low01, low23)));
        vst1q_s32(filter + 3 * kTilePixels, vreinterpretq_s32_s64(vtrn2q_s64(high01, high23)));
      }
    }
  }
};

// Of one row: two sets of sums, so that a dot product waits less for the one before.
struct RowSums {
  static constexpr int kPixels = 1, kFilters = Sums::kFilters, kGroup = Sums::kGroup;
  static constexpr int kVectors = Sums::kVectors;
  int32x4_t lanes[2][kVectors];

  void Clear() {
    for (auto& set : lanes) {
      for (int32x4_t& sum : set) sum = vdupq_n_s32(0);
    }
  }

  template <int kLane>
  void AddGroup(int8x16_t x, const int8_t* weights) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const int8x16_t w = vld1q_s8(weights + (kLane * kVectors + v) * 16);
      lanes[kLane % 2][v] = vdotq_laneq_s32(lanes[kLane % 2][v], w, x, kLane);
    }
  }

  void AddBlock(const int8_t* row, size_t, const int8_t* weights, int groups) {
    const int8x16_t x = vld1q_s8(row);
    AddGroup<0>(x, weights);
    if (groups > 1) AddGroup<1>(x, weights);
    if (groups > 2) AddGroup<2>(x, weights);
    if (groups > 3) AddGroup<3>(x, weights);
  }

  void Store(int32_t* to) const {
    for (int v = 0; v < kVectors; ++v) vst1q_s32(to + 4 * v, vaddq_s32(lanes[0][v], lanes[1][v]));
  }
};

}  // namespace

const GemmOps kGemmOpsNeonDot = {
    Isa::kNeonDot,        Sums::kPixels,        Sums::kFilters,    /*depth_unit=*/Sums::kGroup,
    /*run=*/Sums::kGroup, /*takes_least=*/true, /*widen=*/nullptr, /*to_unsigned=*/nullptr,
    AddPanel<Sums>,       AddPanel<RowSums>};

}  // namespace gemm
}  // namespace tf_signbin

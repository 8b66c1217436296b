// NEON with products of 8-bit matrices (i8mm): `smmla` multiplies eight weights of two pixels with
// eight of two filters, so pixels and filters go in pairs.
#include <arm_neon.h>

#include "engine/kernels/gemm/gemm_ops.h"
#include "engine/kernels/gemm/gemm_panel-inl.h"

namespace tf_signbin {
namespace gemm {
namespace {

// Bytes `half` * 8 to `half` * 8 + 7 of one row, then of the next.
template <int half>
int8x16_t PairRows(int8x16_t row, int8x16_t next) {
  const int64x2_t a = vreinterpretq_s64_s8(row), b = vreinterpretq_s64_s8(next);
  return vreinterpretq_s8_s64(half == 0 ? vzip1q_s64(a, b) : vzip2q_s64(a, b));
}

struct Sums {
  static constexpr int kPixels = 8, kFilters = 8, kGroup = 8;
  static constexpr int kPixelPairs = kPixels / 2, kFilterPairs = kFilters / 2;
  // Of a pair of pixels p and a pair of filters f: p0 f0, p0 f1, p1 f0, p1 f1.
  int32x4_t lanes[kPixelPairs][kFilterPairs];

  void Clear() {
    for (auto& pixels : lanes) {
      for (int32x4_t& sum : pixels) sum = vdupq_n_s32(0);
    }
  }

  // Eight activations of every pixel with eight weights of every filter.
  void AddGroup(const int8x16_t (&x)[kPixelPairs], const int8_t* weights) {
#pragma GCC unroll 4
    for (int f = 0; f < kFilterPairs; ++f) {
      const int8x16_t w = vld1q_s8(weights + f * 16);
#pragma GCC unroll 4
      for (int p = 0; p < kPixelPairs; ++p) lanes[p][f] = vmmlaq_s32(lanes[p][f], x[p], w);
    }
  }

  // `groups`: one or two; 16 activations of each row can be read.
  void AddBlock(const int8_t* row, size_t row_bytes, const int8_t* weights, int groups) {
    int8x16_t first[kPixelPairs], second[kPixelPairs];
#pragma GCC unroll 4
    for (int p = 0; p < kPixelPairs; ++p) {
      const int8x16_t x0 = vld1q_s8(row + (2 * p) * row_bytes);
      const int8x16_t x1 = vld1q_s8(row + (2 * p + 1) * row_bytes);
      first[p] = PairRows<0>(x0, x1);
      second[p] = PairRows<1>(x0, x1);
    }
    AddGroup(first, weights);
    if (groups > 1) AddGroup(second, weights + kFilters * kGroup);
  }

  // Filters become rows: four pixels of two filters at a time.
  void Store(int32_t* to) const {
#pragma GCC unroll 4
    for (int f = 0; f < kFilterPairs; ++f) {
#pragma GCC unroll 2
      for (int p = 0; p < kPixelPairs; p += 2) {
        int32_t* filter = to + 2 * f * kTilePixels + 2 * p;
        // Even lanes of both pairs are the first filter's, odd ones the second's.
        vst1q_s32(filter, vuzp1q_s32(lanes[p][f], lanes[p + 1][f]));
        vst1q_s32(filter + kTilePixels, vuzp2q_s32(lanes[p][f], lanes[p + 1][f]));
      }
    }
  }
};

// Of one row, which takes the place of a pair: half of the products are twins. Two sets of sums, so
// that a product waits less for the one before.
struct RowSums {
  static constexpr int kPixels = 1, kFilters = Sums::kFilters, kGroup = Sums::kGroup;
  static constexpr int kFilterPairs = Sums::kFilterPairs;
  int32x4_t lanes[2][kFilterPairs];

  void Clear() {
    for (auto& set : lanes) {
      for (int32x4_t& sum : set) sum = vdupq_n_s32(0);
    }
  }

  template <int half>
  void AddGroup(int8x16_t x, const int8_t* weights) {
    const int8x16_t twice = PairRows<half>(x, x);
#pragma GCC unroll 4
    for (int f = 0; f < kFilterPairs; ++f) {
      const int8x16_t w = vld1q_s8(weights + (half * kFilterPairs + f) * 16);
      lanes[half][f] = vmmlaq_s32(lanes[half][f], twice, w);
    }
  }

  void AddBlock(const int8_t* row, size_t, const int8_t* weights, int groups) {
    const int8x16_t x = vld1q_s8(row);
    AddGroup<0>(x, weights);
    if (groups > 1) AddGroup<1>(x, weights);
  }

  void Store(int32_t* to) const {
    for (int f = 0; f < kFilterPairs; ++f) {
      vst1_s32(to + 2 * f, vget_low_s32(vaddq_s32(lanes[0][f], lanes[1][f])));
    }
  }
};

}  // namespace

const GemmOps kGemmOpsNeonI8mm = {
    Isa::kNeonI8mm,       Sums::kPixels,        Sums::kFilters,    /*depth_unit=*/Sums::kGroup,
    /*run=*/Sums::kGroup, /*takes_least=*/true, /*widen=*/nullptr, /*to_unsigned=*/nullptr,
    AddPanel<Sums>,       AddPanel<RowSums>};

}  // namespace gemm
}  // namespace tf_signbin

// NEON with products of 8-bit matrices (i8mm): `smmla` multiplies eight weights of two pixels with
// eight of two filters, so pixels and filters go in pairs. A single pixel is better off with dot
// products.
#include <arm_neon.h>

#include "engine/kernels/gemm/gemm_ops.h"
#include "engine/kernels/gemm/gemm_outputs_neon-inl.h"

namespace tf_signbin {
namespace gemm {
namespace {

struct Sums {
  static constexpr int kPixels = 4, kPanels = 1, kGroup = 8;
  static constexpr int kPixelPairs = kPixels / 2, kFilterPairs = kLaneFilters / 2;
  // Of a pair of pixels p and a pair of filters f: p0 f0, p0 f1, p1 f0, p1 f1.
  int32x4_t lanes[kPixelPairs][kFilterPairs];

  void Start(const int32_t* biases) {
#pragma GCC unroll 8
    for (int f = 0; f < kFilterPairs; ++f) {
      const int32x2_t bias = vld1_s32(biases + 2 * f);
      for (auto& pixels : lanes) pixels[f] = vcombine_s32(bias, bias);
    }
  }

  // Eight activations of every pixel with eight weights of every filter.
  void AddGroup(const int8x16_t (&x)[kPixelPairs], const int8_t* weights) {
#pragma GCC unroll 8
    for (int f = 0; f < kFilterPairs; ++f) {
      const int8x16_t w = vld1q_s8(weights + f * 16);
#pragma GCC unroll 2
      for (int p = 0; p < kPixelPairs; ++p) lanes[p][f] = vmmlaq_s32(lanes[p][f], x[p], w);
    }
  }

  // `groups`: one or two; 16 activations of each row can be read.
  void AddBlock(const int8_t* const (&rows)[kPixels], const int8_t* weights, size_t, int groups) {
    int8x16_t first[kPixelPairs], second[kPixelPairs];
#pragma GCC unroll 2
    for (int p = 0; p < kPixelPairs; ++p) {
      const int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(rows[2 * p]));
      const int64x2_t b = vreinterpretq_s64_s8(vld1q_s8(rows[2 * p + 1]));
      first[p] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
      second[p] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
    }
    AddGroup(first, weights);
    if (groups > 1) AddGroup(second, weights + kLaneFilters * kGroup);
  }

  void Take(int pixel, int, int32x4_t (&to)[kLaneVectors]) const {
#pragma GCC unroll 4
    for (int v = 0; v < kLaneVectors; ++v) {
      const int64x2_t a = vreinterpretq_s64_s32(lanes[pixel / 2][2 * v]);
      const int64x2_t b = vreinterpretq_s64_s32(lanes[pixel / 2][2 * v + 1]);
      to[v] = vreinterpretq_s32_s64(pixel % 2 == 0 ? vzip1q_s64(a, b) : vzip2q_s64(a, b));
    }
  }
};

// The copy tells compilers that outputs, which are bytes, overwrite none of the arguments.
void Write(const OutputArgs& arguments) {
  WithScale(arguments.rescale, [&arguments](const auto& make) {
    const OutputArgs args = arguments;
    for (int filter = 0; filter < args.filters; filter += kLaneFilters) {
      WritePanels<Sums>(args, make, filter);
    }
  });
}

}  // namespace

const GemmOps kGemmOpsNeonI8mm = {Isa::kNeonI8mm,
                                  Sums::kPixels,
                                  kLaneFilters,
                                  /*depth_unit=*/Sums::kGroup,
                                  /*run=*/Sums::kGroup,
                                  /*takes_least=*/true,
                                  /*widen=*/nullptr,
                                  /*to_unsigned=*/nullptr,
                                  /*panel=*/nullptr,
                                  /*row=*/nullptr,
                                  Write};

}  // namespace gemm
}  // namespace tf_signbin

// NEON with dot products (ARMv8.2): filters in lanes, four weights of each a dot product.
#include <arm_neon.h>

#include "engine/kernels/gemm/gemm_ops.h"
#include "engine/kernels/gemm/gemm_outputs_neon-inl.h"

namespace tf_signbin {
namespace gemm {
namespace {

template <int kPixelCount, int kPanelCount>
struct Sums {
  static constexpr int kPixels = kPixelCount, kPanels = kPanelCount, kGroup = 4;
  static constexpr int kVectors = kPanels * kLaneVectors;
  int32x4_t lanes[kPixels][kVectors];

  void Start(const int32_t* biases) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const int32x4_t bias = vld1q_s32(biases + 4 * v);
      for (auto& pixel : lanes) pixel[v] = bias;
    }
  }

  // Group kLane of the 16 activations in x.
  template <int kLane>
  void AddGroup(const int8x16_t (&x)[kPixels], const int8_t* weights, size_t panel_bytes) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const int8x16_t w = vld1q_s8(weights + v / kLaneVectors * panel_bytes +
                                   (kLane * kLaneVectors + v % kLaneVectors) * 16);
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) {
        lanes[p][v] = vdotq_laneq_s32(lanes[p][v], w, x[p], kLane);
      }
    }
  }

  // `groups` of at most four; 16 activations of each row can be read.
  void AddBlock(const int8_t* const (&rows)[kPixels], const int8_t* weights, size_t panel_bytes,
                int groups) {
    int8x16_t x[kPixels];
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) x[p] = vld1q_s8(rows[p]);
    AddGroup<0>(x, weights, panel_bytes);
    if (groups > 1) AddGroup<1>(x, weights, panel_bytes);
    if (groups > 2) AddGroup<2>(x, weights, panel_bytes);
    if (groups > 3) AddGroup<3>(x, weights, panel_bytes);
  }

  void Take(int pixel, int panel, int32x4_t (&to)[kLaneVectors]) const {
#pragma GCC unroll 4
    for (int v = 0; v < kLaneVectors; ++v) to[v] = lanes[pixel][panel * kLaneVectors + v];
  }
};

// The copy tells compilers that outputs, which are bytes, overwrite none of the arguments.
void Write(const OutputArgs& arguments) {
  WithScale(arguments.rescale, [&arguments](const auto& make) {
    const OutputArgs args = arguments;
    int filter = 0;
    if (args.pixels == 1) {
      // Two panels at a time, so that a dot product does not wait for the one before.
      for (; filter + kLaneFilters < args.filters; filter += 2 * kLaneFilters) {
        WritePanels<Sums<1, 2>>(args, make, filter);
      }
      if (filter < args.filters) WritePanels<Sums<1, 1>>(args, make, filter);
      return;
    }
    for (; filter < args.filters; filter += kLaneFilters) {
      WritePanels<Sums<4, 1>>(args, make, filter);
    }
  });
}

}  // namespace

const GemmOps kGemmOpsNeonDot = {Isa::kNeonDot,
                                 /*pixels=*/4,
                                 kLaneFilters,
                                 /*depth_unit=*/4,
                                 /*run=*/4,
                                 /*takes_least=*/true,
                                 /*widen=*/nullptr,
                                 /*to_unsigned=*/nullptr,
                                 /*panel=*/nullptr,
                                 /*row=*/nullptr,
                                 Write};

}  // namespace gemm
}  // namespace tf_signbin

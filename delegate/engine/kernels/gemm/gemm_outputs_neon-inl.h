// What the NEON microkernels share whose sums have filters in lanes: the loops over panels and
// pixels, and the outputs. Included by files of one instruction set each.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_GEMM_GEMM_OUTPUTS_NEON_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_GEMM_GEMM_OUTPUTS_NEON_INL_H_

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "engine/kernels/gemm/gemm_ops.h"
#include "engine/kernels/output/filter_lanes_neon-inl.h"

namespace tf_signbin {
namespace gemm {
namespace {

// Sums holds the sums of kPixels rows by kPanels panels of 16 filters: Start(biases),
// AddBlock(rows, weights, panel_bytes, groups) for the next `groups` of kGroup weights, at most
// kDepthBlock of them, and Take(pixel, panel, sums). Writes the outputs of panels from `filter` on.
template <class Sums, class MakeScale>
inline __attribute__((always_inline)) void WritePanels(const OutputArgs& args,
                                                       const MakeScale& make, int filter) {
  constexpr int kGroups = kDepthBlock / Sums::kGroup;
  const RescaleView rescale = args.rescale;
  const size_t panel_bytes = static_cast<size_t>(kLaneFilters) * args.depth;
  const size_t row_bytes = args.row_bytes, out_row_bytes = args.out_row_bytes;
  const int8_t* const panel = args.weights + filter / kLaneFilters * panel_bytes;
  const int8x16_t least = vdupq_n_s8(args.least), most = vdupq_n_s8(args.most);
  const int pixels = args.pixels, filters = args.filters, depth = args.depth;
  for (int pixel = 0; pixel < pixels; pixel += Sums::kPixels) {
    const int left = pixels - pixel;
    const int8_t* rows[Sums::kPixels] = {args.rows + pixel * row_bytes};
#pragma GCC unroll 4
    for (int p = 1; p < Sums::kPixels; ++p) {  // the last one again where there are no more
      rows[p] = rows[p - 1] + (p < left ? row_bytes : 0);
    }
    Sums sums;
    sums.Start(args.biases + filter);
    const int8_t* weights = panel;
    int groups = depth / Sums::kGroup;
    for (; groups >= kGroups; groups -= kGroups) {
      sums.AddBlock(rows, weights, panel_bytes, kGroups);
      for (const int8_t*& row : rows) row += kDepthBlock;
      weights += kLaneFilters * kDepthBlock;
    }
    if (groups > 0) sums.AddBlock(rows, weights, panel_bytes, groups);
#pragma GCC unroll 2
    for (int i = 0; i < Sums::kPanels; ++i) {
      const int first = filter + i * kLaneFilters;
      const auto scale = make(rescale, args.first_lane + first);
      int8_t* out = args.out + pixel * out_row_bytes + first;
#pragma GCC unroll 4
      for (int p = 0; p < Sums::kPixels; ++p, out += out_row_bytes) {
        if (p >= left) break;
        int32x4_t x[kLaneVectors];
        sums.Take(p, i, x);
        StoreBytes(ToBytes(scale, x, least, most), filters - first, out);
      }
    }
  }
}

}  // namespace
}  // namespace gemm
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_GEMM_GEMM_OUTPUTS_NEON_INL_H_

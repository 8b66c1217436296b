// The loop over a panel's pixels that the microkernels with dot products share. Included by files
// of one instruction set each.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_GEMM_GEMM_PANEL_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_GEMM_GEMM_PANEL_INL_H_

#include <cstddef>
#include <cstdint>

#include "engine/kernels/gemm/gemm_ops.h"

namespace tf_signbin {
namespace gemm {

// Sums holds the sums of kPixels rows by kFilters filters: Clear(), Store(to), and
// AddBlock(row, row_bytes, weights, groups) for the next `groups` of kGroup weights, at most
// kDepthBlock of them.
template <typename Sums>
void AddPanel(const PanelArgs& args) {
  constexpr int kGroups = kDepthBlock / Sums::kGroup;
  for (int pixel = 0; pixel < args.pixels; pixel += Sums::kPixels) {
    const int8_t* row = static_cast<const int8_t*>(args.rows) + pixel * args.row_bytes;
    const auto* weights = static_cast<const int8_t*>(args.weights);
    Sums sums;
    sums.Clear();
    int groups = args.depth / Sums::kGroup;
    for (; groups >= kGroups; groups -= kGroups) {
      sums.AddBlock(row, args.row_bytes, weights, kGroups);
      row += kDepthBlock;
      weights += Sums::kFilters * kDepthBlock;
    }
    if (groups > 0) sums.AddBlock(row, args.row_bytes, weights, groups);
    sums.Store(args.sums + pixel);
  }
}

}  // namespace gemm
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_GEMM_GEMM_PANEL_INL_H_

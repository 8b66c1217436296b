// The microkernels of the gemm family, behind one table of functions per instruction set. Plain
// pointers and sizes only: gemm_<isa>.cc is compiled for that instruction set.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_GEMM_GEMM_OPS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_GEMM_GEMM_OPS_H_

#include <cstddef>
#include <cstdint>

#include "engine/kernels/output/filter_lanes_view.h"
#include "engine/target.h"

namespace tf_signbin {
namespace gemm {

constexpr int kTilePixels = 32;    // `pixels` of each microkernel with `panel` divides it
constexpr int kDepthBlock = 16;    // weights of a filter that a microkernel takes in one step
constexpr int kOffset = 128;       // GemmOps::to_unsigned
constexpr int kWriteFilters = 16;  // GemmOps::write

// One panel of filters over a tile of pixels: sums[filter * kTilePixels + pixel] = the dot product
// of row `pixel` with the filter.
struct PanelArgs {
  // `pixels` rows of `depth` activations, `row_bytes` apart; kDepthBlock can be read of the last
  // row's last step.
  const void* rows;
  size_t row_bytes;
  const void* weights;  // a panel as PackedIndex orders it
  int depth;            // a multiple of GemmOps::depth_unit
  int pixels;           // at most kTilePixels; rows up to GemmOps::pixels' next multiple are read
  int32_t* sums;
};

// The outputs of filters of adjacent panels for some pixels, for microkernels that write them.
struct OutputArgs {
  // `pixels` rows of `depth` activations, `row_bytes` apart; kDepthBlock can be read of each row's
  // last step.
  const int8_t* rows;
  size_t row_bytes;
  const int8_t* weights;  // panels as PackedIndex orders them
  int depth;              // a multiple of GemmOps::depth_unit
  int pixels;
  int filters;
  // Of these filters, as of whole panels: what the sums start with, and what becomes of them.
  const int32_t* biases;
  RescaleView rescale;
  int first_lane;  // of the first filter in `rescale`
  int8_t least, most;
  int8_t* out;  // the first pixel's first filter
  size_t out_row_bytes;
};

struct GemmOps {
  Isa isa;
  int pixels, filters;  // that one step of the microkernel covers
  // Depth is padded to a multiple of this; each step takes kDepthBlock while that many are left,
  // then `depth_unit`.
  int depth_unit;
  // Weights of a filter that lie side by side in a panel.
  int run;
  bool takes_least;  // whether a weight may be -128
  // Null, or rows and weights are of 16 bits, and this widens `count` activations, a multiple of 8.
  void (*widen)(const int8_t* from, size_t count, int16_t* to);
  // Null, or the microkernel takes activations as x + kOffset, unsigned, and this adds that to
  // `count` of them; `to` may be `from`. Only with `write`.
  void (*to_unsigned)(const int8_t* from, size_t count, int8_t* to);
  void (*panel)(const PanelArgs& args);
  // Null, or the same for one pixel alone, of which a panel would waste the others:
  // sums[filter].
  void (*row)(const PanelArgs& args);
  // Null, or writes outputs: of any number of pixels where `panel` is null, else of one alone.
  // Parameters of up to kWriteFilters filters from the last panel's first one on are read.
  void (*write)(const OutputArgs& args);
  bool rescales_sums = false;  // `write` knows RescaleView::Rule::kFloat

  int offset() const { return to_unsigned == nullptr ? 0 : kOffset; }
  // Rows whose depth is a multiple of it are taken as they lie in the input.
  int in_place_unit() const { return to_unsigned == nullptr ? kDepthBlock : depth_unit; }
  size_t element_bytes() const { return widen == nullptr ? 1 : 2; }
  int PaddedDepth(int depth) const { return (depth + depth_unit - 1) / depth_unit * depth_unit; }
  // Where weight k of filter f of a panel lies: steps, then runs, then filters.
  size_t PackedIndex(int depth, int f, int k) const {
    const int block = k / kDepthBlock * kDepthBlock;
    const int step = depth - block >= kDepthBlock ? kDepthBlock : depth_unit;
    const int start = block + (k - block) / step * step;
    const int in_step = k - start, width = run < step ? run : step;
    return static_cast<size_t>(start) * filters +
           static_cast<size_t>(in_step / width * filters + f) * width + in_step % width;
  }
};

extern const GemmOps kGemmOpsAvx2;
extern const GemmOps kGemmOpsAvxVnni;
extern const GemmOps kGemmOpsNeon;
extern const GemmOps kGemmOpsNeonDot;   // AArch64 only
extern const GemmOps kGemmOpsNeonI8mm;  // AArch64 only

}  // namespace gemm
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_GEMM_GEMM_OPS_H_

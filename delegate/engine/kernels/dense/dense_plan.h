// The plan of one dense convolution: tiles, filter blocks and the order of the weights.
// Portable: everything here is decided before any SIMD code runs.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_PLAN_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/dictionary.h"
#include "engine/kernel.h"
#include "engine/kernels/dense/dense_ops.h"

namespace tf_signbin {

// F adjacent vectors of 16 filters that one microkernel call computes.
struct DenseBlock {
  int first_filter = 0;
  int vectors = 0;            // F
  size_t weights_offset = 0;  // bytes
};

// Output pixels of one microkernel call.
struct DenseRun {
  int first = 0;  // within the strip
  int pixels = 0;
};

// Pixels that share one pass over a block's weights, at least.
inline constexpr int kMinStrip = 48;

// What is looked up instead of multiplied: the sums of four channels' subsets, or of more channels
// where few of them are effectual.
struct DenseTables {
  // A group has four tables, and a look-up four sums for each of 16 filters; or it has one, and a
  // look-up a sum for each of 64 filters.
  int count = 4;
  Dictionary dictionary;  // of one table
  // Groups whose sums a byte has room for, so that they are added before they are widened: 1, 2, 4.
  int added_groups = 1;
  // What keeps tables in the first-level cache, for cores that look up faster than the second-level
  // cache gives: short strips of 1x1 layers, pixels at least; and kernel rows that come one after
  // another where so many blocks of filters share a row's tables (0: never).
  int least_strip = kMinStrip;
  int least_row_blocks = 0;

  int entries() const { return 64 / count; }
  // Entries are made of pairs of channels: those of all subsets of four.
  bool paired() const { return count == 4 && dictionary.full; }
  int terms() const { return paired() ? 2 : dictionary.terms; }  // most that an entry is made of
};

struct DensePlan {
  ConvShape shape;  // 1x1 unstrided convolutions are flattened to one row
  // No padding and whole groups of channels: taps point into the input itself.
  bool direct = false;
  // Instead of a copy there are tables.
  std::optional<DenseTables> tables;
  // Groups run on from pixel to pixel of a kernel row, where few channels would leave them half
  // empty.
  bool run_on = false;
  int padded_c = 0;     // channels of the copy, whole groups unless they run on
  int column_step = 1;  // input pixels a column of the copy: 1-wide strided kernels skip the rest
  int taps = 0;  // contiguous runs of channels in a window: kernel rows, or pixels if dilated
  int taps_per_row = 1;
  int tap_groups = 0;  // channel groups in a tap
  std::vector<DenseBlock> blocks;
  std::vector<int> panels;  // first block of each panel, and the end
  size_t weight_bytes = 0;

  // Kernel rows come one after another, for all pixels and filters of an output row: one row's
  // tables stay in the first-level cache.
  bool by_rows = false;

  // The copied input rows are a ring, `strip` output pixels wide.
  int strip = 0;
  int ring_rows = 1;

  int pixel_step() const { return shape.stride_w / column_step; }
  int tap_step() const { return shape.dilation_w / column_step; }
  int strips() const { return (shape.out_w + strip - 1) / strip; }
  int StripWidth(int index) const {
    return index + 1 < strips() ? strip : shape.out_w - index * strip;
  }
  // Columns that `pixels` output pixels read.
  int ColumnsFor(int pixels) const {
    return (pixels - 1) * pixel_step() + (shape.kernel_w - 1) * tap_step() + 1;
  }
  int passes() const { return by_rows ? shape.kernel_h : 1; }
  int pass_taps() const { return taps / passes(); }
  int group_channels() const;
  int added_groups() const { return tables ? tables->added_groups : 1; }
  bool wide() const { return tables && tables->count == 1; }  // 64 filters a look-up
  // That a filter has of a group: weights, or indices.
  size_t filter_bytes() const { return tables ? tables->count : kDenseChannels; }
  size_t pixel_bytes() const;  // of a column of the copy
  size_t row_bytes() const { return ColumnsFor(strip) * pixel_bytes(); }
};

// The tables, if any, that a layer's sums can be looked up in: two values a filter, inputs of at
// most 6 bits, and a processor for which that has been measured to pay.
std::vector<DenseTables> DenseTablesOf(const ConvProblem& problem);

// Whether every filter's look-ups add up to at most `limit`.
bool SumsFit(const PackedFilters& filters, int most_input, int limit);

DensePlan MakeDensePlan(const ConvShape& shape, const Caches& caches,
                        std::optional<DenseTables> tables = {});

// Predicted nanoseconds of one Run on one thread.
double DenseCostNs(const ConvProblem& problem, const DensePlan& plan);

// Even runs of at most the microkernels' P.
std::vector<DenseRun> SplitDensePixels(const DensePlan& plan, int vectors, int width);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_PLAN_H_

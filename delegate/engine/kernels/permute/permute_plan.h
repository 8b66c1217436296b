// The plan of one register-permute convolution: tiles, segments and the packed index stream.
// Portable: everything here is decided before any SIMD code runs.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_PLAN_H_
#define TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/dictionary.h"
#include "engine/kernel.h"

namespace tf_signbin {

inline constexpr size_t kRegisterBytes = 64;

// Filters in lanes: F adjacent vectors of filters that one microkernel call computes.
struct FilterBlock {
  int first_vector = 0;
  int vectors = 0;      // F
  int shared_taps = 1;  // taps that read a table together; 3 only for 3-wide, dense, unstrided rows
  int max_pixels = 0;   // largest P of its microkernels
  int min_pixels = 0;   // smallest P
};

// A piece of the reduction after which 16-bit accumulators are emptied into 32 bits (and, in a
// filter with regions, multiplied by the region's values). Kernel rows [first_row, first_row+rows)
// of groups [first_group, first_group+groups).
struct Segment {
  int region = 0;
  int first_group = 0, groups = 0;
  int first_row = 0, rows = 0;
};

// A run of output pixels handled by one microkernel call.
struct PixelRun {
  int first = 0;   // within the strip
  int pixels = 0;  // results that count
  int width = 0;   // P of the microkernel (>= pixels)
};

struct PermutePlan {
  DataType type = DataType::kInt8;
  ConvShape shape;  // 1x1 unstrided convolutions are flattened to one row
  Dictionary dictionary;
  std::vector<ChannelGroup> groups;
  int regions = 1;
  int lanes = 32;  // filters in a vector
  // Few filters (int8) share a vector of 32 sums, two adjacent ones a filter: of the first and of
  // the second half of a group's 8 channels, whose tables of 16 entries share a register.
  bool folded = false;
  bool dot_tables = false;  // tables are made of VNNI dot products
  int table_registers = 2;
  // int8, one register: an index is the two bytes that an entry takes in its table, for VPERMB.
  bool byte_indices = false;
  bool saturating_adds = false;  // the microkernels i8s, else i8
  int word_groups = 2;           // groups whose indices share an index vector, a byte of each lane
  int vectors = 0;               // filter vectors, the last one padded
  std::vector<FilterBlock> blocks;
  std::vector<Segment> segments;

  // Tables live in a ring of input rows, `strip` output pixels wide; the column step skips input
  // columns that a 1-wide strided kernel never reads.
  int strip = 0;
  int column_step = 1;
  int columns = 0;  // table columns in a ring row, slack included
  int ring_rows = 1;
  int ring_groups = 0;              // groups a column has room for
  bool tables_per_segment = false;  // one kernel row: tables are built just before their segment

  std::vector<uint8_t> indices;
  std::vector<size_t> index_offset;  // [block * segments + segment], in bytes

  int padded_filters() const { return vectors * lanes; }
  int sums_per_filter() const { return folded ? 2 : 1; }
  int pixel_step() const { return shape.stride_w / column_step; }
  int tap_step() const { return shape.dilation_w / column_step; }
  size_t table_bytes() const { return table_registers * kRegisterBytes; }
  size_t column_bytes() const;
  size_t ring_bytes() const;
  // Table columns that `pixels` adjacent output pixels read.
  int ColumnsFor(int pixels) const;
};

// Runs of a strip `width` pixels wide for a block's microkernels.
std::vector<PixelRun> SplitPixels(const FilterBlock& block, int width);

// Whether the family can run the problem (sizes within what the plan's arithmetic allows).
bool PermuteTakes(const ConvProblem& problem);

// A dictionary, the registers its tables take and what the layer would cost with it.
struct PermuteTables {
  Dictionary dictionary;
  int registers = 0;    // 0: the request cannot be met
  bool folded = false;  // PermutePlan::folded
  bool dots = false;
  double cost_ns = 0;  // predicted time of one Run on one thread

  int group_channels() const { return dictionary.channels * (folded ? 2 : 1); }
  size_t table_bytes() const { return registers * kRegisterBytes; }
};

// The cheapest. `group` is PlanOptions::group; folded layers are planned where that leaves the
// choice.
PermuteTables ChooseTables(const ConvProblem& problem, int group, bool vnni);

PermutePlan MakePermutePlan(const ConvProblem& problem, const PermuteTables& tables);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_PLAN_H_

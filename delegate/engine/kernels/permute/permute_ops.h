// The vector parts of the register-permute family around its microkernels: building tables and
// turning accumulators into outputs. Plain pointers and sizes only: the files of those
// functions are compiled for AVX-512 and must not instantiate templates that other files share.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_OPS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_OPS_H_

#include <cstddef>
#include <cstdint>

#include "engine/kernels/output/filter_lanes_view.h"

namespace tf_signbin {

// Channels that are loaded together and the tables they give.
struct TableUnit {
  int channel = 0;
  int count = 0;        // channels
  int first_group = 0;  // tables of groups [first_group, first_group + groups)
  int groups = 0;
};

inline constexpr int kUnitGroupsI8 = 2;
inline constexpr int kUnitGroupsF32 = 1;
inline constexpr int kMaxTableTerms = 3;

// How to build a layer's tables. Entry e of half h of a unit's group g is the sum of `terms` source
// lanes; the sources are the unit's channels (and, ternary, their negatives).
// `full`: every subset of up to 6 (int8) or 5 (float32) channels, built in fewer steps. For int8
// the eight subset sums of channels 0-2 and of channels 3-5 of both groups fill one register first
// (byte shuffles and multiply-adds with 0 or 1: two channels, then the third), and an entry is the
// sum of one low and one high lane of it.
struct TableRecipe {
  bool full = false;
  bool folded = false;  // tables of two groups of 4 channels in one register (PermutePlan::folded)
  int channels = 0;     // from one table's first channel to the next one's
  bool negatives = false;  // sources 16.. (int8) or 8.. (float32) are the negated channels
  int terms = 0;
  int registers = 2;  // of a table: 32 int16 or 16 float32 entries each
  alignas(64) uint16_t lanes_i8[kUnitGroupsI8][2][kMaxTableTerms][32] = {};
  alignas(64) uint8_t pair_channels[64] = {};
  alignas(64) uint8_t pair_used[64] = {};
  alignas(64) uint8_t third_channel[64] = {};
  alignas(64) uint8_t third_used[64] = {};
  alignas(64) uint16_t low[kUnitGroupsI8][32] = {};
  alignas(64) uint16_t high[kUnitGroupsI8][2][32] = {};
  alignas(64) uint32_t lanes_f32[2][kMaxTableTerms][16] = {};
  // Dot-product tables of up to 8 channels that are not full: where a folded table holds the part
  // of an entry among the first four channels and that among the others, [part][half].
  alignas(64) uint16_t split[2][2][32] = {};
};

// Where an int8 table of all subsets holds one: channel 4 takes bit 2 of the position, channels 2
// and 3 bits 3 and 4. In a folded table the place of channel 4 says which half of the channels.
inline int SubsetPosition(int subset) {
  return (subset & 0x23) | (subset >> 4 & 1) << 2 | (subset >> 2 & 3) << 3;
}
inline int SubsetAt(int position) {
  return (position & 0x23) | (position >> 3 & 3) << 2 | (position >> 2 & 1) << 4;
}

// Source lanes that are always zero.
inline constexpr int kZeroLaneI8 = 31;
inline constexpr int kZeroLaneF32 = 15;
inline constexpr int kNegativeLaneI8 = 16;
inline constexpr int kNegativeLaneF32 = 8;

// One row of table columns.
struct TableRow {
  const TableRecipe* recipe;
  const TableUnit* units;
  int unit_count;
  const void* row;        // input row; null: the whole row is padding
  const void* padding;    // one pixel of padding and 64 readable bytes
  const void* input_end;  // end of the whole input
  int first_x, step;      // input x of column 0, input pixels a column
  int in_w, in_c;
  int columns;
  char* tables;  // table of column 0, group `units[0].first_group`
  size_t column_bytes;
};

// Whether 32-byte loads from any channel of a pixel could leave the input.
static inline bool NearEnd(const TableRow& r, const int8_t* pixel) {
  const int8_t* end = static_cast<const int8_t*>(r.input_end);
  return pixel != r.padding && end - pixel < r.in_c + 32;
}

// Sum over each region's channels of every column: out[column * regions + region].
struct ColumnSums {
  const void* row;
  const void* padding;
  int first_x, step, in_w, in_c, columns, regions;
  void* out;  // int32 or float
};

// Column `column`'s input pixel, or padding. `Row`: TableRow or ColumnSums.
template <typename Element, typename Row>
static inline const Element* PixelOf(const Row& r, int column) {
  const int x = r.first_x + column * r.step;
  if (r.row == nullptr || x < 0 || x >= r.in_w) return static_cast<const Element*>(r.padding);
  return static_cast<const Element*>(r.row) + static_cast<ptrdiff_t>(x) * r.in_c;
}

// Empties the registers of one microkernel call. Pixel p, vector f of filters is at
// sums + (p * vectors + f) * 64 bytes.
struct Flush {
  const char* sums;
  int pixels, vectors;
  int first_filter, filters;  // first filter of vector 0; filters in the layer
  bool first, last;           // first / last segment
  void* accumulators;         // int32 or float [pixel][padded filters], at pixel 0, filter 0
  int padded_filters;
  // Parameters are [padded filters], int8 ones in the order of ParameterIndexI8.
  const void* difference;  // b - a of this segment's region; int8: in the half of each
                           // 32-bit lane that holds the filter's 16-bit sum; its sign alone
                           // where `rescale` takes sums
  // last segment
  int regions;             // 0: no background
  const void* background;  // a, [region][padded filters]
  const void* box;         // window sums [pixel][region]
  const void* bias;     // [padded filters], zero point folded in; unused where `rescale` takes sums
  RescaleView rescale;  // int8
  int32_t clamp_min, clamp_max;
  float clamp_min_f32, clamp_max_f32;
  void* out;         // pixel 0 of the run, filter 0
  size_t out_pixel;  // elements from pixel to pixel
};

// Which filter of its vector sits in a lane. int8: the order that even/odd widening and the final
// saturating pack undo (words 0, 2, 4, 6, 1, 3, 5, 7 of each 128-bit lane).
inline int LaneFilterI8(int lane) { return lane / 8 * 8 + lane % 2 * 4 + lane % 8 / 2; }
// Where an int8 layer's parameter of a filter sits within its vector's 32: even lanes' filters
// first.
inline int ParameterIndexI8(int filter) {
  const int within = filter % 8;
  return within / 4 * 16 + filter / 8 * 4 + within % 4;
}

struct PermuteOps {
  void (*build_tables)(const TableRow&);
  void (*column_sums)(const ColumnSums&);
  void (*flush)(const Flush&);
};

// permute_tables_avx512.cc
void BuildTablesI8(const TableRow& row);
void BuildTablesF32(const TableRow& row);
void ColumnSumsI8(const ColumnSums& sums);
void ColumnSumsF32(const ColumnSums& sums);
// permute_tables_avx512vnni.cc: for PermutePlan::dot_tables
void BuildDotTables(const TableRow& row);
// permute_flush_avx512.cc
void FlushI8(const Flush& flush);
void FlushFoldedI8(const Flush& flush);  // for PermutePlan::folded
void FlushF32(const Flush& flush);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_OPS_H_

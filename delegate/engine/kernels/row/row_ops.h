// The microkernels of the row family, behind one table of functions per instruction set. Plain
// pointers and sizes only: row_<isa>.cc is compiled for that instruction set.
//
// A row's channels are taken four at a time. The sum of any of four activations, x + 128 each, is
// one of 16 numbers up to 1020, which are two tables of 16 bytes: its five low bits, and the five
// above. A filter's mask is a four-bit index into both.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_ROW_ROW_OPS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_ROW_ROW_OPS_H_

#include <cstddef>
#include <cstdint>

#include "engine/target.h"

namespace tf_signbin {
namespace row {

constexpr int kGroup = 4;          // channels that share a table
constexpr int kOffset = 128;       // added to each of them
constexpr int kTableBytes = 32;    // of a group: low bits, then high ones
constexpr int kBlockFilters = 32;  // that are looked up at once
// Groups come in steps of as many: eight sums of five bits fit a byte.
constexpr int kStepGroups = 8;
// Of one call of `look_up`: 16 KiB of tables; 16-bit sums would bear four times as many.
constexpr int kMostGroups = 512;

// Indices of a block: for each pair of groups 32 bytes, the first group's in the low four bits.
constexpr int kIndexBytesPerGroup = kBlockFilters / 2;

// The byte of a block that holds a filter's index. Bytes are widened even ones first, then the odd
// ones, and both in halves of a vector.
constexpr int ByteOf(int filter) { return filter / 8 % 2 * 16 + filter % 8 * 2 + filter / 16; }

// Filters [0, filters) of `acc`, in 32 bits that wrap.
struct AddArgs {
  const int32_t* sums;        // of look_up
  const int16_t* difference;  // times sums
  const int16_t* background;  // times `box`; or null
  int32_t box;
  int filters;  // whole blocks
  int32_t* acc;
};

// As TFLite's rule with one rounding (OutputStage::real_multiplier).
struct WriteArgs {
  const int32_t* acc;
  const double* multipliers;
  int filters;  // acc and multipliers can be read up to a multiple of eight
  int32_t zero_point, least, most;
  int8_t* out;
};

struct RowOps {
  // `groups`, whole steps, of four activations each: to kTableBytes of tables each.
  void (*make_tables)(const int8_t* activations, int groups, uint8_t* tables);
  // sums[filter] of a block's filters over the groups' tables.
  void (*look_up)(const uint8_t* tables, const uint8_t* indices, int groups, int32_t* sums);
  void (*add)(const AddArgs& args);
  void (*write)(const WriteArgs& args);
};

extern const RowOps kRowOpsAvx2;

}  // namespace row
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_ROW_ROW_OPS_H_

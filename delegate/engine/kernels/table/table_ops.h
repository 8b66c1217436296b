// The vector work of the memory-table family, behind one table of functions per instruction set.
//
// "Lane" below always means one pixel: all arrays are channel-major (or filter-major) with pixels
// side by side, int16 for int8 activations and float for float activations.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_TABLE_OPS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_TABLE_OPS_H_

#include <cstddef>
#include <cstdint>

#include "engine/cpu.h"

namespace tf_signbin {
namespace table {

// Arrays handed to these functions are aligned to this many bytes.
constexpr size_t kAlignment = 64;
// Table offsets in a stream count units of this many bytes (x86 scales an index by 8 for free).
constexpr size_t kOffsetUnit = 8;
// The largest groups of channels that build_few_* takes, by the members of a subset.
constexpr int kMaxPairGroup = 12;
constexpr int kMaxTripleGroup = 8;
// Registers' worth of accumulators the widest instruction set keeps.
constexpr int kMaxVectors = 24;

// One pass of all filters over the tables of one chunk of channel groups.
// A list of offsets for each filter and shift group, of entries to add, one behind the other in
// `stream`, lengths in `lengths`; with `subtract` (ternary) each is followed by one of entries to
// subtract. Lengths are multiples of TableOps::list_multiple, and that many offsets can be read
// behind the last list.
template <typename T>
struct LookupArgs {
  const T* table;
  const uint16_t* lengths;
  const uint16_t* stream;
  int filters;
  int shift_groups;
  const int*
      shifts;  // [shift_groups] lanes to shift down before the group is added; [0] is not read
  bool subtract;
  bool accumulate;  // add to what `acc` holds
  T* acc;           // [filters, vectors * lanes]
};

// What turns the sums of one filter into its output; all arithmetic of int8 wraps at 32 bits.
struct OutputParamsI8 {
  int32_t bias;
  int32_t multiplier;  // Q31
  int16_t scale;       // effectual value minus background, of unspilled sums
  int16_t background;  // times the box sum
  int16_t center;      // subtracted from 16-bit sums before they are sign-extended
  uint8_t left_shift, right_shift;
};

struct OutputParamsF32 {
  float scale, background, bias;
};

struct OutputArgsI8 {
  const int16_t* acc16;  // [filters, lanes], used when acc32 is null
  const int32_t* acc32;  // [filters, lanes] in the order of split_lanes, or null
  const int32_t* box;    // [lanes] from window_sum_i32, or null
  const OutputParamsI8* params;
  int filters;
  int lanes;
  int32_t zero_point, clamp_min, clamp_max;
  const double* real_multipliers;  // [filters]: one rounding in double instead; or null
  // No left shift, right shifts in [1, 16], and every result before the clamp fits 16 bits.
  bool fast;
  bool exact_negative;    // results below the zero point survive the clamp
  int8_t* const* pixels;  // [lanes] output pixel at the first filter, null where there is none
};

struct OutputArgsF32 {
  const float* acc;  // [filters, lanes]
  const float* box;  // [lanes] or null
  const OutputParamsF32* params;
  int filters;
  int lanes;
  float clamp_min, clamp_max;
  float* const* pixels;
};

struct TableOps {
  Isa isa;
  int vector_bytes;
  int max_vectors;    // accumulators that fit in registers
  int list_multiple;  // of offsets (LookupArgs)

  // `pixels` must be readable up to a multiple of two int16 vectors.
  // planes[c * stride + lane] = pixels[lane][first + c] - zero_point for c in [0, channels).
  // A pixel has `first + available` channels. `lanes` is a multiple of a vector's.
  void (*planes_i8)(const int8_t* const* pixels, int first, int lanes, int channels, int available,
                    int32_t zero_point, int16_t* planes, size_t stride);
  void (*planes_f32)(const float* const* pixels, int first, int lanes, int channels, int available,
                     float* planes, size_t stride);

  // table[m * lanes + lane] = sum of the planes whose bit is set in m, for m in [0, 2^group), or
  // from 1 on and one entry earlier without `zero_entry`.
  void (*build_full_i16)(const int16_t* planes, size_t stride, int group, bool zero_entry,
                         int lanes, int16_t* table);
  void (*build_full_f32)(const float* planes, size_t stride, int group, bool zero_entry, int lanes,
                         float* table);
  // A table of all subsets with at most `limit` (2 or 3) of `group` (from 3 on) members, in the
  // order of Dictionary. Null where build_list_* is as good.
  void (*build_few_i16)(const int16_t* planes, size_t stride, int group, int limit, bool zero_entry,
                        int lanes, int16_t* table);
  void (*build_few_f32)(const float* planes, size_t stride, int group, int limit, bool zero_entry,
                        int lanes, float* table);
  // Any other: entry e is entry parent[e] (none if negative) plus plane channel[e] (none if
  // negative).
  void (*build_list_i16)(const int16_t* planes, size_t stride, int entries, const int16_t* parent,
                         const int16_t* channel, int lanes, int16_t* table);
  void (*build_list_f32)(const float* planes, size_t stride, int entries, const int16_t* parent,
                         const int16_t* channel, int lanes, float* table);

  // By number of accumulator vectors; null where that number is not offered.
  void (*lookup_i16[kMaxVectors + 1])(const LookupArgs<int16_t>& args);
  void (*lookup_f32[kMaxVectors + 1])(const LookupArgs<float>& args);

  // 32-bit sums (acc32, box): of so many, the even lanes come first, then the odd ones; 0: in
  // order.
  int split_lanes;
  // acc32 = (accumulate ? acc32 : 0) + scale * signext16(acc16 - center) + background * box.
  void (*spill_i16)(const int16_t* acc16, int16_t center, int32_t scale, int32_t background,
                    const int32_t* box, int lanes, bool accumulate, int32_t* acc32);
  // total = (accumulate ? total : 0) + scale * acc + background * box.
  void (*spill_f32)(const float* acc, float scale, float background, const float* box, int lanes,
                    bool accumulate, float* total);

  // sum[lane] = (accumulate ? sum[lane] : 0) + planes of all channels.
  void (*channel_sum_i16)(const int16_t* planes, size_t stride, int channels, int lanes,
                          bool accumulate, int32_t* sum);
  void (*channel_sum_f32)(const float* planes, size_t stride, int channels, int lanes,
                          bool accumulate, float* sum);
  // box[lane] = sum over taps of sum[offset[tap] + lane].
  void (*window_sum_i32)(const int32_t* sum, const int* offsets, int taps, int lanes, int32_t* box);
  void (*window_sum_f32)(const float* sum, const int* offsets, int taps, int lanes, float* box);

  void (*output_i8)(const OutputArgsI8& args);
  void (*output_f32)(const OutputArgsF32& args);
};

// The vector work for `isa`; null when this build has none for it.
const TableOps* TableOpsFor(Isa isa);

extern const TableOps kTableOpsPortable;
extern const TableOps kTableOpsAvx2;
extern const TableOps kTableOpsAvx512;
extern const TableOps kTableOpsNeon;
extern const TableOps kTableOpsNeonDot;

}  // namespace table
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_TABLE_OPS_H_

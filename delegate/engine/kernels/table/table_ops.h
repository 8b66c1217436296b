// The vector work of the memory-table family, behind one table of functions per instruction set.
//
// "Lane" below always means one pixel: all arrays are channel-major (or filter-major) with pixels
// side by side, of table elements: int16 for int8 activations, bytes for those of few bits, float
// for float activations.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_TABLE_OPS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_TABLE_OPS_H_

#include <cstddef>
#include <cstdint>

#include "engine/kernels/output/pixel_lanes_ops.h"
#include "engine/target.h"

namespace tf_signbin {
namespace table {

// Arrays handed to these functions are aligned to this many bytes.
using output::kAlignment;
// Table offsets in a stream count units of this many bytes (x86 scales an index by 8 for free);
// those of byte elements count bytes.
constexpr size_t kOffsetUnit = 8;
// The largest groups of channels that build_few takes, by the members of a subset.
constexpr int kMaxPairGroup = 12;
constexpr int kMaxTripleGroup = 8;
// Registers' worth of accumulators the widest instruction set keeps.
using output::kMaxVectors;
// Entries of bytes that are added as bytes before they are widened: up to kFewByteSums, or
// kManyByteSums where that gains something (docs/performance.md).
constexpr int kFewByteSums = 4;
constexpr int kManyByteSums = 8;

// What goes with a type of table elements, which planes have too.
template <typename Element>
struct ElementTraits;
template <>
struct ElementTraits<int16_t> {
  using Activation = int8_t;
  using Accumulator = int16_t;
  using Sum = int32_t;  // of totals and boxes
  using OutputParams = output::ParamsI8;
  static constexpr const char* kName = "i8";  // in kernels' names
};
// Activations of few bits, from the zero point up.
template <>
struct ElementTraits<uint8_t> : ElementTraits<int16_t> {};
template <>
struct ElementTraits<float> {
  using Activation = float;
  using Accumulator = float;
  using Sum = float;
  using OutputParams = output::ParamsF32;
  static constexpr const char* kName = "f32";
};

// One pass of all filters over the tables of one chunk of channel groups.
// A list of offsets for each filter and shift group, of entries to add, one behind the other in
// `stream`, lengths in `lengths`; with `subtract` (ternary) each is followed by one of entries to
// subtract. Lengths are multiples of ElementOps::list_multiple, and that many offsets can be read
// behind the last list.
template <typename Element>
struct LookupArgs {
  const Element* table;
  const uint16_t* lengths;
  const uint16_t* stream;
  int filters;
  int shift_groups;
  // [shift_groups] lanes to shift down before the group is added; [0] is not read.
  const int* shifts;
  bool subtract;
  bool accumulate;  // add to what `acc` holds
  // Bytes only. There is one shift group, and entries lie at any lane.
  int byte_sums;  // so many entries add up without carry: 1 to kFewByteSums, or kManyByteSums
  bool finish;    // the last pass: leave sums, not what accumulates them
  typename ElementTraits<Element>::Accumulator* acc;  // [filters, vectors * lanes]
};

// The functions for one type of table elements. Where Element is float, `zero_point` and `center`
// are 0 and not looked at.
template <typename Element>
struct ElementOps {
  using Activation = typename ElementTraits<Element>::Activation;
  using Accumulator = typename ElementTraits<Element>::Accumulator;
  using Sum = typename ElementTraits<Element>::Sum;

  int max_vectors;    // of a tile, whose accumulators fit in registers; 0: no such elements here
  int list_multiple;  // of offsets (LookupArgs)
  int max_byte_sums;  // of bytes: kFewByteSums or kManyByteSums
  // Accumulators: of so many lanes, the even ones come first, then the odd ones; 0: in order. What
  // is said of lanes below holds for them in that order.
  int split_accumulators;

  // planes[c * stride + lane] = pixels[lane][first + c] - zero_point for c in [0, channels).
  // A pixel has `first + available` channels. `lanes` is a multiple of a vector's; `pixels` must be
  // readable up to a multiple of two vectors.
  void (*planes)(const Activation* const* pixels, int first, int lanes, int channels, int available,
                 int32_t zero_point, Element* planes, size_t stride);

  // table[m * lanes + lane] = sum of the planes whose bit is set in m, for m in [0, 2^group), or
  // from 1 on and one entry earlier without `zero_entry`.
  void (*build_full)(const Element* planes, size_t stride, int group, bool zero_entry, int lanes,
                     Element* table);
  // A table of all subsets with at most `limit` (2 or 3) of `group` (from 3 on) members, in the
  // order of SubsetTable. Null where build_list is as good.
  void (*build_few)(const Element* planes, size_t stride, int group, int limit, bool zero_entry,
                    int lanes, Element* table);
  // Any other: entry e is entry parent[e] (none if negative) plus plane channel[e] (none if
  // negative).
  void (*build_list)(const Element* planes, size_t stride, int entries, const int16_t* parent,
                     const int16_t* channel, int lanes, Element* table);

  // By number of accumulator vectors; null where that number is not offered.
  void (*lookup[kMaxVectors + 1])(const LookupArgs<Element>& args);

  // total = (accumulate ? total : 0) + scale * (acc - center) + background * box; of int8, acc -
  // center is sign-extended, and totals are in the order of output::PixelLanesOps::split_lanes.
  // `box` may be null.
  void (*spill)(const Accumulator* acc, Accumulator center, Sum scale, Sum background,
                const Sum* box, int lanes, bool accumulate, Sum* total);

  // sum[lane] = (accumulate ? sum[lane] : 0) + planes of all channels.
  void (*channel_sum)(const Element* planes, size_t stride, int channels, int lanes,
                      bool accumulate, Sum* sum);
  // box[lane] = sum over taps of sum[offset[tap] + lane], in the order of
  // output::PixelLanesOps::split_lanes (of lanes in the order of split_accumulators).
  void (*window_sum)(const Sum* sum, const int* offsets, int taps, int lanes, Sum* box);
};

struct TableOps {
  Isa isa;
  int vector_bytes;
  ElementOps<int16_t> i16;  // int8 activations
  ElementOps<uint8_t> u8;
  ElementOps<float> f32;

  template <typename Element>
  const ElementOps<Element>& Of() const;
};
template <>
inline const ElementOps<int16_t>& TableOps::Of() const {
  return i16;
}
template <>
inline const ElementOps<uint8_t>& TableOps::Of() const {
  return u8;
}
template <>
inline const ElementOps<float>& TableOps::Of() const {
  return f32;
}

// The vector work for `isa`; null when this build has none for it.
const TableOps* TableOpsFor(Isa isa);

extern const TableOps kTableOpsPortable;
extern const TableOps kTableOpsAvx2;
extern const TableOps kTableOpsAvx512;
extern const TableOps kTableOpsNeon;
extern const TableOps kTableOpsNeonDot;
extern const TableOps kTableOpsNeonI8mm;

}  // namespace table
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_TABLE_OPS_H_

// Filters re-ordered for the look-up: streams of table offsets.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_STREAMS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_STREAMS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/channel_groups.h"
#include "engine/kernels/table/geometry.h"
#include "engine/kernels/table/table_ops.h"
#include "engine/types.h"

namespace tf_signbin {
namespace table {

// Which subsets of a group's channels have a table entry.
class SubsetTable {
 public:
  // All subsets with at most `limit` of `group` members, by number of members when limit < group,
  // else entry e is subset e. Without `zero_entry` the empty subset has none.
  SubsetTable(int group, int limit, bool zero_entry);

  int group() const { return group_; }
  int limit() const { return limit_; }
  bool full() const { return limit_ == group_; }
  // Whether ElementOps::build_few can build it.
  bool few() const {
    return !full() &&
           ((limit_ == 2 && group_ <= kMaxPairGroup) || (limit_ == 3 && group_ <= kMaxTripleGroup));
  }
  bool zero_entry() const { return zero_entry_; }
  int entries() const { return entries_; }
  static int EntriesOf(int group, int limit, bool zero_entry);
  // Entry of a subset with at most limit() members.
  int entry(uint32_t subset) const { return full() ? subset - !zero_entry_ : entry_[subset]; }
  // Splits a subset into such subsets: removes one from `rest` and returns it.
  uint32_t TakePart(uint32_t* rest) const;
  // How to build the entries of one that is not full() (ElementOps::build_list).
  const std::vector<int16_t>& parent() const { return parent_; }
  const std::vector<int16_t>& channel() const { return channel_; }

 private:
  int group_, limit_, entries_;
  bool zero_entry_;
  std::vector<int16_t> entry_, parent_, channel_;
};

// One look-up pass: some groups' tables, some taps, all filters.
struct Pass {
  int chunk;            // whose tables must be there
  bool begins_segment;  // accumulators start at zero
  bool ends_segment;    // then they are spilled (or written out, if it is the only segment)
  int segment;
  std::vector<size_t> lengths_begin, offsets_begin;  // [filter blocks] LookupArgs' lists
};

// Groups whose tables exist at the same time.
struct Chunk {
  int first_group, groups;
};

// Passes of one region whose sums together fit the accumulators: a piece of the reduction.
struct SumSegment {
  int region;
  // [filters], where elements wrap: a sum s is exact as s - center, sign-extended, plus center.
  std::vector<int32_t> center;
};

struct StreamOptions {
  int group = 4;
  int limit = 4;            // members of a subset with a table entry
  bool skip_zeros = false;  // no look-up for an empty subset
  int chunk_groups = 1;     // groups whose tables exist at the same time
  int filter_blocks = 1;    // independent parts of the stream
  int list_multiple = 1;    // lists are filled up to that with the offset 0, where zeros are
};

// Sums in accumulators of integers are exact modulo 2^(8 * sum_bytes).
struct ElementRange {
  int bytes;        // of an element
  int sum_bytes;    // of an accumulator
  int least, most;  // of one activation, zero point removed; 0, 0: elements are floats

  int offset_unit() const { return bytes == 1 ? 1 : kOffsetUnit; }
  bool wraps() const { return least < most; }
  // Sums of so many activations are distinct.
  int max_terms() const {
    return static_cast<int>(((int64_t{1} << 8 * sum_bytes) - 1) / (most - least));
  }
};

class Streams {
 public:
  Streams(const PackedFilters& filters, const Geometry& geometry, const StreamOptions& options,
          const ElementRange& element);

  const SubsetTable& subsets() const { return subsets_; }
  const std::vector<ChannelGroup>& groups() const { return groups_; }
  const std::vector<Chunk>& chunks() const { return chunks_; }
  const std::vector<Pass>& passes() const { return passes_; }
  const std::vector<SumSegment>& segments() const { return segments_; }
  const uint16_t* lengths() const { return lengths_.data(); }
  const uint16_t* offsets() const { return offsets_.data(); }
  // Lanes of zeros in front of the first table of a chunk: what offset 0 adds when the table
  // has no entry that is zero.
  int zero_lanes() const { return zero_lanes_; }
  int block_first_filter(int block) const {
    return static_cast<int>(static_cast<int64_t>(out_c_) * block / filter_blocks_);
  }
  int filter_blocks() const { return filter_blocks_; }
  size_t bytes() const;

 private:
  struct Builder;

  int out_c_, filter_blocks_, zero_lanes_;
  SubsetTable subsets_;
  std::vector<ChannelGroup> groups_;
  std::vector<Chunk> chunks_;
  std::vector<Pass> passes_;
  std::vector<SumSegment> segments_;
  std::vector<uint16_t> lengths_, offsets_;
};

}  // namespace table
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_STREAMS_H_

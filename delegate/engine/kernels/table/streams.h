// Filters re-ordered for the look-up: streams of table offsets.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_STREAMS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_STREAMS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/kernels/table/geometry.h"
#include "engine/kernels/table/table_ops.h"
#include "engine/types.h"

namespace tf_signbin {
namespace table {

// Consecutive input channels of one region that share a table.
struct ChannelGroup {
  int first_channel, channels, region;
};

// Which subsets of a group's channels have a table entry.
class Dictionary {
 public:
  // All subsets with at most `limit` of `group` members, by number of members when limit < group,
  // else entry e is subset e. Without `zero_entry` the empty subset has none.
  Dictionary(int group, int limit, bool zero_entry);

  int group() const { return group_; }
  int limit() const { return limit_; }
  bool full() const { return limit_ == group_; }
  // Whether TableOps::build_few_* can build it.
  bool few() const {
    return !full() &&
           ((limit_ == 2 && group_ <= kMaxPairGroup) || (limit_ == 3 && group_ <= kMaxTripleGroup));
  }
  bool zero_entry() const { return zero_entry_; }
  int entries() const { return entries_; }
  // Entry of a subset with at most limit() members.
  int entry(uint32_t subset) const { return full() ? subset - !zero_entry_ : entry_[subset]; }
  // Splits a subset into such subsets: removes one from `rest` and returns it.
  uint32_t TakePart(uint32_t* rest) const;
  // How to build the entries of a dictionary that is not full() (TableOps::build_list_*).
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

// Passes whose sums together fit the 16-bit accumulators, of one region.
struct Segment {
  int region;
  // [filters], int8 activations only: a sum s is exact as signext16(s - center) + center.
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

class Streams {
 public:
  // `element_bytes` is the size of a table element; `sum_min`, `sum_max` bound one (zero point
  // removed) activation of int8, both 0 for float.
  Streams(const PackedFilters& filters, const Geometry& geometry, const StreamOptions& options,
          int element_bytes, int sum_min, int sum_max);

  const Dictionary& dictionary() const { return dictionary_; }
  const std::vector<ChannelGroup>& groups() const { return groups_; }
  const std::vector<Chunk>& chunks() const { return chunks_; }
  const std::vector<Pass>& passes() const { return passes_; }
  const std::vector<Segment>& segments() const { return segments_; }
  const uint16_t* lengths() const { return lengths_.data(); }
  const uint16_t* offsets() const { return offsets_.data(); }
  // Lanes of zeros in front of the first table of a chunk: what offset 0 adds when the dictionary
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
  Dictionary dictionary_;
  std::vector<ChannelGroup> groups_;
  std::vector<Chunk> chunks_;
  std::vector<Pass> passes_;
  std::vector<Segment> segments_;
  std::vector<uint16_t> lengths_, offsets_;
};

// Groups of at most `group` channels that do not cross regions, as even as possible.
std::vector<ChannelGroup> MakeChannelGroups(int channels, int regions, int group);

// The `count` <= 32 mask bits from `bit` on. Reads 8 bytes.
inline uint32_t MaskBits(const uint8_t* row, size_t bit, int count) {
  const uint8_t* p = row + bit / 8;
  uint64_t word = 0;  // compilers make this one load
  for (int i = 0; i < 8; ++i) word |= static_cast<uint64_t>(p[i]) << (8 * i);
  return static_cast<uint32_t>(word >> (bit % 8)) & static_cast<uint32_t>((1ull << count) - 1);
}

inline int PopCount(uint32_t x) {
  x -= x >> 1 & 0x55555555u;
  x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
  return static_cast<int>(((x + (x >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24);
}

}  // namespace table
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_STREAMS_H_

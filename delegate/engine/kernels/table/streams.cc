#include "engine/kernels/table/streams.h"

#include <algorithm>
#include <climits>

#include "engine/kernels/table/table_ops.h"

namespace tf_signbin {
namespace table {

int SubsetTable::EntriesOf(int group, int limit, bool zero_entry) {
  if (limit >= group) return (1 << group) - !zero_entry;
  int entries = zero_entry, choose = 1;
  for (int members = 1; members <= limit; ++members) {
    choose = choose * (group - members + 1) / members;
    entries += choose;
  }
  return entries;
}

SubsetTable::SubsetTable(int group, int limit, bool zero_entry)
    : group_(group),
      limit_(std::min(limit, group)),
      entries_(EntriesOf(group, limit, zero_entry)),
      zero_entry_(zero_entry) {
  if (full()) return;
  entry_.assign(static_cast<size_t>(1) << group, -1);
  if (zero_entry) {
    entry_[0] = 0;
    parent_.push_back(-1);
    channel_.push_back(-1);
  }
  for (int members = 1; members <= limit_; ++members) {
    for (uint32_t subset = 1; subset < (1u << group); ++subset) {
      if (PopCount(subset) != members) continue;
      int lowest = 0;
      while (!(subset >> lowest & 1)) ++lowest;
      const uint32_t rest = subset & (subset - 1);
      entry_[subset] = static_cast<int16_t>(parent_.size());
      parent_.push_back(rest == 0 ? static_cast<int16_t>(-1) : entry_[rest]);
      channel_.push_back(static_cast<int16_t>(lowest));
    }
  }
}

uint32_t SubsetTable::TakePart(uint32_t* rest) const {
  if (full()) {
    const uint32_t part = *rest;
    *rest = 0;
    return part;
  }
  uint32_t remaining = *rest;
  for (int i = 0; i < limit_; ++i) remaining &= remaining - 1;
  const uint32_t part = *rest ^ remaining;
  *rest = remaining;
  return part;
}

// Writes the passes one after the other.
struct Streams::Builder {
  Streams& out;
  const PackedFilters& filters;
  const Geometry& geometry;
  const StreamOptions& options;
  const ElementRange& element;
  const int max_terms;  // in a sum of elements that wrap

  // Effectual weights of the open segment by filter: added, subtracted.
  std::vector<int> plus, minus;

  // All taps, those of a shift group side by side: its last one is before tap_end[shift group].
  std::vector<Tap> taps;
  std::vector<int> tap_end;
  std::vector<uint16_t> list;  // room for the longest

  // What one pass takes: groups [first_group, end_group) of the last chunk, and of `taps`
  // [first_tap, end_tap).
  struct Range {
    int first_group, end_group, first_tap, end_tap;
  };

  Builder(Streams& streams, const PackedFilters& packed, const Geometry& mapping,
          const StreamOptions& stream_options, const ElementRange& range)
      : out(streams),
        filters(packed),
        geometry(mapping),
        options(stream_options),
        element(range),
        max_terms(range.wraps() ? range.max_terms() : INT_MAX) {
    for (const ShiftGroup& group : geometry.shift_groups()) {
      taps.insert(taps.end(), group.taps.begin(), group.taps.end());
      tap_end.push_back(static_cast<int>(taps.size()));
    }
  }

  int tap_count() const { return static_cast<int>(taps.size()); }

  // Effectual weights of a filter in one plane.
  int CountWeights(int plane, int filter, const Range& range) const {
    const ChannelGroup& last = out.groups_[range.end_group - 1];
    const int first_channel = out.groups_[range.first_group].first_channel;
    const int channels = last.first_channel + last.channels - first_channel;
    const MaskRow row(filters, plane, filter);
    int64_t count = 0;
    for (int t = range.first_tap; t < range.end_tap; ++t) {
      count +=
          row.Count(static_cast<size_t>(taps[t].index) * filters.in_c + first_channel, channels);
    }
    return static_cast<int>(count);
  }

  // Whether no filter has more effectual weights in these groups than a 16-bit sum takes.
  bool FitsOneSum(int first_group, int end_group) const {
    if (!element.wraps()) return true;
    const ChannelGroup& last = out.groups_[end_group - 1];
    const int channels =
        last.first_channel + last.channels - out.groups_[first_group].first_channel;
    if (channels * tap_count() <= max_terms) return true;
    const Range range = {first_group, end_group, 0, tap_count()};
    for (int f = 0; f < out.out_c_; ++f) {
      int count = 0;
      for (int plane = 0; plane < filters.planes(); ++plane) count += CountWeights(plane, f, range);
      if (count > max_terms) return false;
    }
    return true;
  }

  // The end of the longest run of groups from `first` on that fits one sum; `first` if none does.
  int LongestRun(int first, int end) const {
    if (FitsOneSum(first, end)) return end;
    int fits = first, too_long = end;
    while (too_long - fits > 1) {
      const int middle = (fits + too_long) / 2;
      (FitsOneSum(first, middle) ? fits : too_long) = middle;
    }
    return fits;
  }

  // Appends the list of one filter's taps of a shift group in one plane.
  void AddList(int filter, int plane, int shift_group, const Range& range) {
    const SubsetTable& subsets = out.subsets_;
    const size_t entry_units =
        static_cast<size_t>(geometry.entry_lanes()) * element.bytes / element.offset_unit();
    const size_t group_units = entry_units * subsets.entries();
    const int first_tap = std::max(range.first_tap, shift_group > 0 ? tap_end[shift_group - 1] : 0);
    const int end_tap = std::min(range.end_tap, tap_end[shift_group]);
    const MaskRow row(filters, plane, filter);
    uint16_t* end = list.data();
    for (int t = first_tap; t < end_tap; ++t) {
      const size_t bit = static_cast<size_t>(taps[t].index) * filters.in_c;
      size_t group_at = (range.first_group - out.chunks_.back().first_group) * group_units +
                        static_cast<size_t>(out.zero_lanes_ + taps[t].offset) * element.bytes /
                            element.offset_unit();
      for (int g = range.first_group; g < range.end_group; ++g, group_at += group_units) {
        const ChannelGroup& group = out.groups_[g];
        uint32_t rest = row.Bits(bit + group.first_channel, group.channels);
        const auto at = [&](uint32_t part) {
          return static_cast<uint16_t>(group_at + subsets.entry(part) * entry_units);
        };
        if (subsets.full()) {  // without a branch that depends on the weights
          *end = at(rest);
          end += rest != 0 || !options.skip_zeros;
        } else if (rest != 0 || !options.skip_zeros) {
          do {
            *end++ = at(subsets.TakePart(&rest));
          } while (rest != 0);
        }
      }
    }
    while ((end - list.data()) % options.list_multiple != 0) *end++ = 0;
    out.offsets_.insert(out.offsets_.end(), list.data(), end);
    out.lengths_.push_back(static_cast<uint16_t>(end - list.data()));
  }

  void AddPass(const Range& range) {
    Pass pass{};
    pass.chunk = static_cast<int>(out.chunks_.size()) - 1;
    std::vector<int> pass_plus(out.out_c_, 0), pass_minus(out.out_c_, 0);
    int block = 0;
    for (int f = 0; f < out.out_c_; ++f) {
      while (block < out.filter_blocks_ && out.block_first_filter(block) == f) {
        pass.lengths_begin.push_back(out.lengths_.size());
        pass.offsets_begin.push_back(out.offsets_.size());
        ++block;
      }
      for (int group = 0; group < static_cast<int>(tap_end.size()); ++group) {
        for (int plane = 0; plane < filters.planes(); ++plane) AddList(f, plane, group, range);
      }
      if (!element.wraps()) continue;
      pass_plus[f] = CountWeights(0, f, range);
      if (filters.planes() > 1) pass_minus[f] = CountWeights(1, f, range);
    }
    // Join the open segment while every filter's sum stays exact.
    const int region = out.groups_[range.first_group].region;
    bool fits = !out.segments_.empty() && out.segments_.back().region == region;
    for (int f = 0; element.wraps() && fits && f < out.out_c_; ++f) {
      fits = plus[f] + minus[f] + pass_plus[f] + pass_minus[f] <= max_terms;
    }
    if (!fits) {
      CloseSegment();
      out.segments_.push_back({region, {}});
      plus.assign(out.out_c_, 0);
      minus.assign(out.out_c_, 0);
      pass.begins_segment = true;
    }
    pass.segment = static_cast<int>(out.segments_.size()) - 1;
    for (int f = 0; f < out.out_c_; ++f) {
      plus[f] += pass_plus[f];
      minus[f] += pass_minus[f];
    }
    out.passes_.push_back(pass);
  }

  void CloseSegment() {
    if (out.segments_.empty()) return;
    out.passes_.back().ends_segment = true;
    if (!element.wraps()) return;
    const int half = 1 << (8 * element.sum_bytes - 1);
    SumSegment& segment = out.segments_.back();
    segment.center.resize(out.out_c_);
    for (int f = 0; f < out.out_c_; ++f) {
      const int lowest = plus[f] * element.least - minus[f] * element.most;
      const int highest = plus[f] * element.most - minus[f] * element.least;
      const bool fits = lowest >= -half && highest < half;
      segment.center[f] = fits ? 0 : lowest + half;
    }
  }

  void Build() {
    const std::vector<ChannelGroup>& groups = out.groups_;
    int widest = 0;
    for (const ShiftGroup& group : geometry.shift_groups()) {
      widest = std::max(widest, static_cast<int>(group.taps.size()));
    }
    const int group_size = out.subsets_.group();
    // Lengths are 16-bit.
    const int max_groups = std::max(1, (65536 - options.list_multiple) / (widest * group_size));
    const size_t most_groups = std::min({groups.size(), static_cast<size_t>(max_groups),
                                         static_cast<size_t>(options.chunk_groups)});
    list.resize(most_groups * widest * group_size + options.list_multiple);
    for (int first = 0; first < static_cast<int>(groups.size());) {
      int end = first + 1;
      while (end < static_cast<int>(groups.size()) && end - first < options.chunk_groups &&
             groups[end].region == groups[first].region) {
        ++end;
      }
      out.chunks_.push_back({first, end - first});
      for (int g = first; g < end;) {
        const int pass_end = LongestRun(g, std::min(end, g + max_groups));
        if (pass_end > g) {
          AddPass({g, pass_end, 0, tap_count()});
          g = pass_end;
        } else {  // a large kernel: one group alone is too much
          const int step = max_terms / group_size;
          for (int tap = 0; tap < tap_count(); tap += step) {
            AddPass({g, g + 1, tap, std::min(tap_count(), tap + step)});
          }
          ++g;
        }
      }
      first = end;
    }
    CloseSegment();
  }
};

Streams::Streams(const PackedFilters& filters, const Geometry& geometry,
                 const StreamOptions& options, const ElementRange& element)
    : out_c_(filters.out_c),
      filter_blocks_(std::max(1, std::min(options.filter_blocks, filters.out_c))),
      zero_lanes_(options.list_multiple > 1 && options.skip_zeros ? geometry.tile_lanes() : 0),
      subsets_(options.group, options.limit, !options.skip_zeros),
      groups_(MakeChannelGroups(filters, options.group)) {
  Builder(*this, filters, geometry, options, element).Build();
  offsets_.insert(offsets_.end(), options.list_multiple, 0);
}

size_t Streams::bytes() const {
  size_t bytes = (lengths_.size() + offsets_.size()) * sizeof(uint16_t);
  for (const SumSegment& segment : segments_) bytes += segment.center.size() * sizeof(int32_t);
  return bytes;
}

}  // namespace table
}  // namespace tf_signbin

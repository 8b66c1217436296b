#include "engine/kernels/table/streams.h"

#include <algorithm>
#include <climits>

#include "engine/kernels/table/table_ops.h"

namespace tf_signbin {
namespace table {

Dictionary::Dictionary(int group, int limit, bool zero_entry)
    : group_(group), limit_(std::min(limit, group)), zero_entry_(zero_entry) {
  if (full()) {
    entries_ = (1 << group) - !zero_entry;
    return;
  }
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
  entries_ = static_cast<int>(parent_.size());
}

uint32_t Dictionary::TakePart(uint32_t* rest) const {
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

  // What one pass takes: groups [first_group, end_group) of the last chunk, and taps
  // [first_tap, end_tap), numbered through the shift groups.
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
        max_terms(range.wraps() ? range.max_terms() : INT_MAX) {}

  // Effectual weights of a filter in some groups, both planes.
  int CountWeights(int filter, int first_group, int end_group) const {
    const ChannelGroup& last = out.groups_[end_group - 1];
    const int begin = out.groups_[first_group].first_channel;
    const int end = last.first_channel + last.channels;
    const int taps = filters.kernel_h * filters.kernel_w;
    int count = 0;
    for (int plane = 0; plane < filters.planes(); ++plane) {
      const MaskRow row(filters, plane, filter);
      for (int tap = 0; tap < taps; ++tap) {
        const size_t bit = static_cast<size_t>(tap) * filters.in_c;
        for (int c = begin; c < end; c += 32) {
          count += PopCount(row.Bits(bit + c, std::min(32, end - c)));
        }
      }
    }
    return count;
  }

  // Whether no filter has more effectual weights in these groups than a 16-bit sum takes.
  bool FitsOneSum(int first_group, int end_group) const {
    if (!element.wraps()) return true;
    const ChannelGroup& last = out.groups_[end_group - 1];
    const int channels =
        last.first_channel + last.channels - out.groups_[first_group].first_channel;
    if (channels * filters.kernel_h * filters.kernel_w <= max_terms) return true;
    for (int f = 0; f < out.out_c_; ++f) {
      if (CountWeights(f, first_group, end_group) > max_terms) return false;
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

  // Appends the list of one filter's taps of a shift group, which begin at number `first_tap`, in
  // one plane. Returns the number of effectual weights.
  int AddOffsets(int filter, int plane, const ShiftGroup& shift_group, int first_tap,
                 const Range& range) {
    const Dictionary& dictionary = out.dictionary_;
    const size_t entry_units =
        static_cast<size_t>(geometry.entry_lanes()) * element.bytes / element.offset_unit();
    const size_t group_units = entry_units * dictionary.entries();
    const int chunk_first = out.chunks_.back().first_group;
    const MaskRow row(filters, plane, filter);
    std::vector<uint16_t>& offsets = out.offsets_;
    const size_t begin = offsets.size();
    int terms = 0, number = first_tap;
    for (const Tap& tap : shift_group.taps) {
      const bool wanted = number >= range.first_tap && number < range.end_tap;
      ++number;
      if (!wanted) continue;
      const size_t bit = static_cast<size_t>(tap.index) * filters.in_c;
      size_t group_at =
          (range.first_group - chunk_first) * group_units +
          static_cast<size_t>(out.zero_lanes_ + tap.offset) * element.bytes / element.offset_unit();
      for (int g = range.first_group; g < range.end_group; ++g, group_at += group_units) {
        const ChannelGroup& group = out.groups_[g];
        uint32_t rest = row.Bits(bit + group.first_channel, group.channels);
        if (rest == 0 && options.skip_zeros) continue;
        terms += PopCount(rest);
        do {
          const uint32_t part = dictionary.TakePart(&rest);
          offsets.push_back(static_cast<uint16_t>(group_at + dictionary.entry(part) * entry_units));
        } while (rest != 0);
      }
    }
    while ((offsets.size() - begin) % options.list_multiple != 0) offsets.push_back(0);
    out.lengths_.push_back(static_cast<uint16_t>(offsets.size() - begin));
    return terms;
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
      int first_tap = 0;
      for (const ShiftGroup& shift_group : geometry.shift_groups()) {
        for (int plane = 0; plane < filters.planes(); ++plane) {
          (plane == 0 ? pass_plus : pass_minus)[f] +=
              AddOffsets(f, plane, shift_group, first_tap, range);
        }
        first_tap += static_cast<int>(shift_group.taps.size());
      }
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
    Segment& segment = out.segments_.back();
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
    int taps = 0, widest = 0;
    for (const ShiftGroup& group : geometry.shift_groups()) {
      taps += static_cast<int>(group.taps.size());
      widest = std::max(widest, static_cast<int>(group.taps.size()));
    }
    const int group_size = out.dictionary_.group();
    // Lengths are 16-bit.
    const int max_groups = std::max(1, (65536 - options.list_multiple) / (widest * group_size));
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
          AddPass({g, pass_end, 0, taps});
          g = pass_end;
        } else {  // a large kernel: one group alone is too much
          const int step = max_terms / group_size;
          for (int tap = 0; tap < taps; tap += step) {
            AddPass({g, g + 1, tap, std::min(taps, tap + step)});
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
      dictionary_(options.group, options.limit, !options.skip_zeros),
      groups_(MakeChannelGroups(filters, options.group)) {
  Builder(*this, filters, geometry, options, element).Build();
  offsets_.insert(offsets_.end(), options.list_multiple, 0);
}

size_t Streams::bytes() const {
  size_t bytes = (lengths_.size() + offsets_.size()) * sizeof(uint16_t);
  for (const Segment& segment : segments_) bytes += segment.center.size() * sizeof(int32_t);
  return bytes;
}

}  // namespace table
}  // namespace tf_signbin

#include "engine/kernels/table/streams.h"

#include <algorithm>
#include <cstring>

#include "engine/kernels/table/table_ops.h"

namespace tf_signbin {
namespace table {
namespace {

// 16-bit sums of this many activations (range 255 each) are distinct modulo 65536.
constexpr int kMaxTerms = 257;

int PopCount(uint32_t x) {
  int n = 0;
  for (; x != 0; x &= x - 1) ++n;
  return n;
}

}  // namespace

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

std::vector<ChannelGroup> MakeChannelGroups(int channels, int regions, int group) {
  std::vector<ChannelGroup> groups;
  const int per_region = channels / regions;
  for (int region = 0; region < regions; ++region) {
    for (int c = 0; c < per_region; c += group) {
      groups.push_back({region * per_region + c, std::min(group, per_region - c), region});
    }
  }
  return groups;
}

// Writes the passes one after the other.
struct Streams::Builder {
  Streams& out;
  const PackedFilters& filters;
  const Geometry& geometry;
  const bool skip_zeros;
  const int element_bytes;
  const bool exact;  // 16-bit sums: count what they hold
  const int sum_min, sum_max;

  std::vector<uint8_t> masks;  // with slack after each row
  size_t row_bytes = 0;
  // Effectual weights of the open segment by filter: added, subtracted.
  std::vector<int> plus, minus;

  const uint8_t* MaskRow(int plane, int filter) const {
    return &masks[(static_cast<size_t>(plane) * out.out_c_ + filter) * row_bytes];
  }

  uint32_t Subset(const uint8_t* row, const Tap& tap, const ChannelGroup& group) const {
    return MaskBits(row, static_cast<size_t>(tap.index) * filters.in_c + group.first_channel,
                    group.channels);
  }

  void CopyMasks() {
    const size_t bytes = filters.mask_row_bytes();
    row_bytes = bytes + 8;  // MaskBits reads beyond the last bit
    const size_t rows = static_cast<size_t>(filters.planes()) * out.out_c_;
    masks.assign(rows * row_bytes, 0);
    for (size_t row = 0; row < rows; ++row) {
      std::memcpy(&masks[row * row_bytes], &filters.masks[row * bytes], bytes);
    }
  }

  // counts[group][filter]: effectual weights.
  std::vector<std::vector<int>> CountByGroup() const {
    std::vector<std::vector<int>> counts(out.groups_.size(), std::vector<int>(out.out_c_, 0));
    for (int f = 0; f < out.out_c_; ++f) {
      for (int plane = 0; plane < filters.planes(); ++plane) {
        const uint8_t* row = MaskRow(plane, f);
        for (const ShiftGroup& shift_group : geometry.shift_groups()) {
          for (const Tap& tap : shift_group.taps) {
            for (size_t g = 0; g < out.groups_.size(); ++g) {
              counts[g][f] += PopCount(Subset(row, tap, out.groups_[g]));
            }
          }
        }
      }
    }
    return counts;
  }

  // Appends the pass over groups [first, first + count) of the last chunk and taps
  // [tap_begin, tap_end) (numbered through the shift groups).
  void AddPass(int first, int count, int tap_begin, int tap_end) {
    const Dictionary& dictionary = out.dictionary_;
    const size_t entry_units =
        static_cast<size_t>(geometry.entry_lanes()) * element_bytes / kOffsetUnit;
    const size_t group_units = entry_units * dictionary.entries();
    const int chunk_first = out.chunks_.back().first_group;
    std::vector<uint16_t>& data = out.data_;
    Pass pass{};
    pass.chunk = static_cast<int>(out.chunks_.size()) - 1;
    std::vector<int> pass_plus(out.out_c_, 0), pass_minus(out.out_c_, 0);
    int block = 0;
    for (int f = 0; f < out.out_c_; ++f) {
      while (block < out.filter_blocks_ && out.block_first_filter(block) == f) {
        pass.block_begin.push_back(data.size());
        ++block;
      }
      int first_tap = 0;
      for (const ShiftGroup& shift_group : geometry.shift_groups()) {
        for (int plane = 0; plane < filters.planes(); ++plane) {
          const uint8_t* row = MaskRow(plane, f);
          const size_t length_at = data.size();
          data.push_back(0);
          int& terms = plane == 0 ? pass_plus[f] : pass_minus[f];
          for (int g = first; g < first + count; ++g) {
            int number = first_tap;
            for (const Tap& tap : shift_group.taps) {
              if (number >= tap_begin && number < tap_end) {
                uint32_t rest = Subset(row, tap, out.groups_[g]);
                if (rest != 0 || !skip_zeros) {
                  terms += PopCount(rest);
                  do {
                    const uint32_t part = dictionary.TakePart(&rest);
                    data.push_back(static_cast<uint16_t>(
                        (g - chunk_first) * group_units + dictionary.entry(part) * entry_units +
                        static_cast<size_t>(tap.offset) * element_bytes / kOffsetUnit));
                  } while (rest != 0);
                }
              }
              ++number;
            }
          }
          data[length_at] = static_cast<uint16_t>(data.size() - length_at - 1);
        }
        first_tap += static_cast<int>(shift_group.taps.size());
      }
    }
    // Join the open segment while every filter's sum stays exact.
    const int region = out.groups_[first].region;
    bool fits = !out.segments_.empty() && out.segments_.back().region == region;
    for (int f = 0; exact && fits && f < out.out_c_; ++f) {
      fits = plus[f] + minus[f] + pass_plus[f] + pass_minus[f] <= kMaxTerms;
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
    if (!exact) return;
    Segment& segment = out.segments_.back();
    segment.center.resize(out.out_c_);
    for (int f = 0; f < out.out_c_; ++f) {
      segment.center[f] = plus[f] * sum_min - minus[f] * sum_max + 32768;
    }
  }

  void Build(int chunk_groups) {
    CopyMasks();
    const std::vector<ChannelGroup>& groups = out.groups_;
    const std::vector<std::vector<int>> counts = CountByGroup();
    int taps = 0, widest = 0;
    for (const ShiftGroup& group : geometry.shift_groups()) {
      taps += static_cast<int>(group.taps.size());
      widest = std::max(widest, static_cast<int>(group.taps.size()));
    }
    const int max_offsets = widest * out.dictionary_.group();  // of one group in a shift group
    const int max_groups = std::max(1, 65535 / max_offsets);   // lengths are 16-bit
    const int group_size = out.dictionary_.group();
    std::vector<int> terms;
    for (int first = 0; first < static_cast<int>(groups.size());) {
      int end = first + 1;
      while (end < static_cast<int>(groups.size()) && end - first < chunk_groups &&
             groups[end].region == groups[first].region) {
        ++end;
      }
      out.chunks_.push_back({first, end - first});
      for (int g = first; g < end;) {
        // As many groups as one 16-bit sum takes.
        terms.assign(out.out_c_, 0);
        int pass_end = g;
        while (pass_end < end && pass_end - g < max_groups) {
          bool fits = true;
          for (int f = 0; exact && fits && f < out.out_c_; ++f) {
            fits = terms[f] + counts[pass_end][f] <= kMaxTerms;
          }
          if (!fits) break;
          for (int f = 0; f < out.out_c_; ++f) terms[f] += counts[pass_end][f];
          ++pass_end;
        }
        if (pass_end > g) {
          AddPass(g, pass_end - g, 0, taps);
          g = pass_end;
        } else {  // large kernels: one group alone is too much
          const int step = kMaxTerms / group_size;
          for (int tap = 0; tap < taps; tap += step) {
            AddPass(g, 1, tap, std::min(taps, tap + step));
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
                 const StreamOptions& options, int element_bytes, int sum_min, int sum_max)
    : out_c_(filters.out_c),
      filter_blocks_(std::max(1, std::min(options.filter_blocks, filters.out_c))),
      dictionary_(options.group, options.limit, !options.skip_zeros),
      groups_(MakeChannelGroups(filters.in_c, filters.regions, options.group)) {
  Builder builder{*this,
                  filters,
                  geometry,
                  options.skip_zeros,
                  element_bytes,
                  sum_max > sum_min,
                  sum_min,
                  sum_max,
                  {},
                  0,
                  {},
                  {}};
  builder.Build(options.chunk_groups);
}

size_t Streams::bytes() const {
  size_t bytes = data_.size() * sizeof(uint16_t);
  for (const Segment& segment : segments_) bytes += segment.center.size() * sizeof(int32_t);
  return bytes;
}

}  // namespace table
}  // namespace tf_signbin

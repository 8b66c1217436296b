#include "engine/kernels/permute/dictionary.h"

#include <algorithm>
#include <cstring>

namespace tf_signbin {
namespace {

// Wider groups gain little beyond this and their tables cost more additions to build.
constexpr int kMaxChannels = 15;
// Ternary tables are summed from the channels of two groups and their negatives in one register.
constexpr int kMaxTernaryChannels = 7;
// Entries with more channels than this would make tables dearer than what they save.
constexpr int kMaxTerms = 3;

int Terms(Pattern pattern) {
  return __builtin_popcount(pattern.plus) + __builtin_popcount(pattern.minus);
}

// Bits [first, first + count) of a filter's mask row, count <= 25.
uint32_t MaskBits(const uint8_t* row, size_t row_bytes, size_t first, int count) {
  uint32_t bits = 0;
  const size_t byte = first / 8;
  if (byte + 4 <= row_bytes) {
    std::memcpy(&bits, row + byte, 4);  // x86 only: little-endian
  } else {
    for (size_t i = 0; byte + i < row_bytes; ++i) {
      bits |= static_cast<uint32_t>(row[byte + i]) << (8 * i);
    }
  }
  return bits >> (first % 8) & ((1u << count) - 1);
}

// Collects the distinct patterns of groups of `channels`; gives up beyond `limit` or kMaxTerms.
bool Collect(const PackedFilters& filters, int channels, int limit, Dictionary* dictionary) {
  const std::vector<ChannelGroup> groups = MakeGroups(filters, channels);
  const int taps = filters.kernel_h * filters.kernel_w;
  std::vector<bool> seen(size_t{1} << (channels * filters.planes()));
  seen[0] = true;
  dictionary->entries.assign(1, Pattern{});
  for (int filter = 0; filter < filters.out_c; ++filter) {
    for (int tap = 0; tap < taps; ++tap) {
      for (const ChannelGroup& group : groups) {
        const Pattern pattern = PatternOf(filters, filter, tap, group);
        const size_t key = pattern.plus | pattern.minus << channels;
        if (seen[key]) continue;
        seen[key] = true;
        dictionary->terms = std::max(dictionary->terms, Terms(pattern));
        dictionary->entries.push_back(pattern);
        if (static_cast<int>(dictionary->entries.size()) > limit) return false;
        if (dictionary->terms > kMaxTerms) return false;
      }
    }
  }
  return true;
}

Dictionary Full(int channels) {
  Dictionary dictionary;
  dictionary.channels = channels;
  dictionary.full = true;
  dictionary.terms = channels;
  for (uint32_t bits = 0; bits < 1u << channels; ++bits) {
    dictionary.entries.push_back(Pattern{bits, 0});
  }
  dictionary.BuildIndex();
  return dictionary;
}

// All signed patterns of `channels` ternary weights.
Dictionary FullTernary(int channels) {
  Dictionary dictionary;
  dictionary.channels = channels;
  dictionary.terms = channels;
  for (uint32_t plus = 0; plus < 1u << channels; ++plus) {
    for (uint32_t minus = 0; minus < 1u << channels; ++minus) {
      if (!(plus & minus)) dictionary.entries.push_back(Pattern{plus, minus});
    }
  }
  dictionary.BuildIndex();
  return dictionary;
}

}  // namespace

void Dictionary::BuildIndex() {
  uint32_t last = 0;
  for (const Pattern& pattern : entries) last = std::max(last, Key(pattern));
  ids_.assign(last + 1, 0);
  for (size_t id = 0; id < entries.size(); ++id) ids_[Key(entries[id])] = static_cast<uint8_t>(id);
}

std::vector<ChannelGroup> MakeGroups(const PackedFilters& filters, int channels_per_group) {
  std::vector<ChannelGroup> groups;
  const int region_channels = filters.in_c / filters.regions;
  for (int region = 0; region < filters.regions; ++region) {
    for (int c = 0; c < region_channels; c += channels_per_group) {
      groups.push_back({region * region_channels + c,
                        std::min(channels_per_group, region_channels - c), region});
    }
  }
  return groups;
}

Pattern PatternOf(const PackedFilters& filters, int filter, int tap, const ChannelGroup& group) {
  const size_t row_bytes = filters.mask_row_bytes();
  const size_t first = static_cast<size_t>(tap) * filters.in_c + group.channel;
  const uint8_t* row = filters.masks.data() + static_cast<size_t>(filter) * row_bytes;
  Pattern pattern;
  pattern.plus = MaskBits(row, row_bytes, first, group.count);
  if (filters.kind == WeightKind::kTernary) {
    row += static_cast<size_t>(filters.out_c) * row_bytes;
    pattern.minus = MaskBits(row, row_bytes, first, group.count);
  }
  return pattern;
}

Dictionary ChooseDictionary(const PackedFilters& filters, int limit, int group) {
  const bool ternary = filters.kind == WeightKind::kTernary;
  const int most = ternary ? kMaxTernaryChannels : kMaxChannels;
  if (group > most) return {};
  int full_channels = 0;  // channels whose every pattern fits
  for (int entries = ternary ? 3 : 2; entries <= limit; entries *= ternary ? 3 : 2) ++full_channels;
  const int widest = group ? group : std::min(most, filters.in_c / filters.regions);
  const int narrowest = group ? group : full_channels + 1;
  for (int channels = widest; channels >= narrowest && channels > full_channels; --channels) {
    Dictionary dictionary;
    if (!Collect(filters, channels, limit, &dictionary)) continue;
    dictionary.channels = channels;
    dictionary.BuildIndex();
    return dictionary;
  }
  if (group > full_channels) return {};
  const int channels = group ? group : full_channels;
  return ternary ? FullTernary(channels) : Full(channels);
}

}  // namespace tf_signbin

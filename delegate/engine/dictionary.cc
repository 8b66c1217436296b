#include "engine/dictionary.h"

#include <algorithm>

namespace tf_signbin {
namespace {

// Wider groups gain little beyond this and their tables cost more additions to build.
constexpr int kMaxChannels = 15;
// Ternary tables are summed from the channels of two groups and their negatives in one register.
constexpr int kMaxTernaryChannels = 7;

int Terms(SignedSubset subset) { return PopCount(subset.plus) + PopCount(subset.minus); }

// Collects the distinct subsets of groups of `channels`; gives up beyond `limit` or kMostTerms.
bool Collect(const PackedFilters& filters, int channels, int limit, Dictionary* dictionary) {
  const std::vector<ChannelGroup> groups = MakeChannelGroups(filters, channels);
  const int taps = filters.kernel_h * filters.kernel_w;
  std::vector<bool> seen(size_t{1} << (channels * filters.planes()));
  seen[0] = true;
  dictionary->entries.assign(1, SignedSubset{});
  for (int filter = 0; filter < filters.out_c; ++filter) {
    for (int tap = 0; tap < taps; ++tap) {
      for (const ChannelGroup& group : groups) {
        const SignedSubset subset = SubsetOf(filters, filter, tap, group);
        const size_t key = subset.plus | subset.minus << channels;
        if (seen[key]) continue;
        seen[key] = true;
        dictionary->terms = std::max(dictionary->terms, Terms(subset));
        dictionary->entries.push_back(subset);
        if (static_cast<int>(dictionary->entries.size()) > limit) return false;
        if (dictionary->terms > Dictionary::kMostTerms) return false;
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
    dictionary.entries.push_back(SignedSubset{bits, 0});
  }
  dictionary.BuildIndex();
  return dictionary;
}

// All signed subsets of `channels` ternary weights.
Dictionary FullTernary(int channels) {
  Dictionary dictionary;
  dictionary.channels = channels;
  dictionary.terms = channels;
  for (uint32_t plus = 0; plus < 1u << channels; ++plus) {
    for (uint32_t minus = 0; minus < 1u << channels; ++minus) {
      if (!(plus & minus)) dictionary.entries.push_back(SignedSubset{plus, minus});
    }
  }
  dictionary.BuildIndex();
  return dictionary;
}

}  // namespace

void Dictionary::BuildIndex() {
  uint32_t last = 0;
  for (const SignedSubset& subset : entries) last = std::max(last, Key(subset));
  ids_.assign(last + 1, 0);
  for (size_t id = 0; id < entries.size(); ++id) ids_[Key(entries[id])] = static_cast<uint8_t>(id);
}

SignedSubset SubsetOf(const PackedFilters& filters, int filter, int tap,
                      const ChannelGroup& group) {
  const size_t first = static_cast<size_t>(tap) * filters.in_c + group.first_channel;
  SignedSubset subset;
  subset.plus = MaskRow(filters, 0, filter).Bits(first, group.channels);
  if (filters.kind == WeightKind::kTernary) {
    subset.minus = MaskRow(filters, 1, filter).Bits(first, group.channels);
  }
  return subset;
}

Dictionary ChooseDictionary(const PackedFilters& filters, int limit, int group) {
  const bool ternary = filters.kind == WeightKind::kTernary;
  const int most = ternary ? kMaxTernaryChannels : kMaxChannels;
  if (group > most) return {};
  int full_channels = 0;  // channels whose every subset fits
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

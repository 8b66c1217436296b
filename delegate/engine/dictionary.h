// Which channel subsets a table holds: the dictionary of a layer.
#ifndef TF_SIGNBIN_ENGINE_DICTIONARY_H_
#define TF_SIGNBIN_ENGINE_DICTIONARY_H_

#include <cstdint>
#include <vector>

#include "engine/channel_groups.h"
#include "engine/types.h"

namespace tf_signbin {

// What the weights of one tap of one filter are on a group of consecutive channels:
// bit c of `plus` says that channel c of the group is added, bit c of `minus` (ternary) that it is
// subtracted.
struct SignedSubset {
  uint32_t plus = 0;
  uint32_t minus = 0;
};

struct Dictionary {
  // Of one that is not full: entries with more channels would make tables dearer than what they
  // save.
  static constexpr int kMostTerms = 3;

  int channels = 0;   // M: input channels a group, and so a lookup, covers
  bool full = false;  // entry e is the subset whose bits are e (M <= log2 of the limit)
  int terms = 0;      // most channels in one entry
  std::vector<SignedSubset> entries;  // entry 0 is the empty one

  // Entry of a subset that the layer has.
  int Find(SignedSubset subset) const { return ids_[Key(subset)]; }
  // Called once after `entries` is complete.
  void BuildIndex();

 private:
  uint32_t Key(SignedSubset subset) const { return subset.plus | subset.minus << channels; }

  std::vector<uint8_t> ids_;  // by Key
};

// The subset of tap `tap` (kernel row * width + column) of a filter on a group.
SignedSubset SubsetOf(const PackedFilters& filters, int filter, int tap, const ChannelGroup& group);

// The dictionary with the most channels a lookup whose entries number at most `limit`: all subsets
// of log2(limit) channels always do; patterned or very sparse filters keep to fewer distinct
// subsets and so admit wider groups. `group` != 0 asks for that many channels. Returns one with
// `channels` 0 if the request cannot be met.
Dictionary ChooseDictionary(const PackedFilters& filters, int limit, int group);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_DICTIONARY_H_

#include "engine/kernels/table/mask_sample.h"

#include <algorithm>

#include "engine/channel_groups.h"

namespace tf_signbin {
namespace table {

MaskSample::MaskSample(const PackedFilters& filters) : filters_(filters) {
  constexpr int kRows = 8;
  const int taps = filters.kernel_h * filters.kernel_w;
  const int all_rows = filters.planes() * filters.out_c;
  for (int r = 0; r < all_rows; r += std::max(1, all_rows / kRows), ++rows_) {
    const MaskRow row(filters, r / filters.out_c, r % filters.out_c);
    for (int tap = 0; tap < taps; ++tap) {
      uint16_t before = 0;
      for (int c = 0; c < filters.in_c; c += 32) {
        const int count = std::min(32, filters.in_c - c);
        const uint32_t bits = row.Bits(static_cast<size_t>(tap) * filters.in_c + c, count);
        for (int i = 0; i < count; ++i) {
          before_.push_back(before);
          before = static_cast<uint16_t>(before + (bits >> i & 1));
        }
      }
      before_.push_back(before);
    }
  }
}

Histogram MaskSample::OfGroups(int group) const {
  const std::vector<ChannelGroup> groups = MakeChannelGroups(filters_, group);
  const size_t step = filters_.in_c + 1;
  // Several counters of each, as one would wait for its own last increment.
  constexpr size_t kCounters = 4;
  int64_t counts[kCounters][kMaxGroup + 1] = {};
  for (size_t at = 0; at < before_.size(); at += step) {
    for (size_t g = 0; g < groups.size(); ++g) {
      const uint16_t* first = &before_[at + groups[g].first_channel];
      ++counts[g % kCounters][static_cast<uint16_t>(first[groups[g].channels] - first[0])];
    }
  }
  Histogram histogram{};
  for (int k = 0; k <= group; ++k) {
    for (const auto& counter : counts) histogram[k] += static_cast<double>(counter[k]);
    histogram[k] *= static_cast<double>(filters_.planes()) / rows_;
  }
  return histogram;
}

}  // namespace table
}  // namespace tf_signbin

// What the cost model knows of a layer's masks: how many effectual weights fall into one group.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_MASK_SAMPLE_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_MASK_SAMPLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/types.h"

namespace tf_signbin {
namespace table {

constexpr int kMaxGroup = 12;

// How many of a filter's groups of channels have k effectual weights, for k in [0, group]; on
// average over a sample of the filters.
using Histogram = std::array<double, kMaxGroup + 1>;

class MaskSample {
 public:
  explicit MaskSample(const PackedFilters& filters);

  Histogram OfGroups(int group) const;  // in [1, kMaxGroup]

 private:
  const PackedFilters& filters_;
  int rows_ = 0;
  // [rows_, taps, in_c + 1]: effectual weights in front of a channel, modulo 2^16.
  std::vector<uint16_t> before_;
};

}  // namespace table
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_MASK_SAMPLE_H_

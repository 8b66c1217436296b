// Finds filters that hold two values, or {-s, 0, s}, by looking at their values: the rule of
// docs/format.md, "Detection by value".
#ifndef TF_SIGNBIN_ENGINE_DETECT_H_
#define TF_SIGNBIN_ENGINE_DETECT_H_

#include <cstdint>
#include <vector>

#include "engine/types.h"

namespace tf_signbin {

// At most n effectual weights in each m consecutive channels of a tap.
struct ChannelPattern {
  int n, m;
};

// Patterns that some kernel of the engine gains from, the most gainful first.
const std::vector<ChannelPattern>& UsefulPatterns(DataType type);

// Packs filters [out_c, kernel_h, kernel_w, in_c] whose sizes `filters` already holds: fills kind,
// regions, pattern, masks and values. False, with only the sizes meaningful, when they are dense or
// packing would not save space.
bool PackByValue(const float* weights, PackedFilters* filters);
bool PackByValue(const int8_t* weights, PackedFilters* filters);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_DETECT_H_

#include "engine/kernels/permute/filter_parameters.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "engine/channel_groups.h"
#include "engine/kernels/permute/dictionary.h"
#include "engine/kernels/permute/permute_ops.h"

namespace tf_signbin {
namespace {

struct FilterValues {
  float a, b;  // exact for int8 too
};

FilterValues ValuesOf(const PackedFilters& filters, int filter, int region) {
  const int per_region = filters.values_per_region();
  const size_t first = (static_cast<size_t>(filter) * filters.regions + region) * per_region;
  const auto value = [&](size_t i) {
    return filters.values_i8.empty() ? filters.values_f32[i]
                                     : static_cast<float>(filters.values_i8[i]);
  };
  return {per_region == 2 ? value(first) : 0.0f, value(first + per_region - 1)};
}

// The multiply-add that widens 16-bit sums multiplies the other half of a 32-bit lane, another
// filter's sum, by 0; where the layer is folded it is the rest of the same filter's.
int32_t InLane(int filter, bool folded, int difference) {
  const uint32_t low = static_cast<uint16_t>(difference), high = low << 16;
  return static_cast<int32_t>(folded ? low | high : filter % 8 < 4 ? low : high);
}

}  // namespace

template <>
FilterParameters<int32_t>::FilterParameters(const PackedFilters& filters, const OutputStage& output,
                                            const PermutePlan& plan)
    : difference(static_cast<size_t>(filters.regions) * plan.padded_filters()),
      background(static_cast<size_t>(filters.regions) * plan.padded_filters()),
      bias(plan.padded_filters()) {
  const int regions = filters.regions, padded = plan.padded_filters();
  std::vector<int> lanes;
  std::vector<FilterSums> sums;
  const int taps = filters.kernel_h * filters.kernel_w;
  const std::vector<ChannelGroup> groups = MakeChannelGroups(filters, 16);
  for (int f = 0; f < filters.out_c; ++f) {
    const int lane = plan.folded ? f : f / 32 * 32 + ParameterIndexI8(f % 32);
    // Tables hold raw activations; padding holds the zero point, so the correction is constant.
    int64_t weight_sum = 0, plus = 0, minus = 0;
    for (const ChannelGroup& group : groups) {
      const FilterValues v = ValuesOf(filters, f, group.region);
      int group_plus = 0, group_minus = 0;
      for (int tap = 0; tap < taps; ++tap) {
        const SignedSubset subset = SubsetOf(filters, f, tap, group);
        group_plus += __builtin_popcount(subset.plus);
        group_minus += __builtin_popcount(subset.minus);
      }
      const int rest = group.channels * taps - group_plus - group_minus;  // weights of value a
      weight_sum +=
          static_cast<int>(v.b) * (group_plus - group_minus) + static_cast<int>(v.a) * rest;
      plus += group_plus;
      minus += group_minus;
    }
    for (int r = 0; r < regions; ++r) {
      const FilterValues v = ValuesOf(filters, f, r);
      difference[static_cast<size_t>(r) * padded + lane] =
          InLane(f, plan.folded, static_cast<int>(v.b - v.a));
      background[static_cast<size_t>(r) * padded + lane] = static_cast<int32_t>(v.a);
      has_background |= v.a != 0;
    }
    const int64_t start =
        (output.bias_i32.empty() ? 0 : output.bias_i32[f]) - output.input_zero_point * weight_sum;
    bias[lane] = static_cast<int32_t>(start);
    const int b = static_cast<int>(ValuesOf(filters, f, 0).b);
    if (b < 0) std::swap(plus, minus);  // the sum is of -x then
    sums.push_back(
        {std::max(std::abs(b), 1), start, -128 * plus - 127 * minus, 127 * plus + 128 * minus});
    lanes.push_back(lane);
  }
  if (regions > 1 || has_background) sums.clear();
  rescale = Rescale(output, padded, lanes, sums);
  if (rescale.takes_sums()) {
    for (int f = 0; f < filters.out_c; ++f) {
      const float b = ValuesOf(filters, f, 0).b;
      difference[lanes[f]] = InLane(f, plan.folded, b > 0 ? 1 : b < 0 ? -1 : 0);
    }
  }
}

template <>
FilterParameters<float>::FilterParameters(const PackedFilters& filters, const OutputStage& output,
                                          const PermutePlan& plan)
    : difference(static_cast<size_t>(filters.regions) * plan.padded_filters()),
      background(static_cast<size_t>(filters.regions) * plan.padded_filters()),
      bias(plan.padded_filters()) {
  const int padded = plan.padded_filters();
  for (int f = 0; f < filters.out_c; ++f) {
    for (int r = 0; r < filters.regions; ++r) {
      const FilterValues v = ValuesOf(filters, f, r);
      difference[static_cast<size_t>(r) * padded + f] = v.b - v.a;
      background[static_cast<size_t>(r) * padded + f] = v.a;
      has_background |= v.a != 0;
    }
    bias[f] = output.bias_f32.empty() ? 0.0f : output.bias_f32[f];
  }
}

}  // namespace tf_signbin

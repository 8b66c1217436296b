#include "engine/kernels/permute/filter_parameters.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "engine/kernels/output/folding.h"
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
FilterParameters<int32_t>::FilterParameters(const PackedFilters& filters, const OutputStage& stage,
                                            const PermutePlan& plan)
    : difference(static_cast<size_t>(filters.regions) * plan.padded_filters()),
      background(static_cast<size_t>(filters.regions) * plan.padded_filters()),
      bias(plan.padded_filters()),
      has_background(filters.has_background()) {
  const int regions = filters.regions, padded = plan.padded_filters();
  std::vector<int> lanes;
  std::vector<WeightTotals> totals;
  for (int f = 0; f < filters.out_c; ++f) {
    const int lane = plan.folded ? f : f / 32 * 32 + ParameterIndexI8(f % 32);
    for (int r = 0; r < regions; ++r) {
      const FilterValues v = ValuesOf(filters, f, r);
      difference[static_cast<size_t>(r) * padded + lane] =
          InLane(f, plan.folded, static_cast<int>(v.b - v.a));
      background[static_cast<size_t>(r) * padded + lane] = static_cast<int32_t>(v.a);
    }
    // Tables hold raw activations, padding the zero point.
    totals.push_back(TotalsOf(filters, f));
    bias[lane] = static_cast<int32_t>(output::FoldedBias(stage, f, totals[f]));
    lanes.push_back(lane);
  }
  // With regions or a background accumulators are multiples of nothing, which the rule may bear all
  // the same.
  const bool sums_alone = regions == 1 && !has_background;
  std::vector<FilterSums> sums;
  for (int f = 0; f < filters.out_c; ++f) {
    const int b = static_cast<int>(ValuesOf(filters, f, 0).b);
    const int d = sums_alone ? std::max(std::abs(b), 1) : 1;
    sums.push_back(
        output::SumsOf(totals[f], d, output::FoldedBias(stage, f, totals[f]), -128, 127));
  }
  rescale = Rescale(stage, padded, lanes, sums);
  if (rescale.takes_sums() && sums_alone) {
    for (int f = 0; f < filters.out_c; ++f) {
      const float b = ValuesOf(filters, f, 0).b;
      difference[lanes[f]] = InLane(f, plan.folded, b > 0 ? 1 : b < 0 ? -1 : 0);
    }
  }
}

template <>
FilterParameters<float>::FilterParameters(const PackedFilters& filters, const OutputStage& stage,
                                          const PermutePlan& plan)
    : difference(static_cast<size_t>(filters.regions) * plan.padded_filters()),
      background(static_cast<size_t>(filters.regions) * plan.padded_filters()),
      bias(plan.padded_filters()),
      has_background(filters.has_background()) {
  const int padded = plan.padded_filters();
  for (int f = 0; f < filters.out_c; ++f) {
    for (int r = 0; r < filters.regions; ++r) {
      const FilterValues v = ValuesOf(filters, f, r);
      difference[static_cast<size_t>(r) * padded + f] = v.b - v.a;
      background[static_cast<size_t>(r) * padded + f] = v.a;
    }
    bias[f] = stage.bias_f32.empty() ? 0.0f : stage.bias_f32[f];
  }
}

}  // namespace tf_signbin

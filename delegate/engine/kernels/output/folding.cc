#include "engine/kernels/output/folding.h"

#include <algorithm>
#include <cstdlib>

namespace tf_signbin {
namespace output {

int64_t FoldedBias(const OutputStage& stage, int filter, const WeightTotals& totals) {
  const int64_t bias = stage.bias_i32.empty() ? 0 : stage.bias_i32[filter];
  return bias - stage.input_zero_point * totals.sum();
}

int CommonMagnitude(const std::vector<int8_t>& weights) {
  int magnitude = 0;
  for (const int weight : weights) {
    if (weight == 0 || std::abs(weight) == magnitude) continue;
    if (magnitude != 0) return 1;
    magnitude = std::abs(weight);
  }
  return std::max(magnitude, 1);
}

FilterSums SumsOf(const WeightTotals& totals, int d, int64_t bias, int least, int most) {
  FilterSums sums;
  sums.d = d;
  sums.bias = bias;
  sums.least = (totals.positive * least - totals.negative * most) / d;
  sums.most = (totals.positive * most - totals.negative * least) / d;
  return sums;
}

FilterSums Without(const FilterSums& sums, int64_t part) {
  return {sums.d, sums.bias + sums.d * part, sums.least - part, sums.most - part};
}

}  // namespace output
}  // namespace tf_signbin

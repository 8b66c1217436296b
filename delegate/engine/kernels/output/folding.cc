#include "engine/kernels/output/folding.h"

namespace tf_signbin {
namespace output {

int64_t FoldedBias(const OutputStage& stage, int filter, const WeightTotals& totals) {
  const int64_t bias = stage.bias_i32.empty() ? 0 : stage.bias_i32[filter];
  return bias - stage.input_zero_point * totals.sum();
}

FilterSums SumsOf(const WeightTotals& totals, int d, int64_t bias, int least, int most) {
  FilterSums sums;
  sums.d = d;
  sums.bias = bias;
  sums.least = (totals.positive * least - totals.negative * most) / d;
  sums.most = (totals.positive * most - totals.negative * least) / d;
  return sums;
}

}  // namespace output
}  // namespace tf_signbin

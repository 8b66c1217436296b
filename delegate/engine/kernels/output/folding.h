// What is constant in a filter's sums, folded into one number: its bias and the activations' zero
// point. Shared by all families.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FOLDING_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FOLDING_H_

#include <cstdint>
#include <vector>

#include "engine/kernels/output/filter_lanes.h"
#include "engine/types.h"
#include "engine/weight_totals.h"

namespace tf_signbin {
namespace output {

// The sum over a window of weight * (x - zero point), plus the bias, is that of weight * x plus
//   bias - zero point * sum of the weights,
// as padding holds the zero point. TFLite's 32-bit sums wrap; kernels that have it wrap too cast
// it.
int64_t FoldedBias(const OutputStage& stage, int filter, const WeightTotals& totals);

// The magnitude that all weights but the zeros have, a `d` for SumsOf; 1 where they differ.
int CommonMagnitude(const std::vector<int8_t>& weights);

// What a filter sums up whose weights are all multiples of `d`, of activations in [least, most].
FilterSums SumsOf(const WeightTotals& totals, int d, int64_t bias, int least, int most);

// The same accumulators of sums that lack `part`.
FilterSums Without(const FilterSums& sums, int64_t part);

}  // namespace output
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FOLDING_H_

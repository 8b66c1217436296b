// What the family's kernels hold of a layer's filters besides their packed weights.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_FILTERS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_FILTERS_H_

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "engine/aligned.h"
#include "engine/kernel.h"
#include "engine/kernels/dense/dense_plan.h"
#include "engine/kernels/output/filter_lanes.h"
#include "engine/kernels/output/folding.h"
#include "engine/types.h"
#include "engine/unpack.h"
#include "engine/weight_totals.h"

namespace tf_signbin {

// All arrays are [lanes].
struct DenseFilters {
  Rescale rescale;
  Aligned<int32_t> start;  // of the accumulators; none where all start at 0
  // With tables: what a looked-up sum counts, a byte four times; for 64 filters a look-up a word.
  Aligned<int32_t> factors = {};
  // Where filters have a background (DenseFlush).
  bool has_background = false;
  Aligned<int32_t> background = {}, difference = {}, words = {}, bias = {};
};

// Where to begin accumulators at other values than 0 takes time, PrepareFilters leaves it to the
// output stage if it can.
enum class Beginning { kInAccumulators, kInOutputsIfPossible };

// `lanes`: the lane of each filter, below `padded`. Microkernels see an activation x as x + offset.
// Calls pack(weights, filter) with the weights that the microkernels multiply.
template <typename Pack>
DenseFilters PrepareFilters(const PackedFilters& filters, const OutputStage& stage,
                            const std::vector<int>& lanes, int padded, int offset,
                            Beginning beginning, const Pack& pack) {
  std::vector<int8_t> weights(filters.weights_per_filter());
  std::vector<FilterSums> sums, begun_later;
  std::vector<int64_t> starts;  // what the zero point adds to a window's sum
  for (int filter = 0; filter < filters.out_c; ++filter) {
    UnpackFilter(filters, filters.values_i8, filter, weights.data());
    const WeightTotals totals = TotalsOf(filters, filter);
    const int64_t bias = stage.bias_i32.empty() ? 0 : stage.bias_i32[filter];
    sums.push_back(output::SumsOf(totals, output::CommonMagnitude(weights), bias,
                                  -128 - stage.input_zero_point, 127 - stage.input_zero_point));
    starts.push_back(totals.sum() / sums.back().d * -(offset + stage.input_zero_point));
    begun_later.push_back(output::Without(sums.back(), starts.back()));
  }
  DenseFilters prepared;
  if (beginning == Beginning::kInOutputsIfPossible) {
    prepared.rescale = Rescale(stage, padded, lanes, begun_later);
  }
  const bool begins_at_zero = prepared.rescale.takes_sums();
  if (!begins_at_zero) {
    prepared.rescale = Rescale(stage, padded, lanes, sums);
    prepared.start = Aligned<int32_t>(padded);
  }
  const bool takes_sums = prepared.rescale.takes_sums();
  for (int filter = 0; filter < filters.out_c; ++filter) {
    UnpackFilter(filters, filters.values_i8, filter, weights.data());
    const FilterSums& own = sums[filter];
    if (takes_sums) {
      for (int8_t& weight : weights) weight = static_cast<int8_t>(weight / own.d);
    }
    pack(weights, filter);
    if (begins_at_zero) continue;
    prepared.start[lanes[filter]] =
        static_cast<int32_t>(takes_sums ? starts[filter] : starts[filter] * own.d + own.bias);
  }
  return prepared;
}

// The same of filters of two values whose sums are looked up, zero point removed.
inline DenseFilters PrepareTableFilters(const ConvProblem& problem, const std::vector<int>& lanes,
                                        int padded, bool wide) {
  const PackedFilters& filters = *problem.filters;
  const OutputStage& stage = *problem.output;
  const auto value = [&](int filter, int which) { return filters.values_i8[2 * filter + which]; };
  DenseFilters prepared;
  prepared.has_background = filters.has_background();
  std::vector<FilterSums> sums;
  for (int filter = 0; filter < filters.out_c; ++filter) {
    // Accumulators with a background are multiples of nothing, which the rule may bear all the
    // same.
    const int d = prepared.has_background ? 1 : std::max(std::abs(int{value(filter, 1)}), 1);
    const int64_t bias = stage.bias_i32.empty() ? 0 : stage.bias_i32[filter];
    sums.push_back(output::SumsOf(TotalsOf(filters, filter), d, bias, problem.least_input(),
                                  problem.most_input()));
  }
  prepared.rescale = Rescale(stage, padded, lanes, sums);
  prepared.start = Aligned<int32_t>(padded);
  prepared.factors = Aligned<int32_t>(padded);
  // A byte has no room for the difference, a word has.
  const bool differs_later = prepared.has_background && !wide;
  // Window sums are taken as unsigned words, those of look-ups as signed ones.
  const int64_t most_box = int64_t{problem.most_input()} * filters.weights_per_filter();
  const bool in_words =
      differs_later && most_box <= 0xffff && SumsFit(filters, problem.most_input(), 0x7fff);
  if (prepared.has_background) {
    (in_words ? prepared.words : prepared.background) = Aligned<int32_t>(padded);
    if (differs_later) prepared.bias = Aligned<int32_t>(padded);
    if (differs_later && !in_words) prepared.difference = Aligned<int32_t>(padded);
  }
  const bool takes_sums = prepared.rescale.takes_sums();
  for (int filter = 0; filter < filters.out_c; ++filter) {
    // Sums of 32 bits wrap around and back.
    const int64_t bias = takes_sums ? 0 : sums[filter].bias;
    const int lane = lanes[filter], a = value(filter, 0), b = value(filter, 1);
    int factor = takes_sums ? (b > 0) - (b < 0) : b;
    if (prepared.has_background) factor = wide ? b - a : 1;
    if (in_words) {
      prepared.words[lane] = static_cast<int32_t>((b - a) & 0xffff) | a * (1 << 16);
      prepared.bias[lane] = static_cast<int32_t>(bias + a * kBoxOffset);
    } else if (differs_later) {
      prepared.difference[lane] = b - a;
      prepared.background[lane] = a;
      prepared.bias[lane] = static_cast<int32_t>(bias);
    } else {
      if (prepared.has_background) prepared.background[lane] = a;
      // Words are multiplied as signed ones, 32768 less.
      prepared.start[lane] = static_cast<int32_t>(bias + (wide ? factor * 32768 : 0));
    }
    prepared.factors[lane] =
        static_cast<int32_t>(wide ? factor & 0xffffu : (factor & 0xffu) * 0x01010101u);
  }
  return prepared;
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_FILTERS_H_

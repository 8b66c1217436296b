#include "engine/kernels/output/folding.h"

#include <algorithm>
#include <cstddef>

#include "engine/channel_groups.h"

namespace tf_signbin {
namespace output {
namespace {

void Add(int64_t weight, int64_t times, WeightTotals* totals) {
  (weight > 0 ? totals->positive : totals->negative) += (weight > 0 ? weight : -weight) * times;
}

// Set bits of channels [first, end) at every tap.
int CountBits(const PackedFilters& filters, int plane, int filter, int first, int end) {
  const MaskRow row(filters, plane, filter);
  int count = 0;
  for (int tap = 0; tap < filters.kernel_h * filters.kernel_w; ++tap) {
    const size_t bit = static_cast<size_t>(tap) * filters.in_c;
    for (int c = first; c < end; c += 32)
      count += PopCount(row.Bits(bit + c, std::min(32, end - c)));
  }
  return count;
}

}  // namespace

WeightTotals TotalsOf(const PackedFilters& filters, int filter) {
  WeightTotals totals;
  const size_t per_region = filters.values_per_region();
  if (filters.kind == WeightKind::kDense) {
    const int8_t* values = &filters.values_i8[filter * per_region];
    for (size_t k = 0; k < per_region; ++k) Add(values[k], 1, &totals);
    return totals;
  }
  const int channels = filters.in_c / filters.regions;
  const int weights = channels * filters.kernel_h * filters.kernel_w;
  for (int region = 0; region < filters.regions; ++region) {
    const int first = region * channels, end = first + channels;
    const int8_t* values =
        &filters.values_i8[(static_cast<size_t>(filter) * filters.regions + region) * per_region];
    const int set = CountBits(filters, 0, filter, first, end);
    if (filters.kind == WeightKind::kTernary) {
      Add(values[0], set, &totals);
      Add(-values[0], CountBits(filters, 1, filter, first, end), &totals);
    } else {
      Add(values[1], set, &totals);
      Add(values[0], weights - set, &totals);
    }
  }
  return totals;
}

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

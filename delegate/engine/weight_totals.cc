#include "engine/weight_totals.h"

#include <cstddef>

#include "engine/channel_groups.h"

namespace tf_signbin {
namespace {

void Add(int64_t weight, int64_t times, WeightTotals* totals) {
  (weight > 0 ? totals->positive : totals->negative) += (weight > 0 ? weight : -weight) * times;
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
  const auto weights = static_cast<int64_t>(filters.weights_per_filter() / filters.regions);
  const size_t run = filters.in_c / filters.regions;  // of a region's channels at a tap
  const auto set_bits = [&](int plane, int region) {
    const MaskRow row(filters, plane, filter);
    if (filters.regions == 1) return row.Count(0, weights);
    int64_t count = 0;
    for (size_t at = region * run; at < filters.weights_per_filter(); at += filters.in_c) {
      count += row.Count(at, run);
    }
    return count;
  };
  for (int region = 0; region < filters.regions; ++region) {
    const int8_t* values =
        &filters.values_i8[(static_cast<size_t>(filter) * filters.regions + region) * per_region];
    const int64_t set = set_bits(0, region);
    if (filters.kind == WeightKind::kTernary) {
      Add(values[0], set, &totals);
      Add(-values[0], set_bits(1, region), &totals);
    } else {
      Add(values[1], set, &totals);
      Add(values[0], weights - set, &totals);
    }
  }
  return totals;
}

}  // namespace tf_signbin

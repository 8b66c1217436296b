// Sums of a filter's int8 weights, on which the limits of its accumulator and its folded bias rest.
#ifndef TF_SIGNBIN_ENGINE_WEIGHT_TOTALS_H_
#define TF_SIGNBIN_ENGINE_WEIGHT_TOTALS_H_

#include <cstdint>

#include "engine/types.h"

namespace tf_signbin {

struct WeightTotals {
  int64_t positive = 0;  // the sum of those above zero
  int64_t negative = 0;  // the sum of the magnitudes of those below

  int64_t sum() const { return positive - negative; }
  int64_t magnitude() const { return positive + negative; }
};

WeightTotals TotalsOf(const PackedFilters& filters, int filter);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_WEIGHT_TOTALS_H_

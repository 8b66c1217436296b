// The constants of each filter as the vector code reads them.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_FILTER_PARAMETERS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_FILTER_PARAMETERS_H_

#include <cstdint>

#include "engine/aligned.h"
#include "engine/kernels/output/filter_lanes.h"
#include "engine/kernels/permute/permute_plan.h"
#include "engine/types.h"

namespace tf_signbin {

// Of all filters, padded to whole vectors, in lane order. Sum is int32_t or float.
template <typename Sum>
struct FilterParameters {
  Aligned<Sum> difference;  // b - a, [region][padded]
  Aligned<Sum> background;  // a, [region][padded]
  Aligned<Sum> bias;
  Rescale rescale;  // int8
  bool has_background;

  FilterParameters(const PackedFilters& filters, const OutputStage& stage, const PermutePlan& plan);
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_FILTER_PARAMETERS_H_

// How a layer's tables are built, worked out once.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_RECIPE_H_
#define TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_RECIPE_H_

#include <vector>

#include "engine/kernels/permute/permute_ops.h"
#include "engine/kernels/permute/permute_plan.h"

namespace tf_signbin {

TableRecipe MakeRecipe(const PermutePlan& plan);

// The units that tables are built in, of all groups in order. A region's first group begins one,
// and where a segment has tables of its own, its first group does too.
std::vector<TableUnit> MakeUnits(const PermutePlan& plan);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_RECIPE_H_

// Constants of an int8 filter's output from the layer's OutputStage.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_OUTPUT_PARAMS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_OUTPUT_PARAMS_H_

#include <cstdint>

#include "engine/kernels/table/table_ops.h"
#include "engine/types.h"

namespace tf_signbin {
namespace table {

// Multiplier and shifts; zero where the stage has real multipliers.
void SetMultiplier(const OutputStage& output, int filter, OutputParamsI8* params);

// Whether a filter whose weights' magnitudes sum to `magnitude` allows OutputArgsI8::fast.
bool AllowsFastOutput(const OutputStage& output, int filter, int64_t magnitude);

}  // namespace table
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_OUTPUT_PARAMS_H_

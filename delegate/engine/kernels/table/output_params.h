// What the output stage of int8 layers needs of OutputStage.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_OUTPUT_PARAMS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_OUTPUT_PARAMS_H_

#include <cstdint>
#include <vector>

#include "engine/kernels/table/table_ops.h"
#include "engine/types.h"

namespace tf_signbin {
namespace table {

// Multiplier and shifts; zero where the stage has real multipliers.
void SetMultiplier(const OutputStage& output, int filter, OutputParamsI8* params);

// Whether a filter whose weights' magnitudes sum to `magnitude`, with inputs of at most `largest`
// once the zero point is removed, allows OutputArgsI8::fast.
bool AllowsFastOutput(const OutputStage& output, int filter, int64_t magnitude, int largest);

// All but the sums, the lanes and the pixels, of filters [first, first + count); `params` has those
// of every filter.
OutputArgsI8 MakeOutputArgs(const OutputStage& output, const std::vector<OutputParamsI8>& params,
                            bool fast, int first, int count);
OutputArgsF32 MakeOutputArgs(const OutputStage& output, const std::vector<OutputParamsF32>& params,
                             bool fast, int first, int count);

}  // namespace table
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_OUTPUT_PARAMS_H_

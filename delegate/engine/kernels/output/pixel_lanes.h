// What the output of pixels in lanes (pixel_lanes_ops.h) needs of a layer.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_PIXEL_LANES_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_PIXEL_LANES_H_

#include <cstdint>
#include <vector>

#include "engine/kernels/output/pixel_lanes_ops.h"
#include "engine/types.h"

namespace tf_signbin {
namespace output {

// Multiplier and shifts; zero where the stage has real multipliers.
void SetMultiplier(const OutputStage& output, int filter, ParamsI8* params);

// Whether a filter whose weights' magnitudes sum to `magnitude`, with inputs of at most `largest`
// once the zero point is removed, allows ArgsI8::fast.
bool AllowsFast(const OutputStage& output, int filter, int64_t magnitude, int largest);

// What a filter's accumulators x, which allow ArgsI8::fast, become in floats; without their bias
// they lie in [least, most]. `sums_alone`: they are scale * (acc - center), with neither totals nor
// boxes. False where floats cannot express the rule.
bool FindFloatParams(const OutputStage& output, int filter, const ParamsI8& params, bool sums_alone,
                     int64_t least, int64_t most, FloatParamsI8* found);

// All but the sums, the lanes and the pixels, of filters [first, first + count); `params` has those
// of every filter.
ArgsI8 MakeArgs(const OutputStage& output, const std::vector<ParamsI8>& params, bool fast,
                int first, int count);
ArgsF32 MakeArgs(const OutputStage& output, const std::vector<ParamsF32>& params, bool fast,
                 int first, int count);

}  // namespace output
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_PIXEL_LANES_H_

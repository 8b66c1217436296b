// The output of pixels in lanes for AVX2.
#include "engine/kernels/output/pixel_lanes-inl.h"

static_assert(HWY_TARGET == HWY_AVX2, "compile this file for AVX2, FMA, BMI2, F16C");

namespace tf_signbin {
namespace output {

const PixelLanesOps kPixelLanesOpsAvx2 = {simd::kSplitLanes, /*takes_floats=*/true, &WriteI8,
                                          &WriteF32};

}  // namespace output
}  // namespace tf_signbin

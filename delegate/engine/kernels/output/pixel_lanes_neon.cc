// The output of pixels in lanes for NEON, 32 and 64 bit.
#include "engine/kernels/output/pixel_lanes-inl.h"

static_assert(HWY_TARGET == HWY_NEON, "compile this file for NEON");

namespace tf_signbin {
namespace output {

const PixelLanesOps kPixelLanesOpsNeon = {simd::kSplitLanes, /*takes_floats=*/false, &WriteI8,
                                          &WriteF32};

}  // namespace output
}  // namespace tf_signbin

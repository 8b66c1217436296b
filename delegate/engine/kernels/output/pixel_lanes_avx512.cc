// The output of pixels in lanes for AVX-512 (F, BW, DQ, VL).
#include "engine/kernels/output/pixel_lanes-inl.h"

static_assert(HWY_TARGET == HWY_AVX3, "compile this file for AVX-512 F, BW, DQ, VL, CD");

namespace tf_signbin {
namespace output {

const PixelLanesOps kPixelLanesOpsAvx512 = {simd::kSplitLanes, /*takes_floats=*/false, &WriteI8,
                                            &WriteF32};

}  // namespace output
}  // namespace tf_signbin

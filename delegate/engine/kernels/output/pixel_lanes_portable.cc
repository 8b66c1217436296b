// The output of pixels in lanes in plain C++, for every processor.

// Highway keeps its 128-bit emulation away from GCC before 12.3, whose vectorizer miscompiles
// 16-bit high multiplications (GCC bug 106322). None is used here, and the tests compare every
// result.
#define HWY_BROKEN_EMU128 0
#define HWY_COMPILE_ONLY_EMU128
#include "engine/kernels/output/pixel_lanes-inl.h"

static_assert(HWY_TARGET == HWY_EMU128, "plain C++ is wanted here");

namespace tf_signbin {
namespace output {

const PixelLanesOps kPixelLanesOpsPortable = {simd::kSplitLanes,
                                              /*takes_floats=*/false, &WriteI8, &WriteF32};

}  // namespace output
}  // namespace tf_signbin

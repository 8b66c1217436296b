// Requantization for NEON.
#include "engine/kernels/output/requantize-inl.h"

static_assert(HWY_TARGET == HWY_NEON, "compile this file for NEON");

namespace tf_signbin {
namespace output {

const RequantizeOps kRequantizeOpsNeon = {&Requantize};

}  // namespace output
}  // namespace tf_signbin

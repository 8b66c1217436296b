// Requantization for AVX2.
#include "engine/kernels/output/requantize-inl.h"

static_assert(HWY_TARGET == HWY_AVX2, "compile this file for AVX2");

namespace tf_signbin {
namespace output {

const RequantizeOps kRequantizeOpsAvx2 = {&Requantize};

}  // namespace output
}  // namespace tf_signbin

// Requantization for AVX-512.
#include "engine/kernels/output/requantize-inl.h"

static_assert(HWY_TARGET == HWY_AVX3, "compile this file for AVX-512");

namespace tf_signbin {
namespace output {

const RequantizeOps kRequantizeOpsAvx512 = {&Requantize};

}  // namespace output
}  // namespace tf_signbin

// Requantization for NEON.
#include "engine/kernels/output/requantize-inl.h"

static_assert(HWY_TARGET == HWY_NEON, "compile this file for NEON");

namespace tf_signbin {
namespace output {

void RequantizeNeon(const RequantizeParams& params, const int8_t* in, size_t count, int8_t* out) {
  Requantize(params, in, count, out);
}

}  // namespace output
}  // namespace tf_signbin

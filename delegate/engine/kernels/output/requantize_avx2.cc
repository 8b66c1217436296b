// Requantization for AVX2.
#include "engine/kernels/output/requantize-inl.h"

static_assert(HWY_TARGET == HWY_AVX2, "compile this file for AVX2");

namespace tf_signbin {
namespace output {

void RequantizeAvx2(const RequantizeParams& params, const int8_t* in, size_t count, int8_t* out) {
  Requantize(params, in, count, out);
}

}  // namespace output
}  // namespace tf_signbin

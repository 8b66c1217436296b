// Requantization for AVX-512.
#include "engine/kernels/output/requantize-inl.h"

static_assert(HWY_TARGET == HWY_AVX3, "compile this file for AVX-512");

namespace tf_signbin {
namespace output {

void RequantizeAvx512(const RequantizeParams& params, const int8_t* in, size_t count, int8_t* out) {
  Requantize(params, in, count, out);
}

}  // namespace output
}  // namespace tf_signbin

#include <algorithm>

#include "engine/kernels/output/requantize_ops.h"

namespace tf_signbin {
namespace output {

void RequantizePortable(const RequantizeParams& params, const int8_t* in, size_t count,
                        int8_t* out) {
  for (size_t i = 0; i < count; ++i) {
    const int scaled = ScaleForRequantization(in[i] + 128, params.multiplier);
    const int y = (scaled + params.addend) >> params.shift;
    out[i] = static_cast<int8_t>(std::min<int>(std::max<int>(y, params.least), params.most));
  }
}

RequantizeFn RequantizeFor(Isa isa) {
  switch (isa) {
#if defined(__x86_64__) || defined(__i386__)
    case Isa::kAvx2:
    case Isa::kAvxVnni:
      return RequantizeAvx2;
    case Isa::kAvx512:
    case Isa::kAvx512Vnni:
    case Isa::kAmx:
      return RequantizeAvx512;
#elif defined(__aarch64__) || defined(__arm__)
    case Isa::kNeon:
    case Isa::kNeonDot:
    case Isa::kNeonI8mm:
      return RequantizeNeon;
#endif
    default:
      return RequantizePortable;
  }
}

}  // namespace output
}  // namespace tf_signbin

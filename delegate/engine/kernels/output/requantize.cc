#include <algorithm>

#include "engine/kernels/output/requantize_ops.h"

namespace tf_signbin {
namespace output {
namespace {

void Requantize(const RequantizeParams& params, const int8_t* in, size_t count, int8_t* out) {
  for (size_t i = 0; i < count; ++i) {
    const int scaled = (((in[i] + 128) << 7) * params.multiplier + (1 << 14)) >> 15;
    const int y = (scaled + params.addend) >> params.shift;
    out[i] = static_cast<int8_t>(std::min<int>(std::max<int>(y, params.least), params.most));
  }
}

}  // namespace

const RequantizeOps kRequantizeOpsPortable = {&Requantize};

const RequantizeOps& RequantizeOpsFor(Isa isa) {
  switch (isa) {
#if defined(__x86_64__) || defined(__i386__)
    case Isa::kAvx2:
    case Isa::kAvxVnni:
      return kRequantizeOpsAvx2;
    case Isa::kAvx512:
    case Isa::kAvx512Vnni:
    case Isa::kAmx:
      return kRequantizeOpsAvx512;
#elif defined(__aarch64__) || defined(__arm__)
    case Isa::kNeon:
    case Isa::kNeonDot:
    case Isa::kNeonI8mm:
      return kRequantizeOpsNeon;
#endif
    default:
      return kRequantizeOpsPortable;
  }
}

}  // namespace output
}  // namespace tf_signbin

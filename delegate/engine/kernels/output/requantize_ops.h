// Requantization of int8 activations in vectors, and the instruction sets that it is compiled for.
// Plain pointers and sizes only.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_REQUANTIZE_OPS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_REQUANTIZE_OPS_H_

#include <cstddef>
#include <cstdint>

#include "engine/target.h"

namespace tf_signbin {
namespace output {

// clamp((round(((x + 128) << 7) * multiplier / 2^15) + addend) >> shift), in 16 bits.
struct RequantizeParams {
  int16_t multiplier = 0, addend = 0;
  int shift = 0;
  int8_t least = 0, most = 0;
};

struct RequantizeOps {
  void (*run)(const RequantizeParams& params, const int8_t* in, size_t count, int8_t* out);
};

// The functions for `isa`, or, where this build has none for it, the portable ones.
const RequantizeOps& RequantizeOpsFor(Isa isa);

extern const RequantizeOps kRequantizeOpsPortable;
extern const RequantizeOps kRequantizeOpsAvx2;
extern const RequantizeOps kRequantizeOpsAvx512;
extern const RequantizeOps kRequantizeOpsNeon;

}  // namespace output
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_REQUANTIZE_OPS_H_

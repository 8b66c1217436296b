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

// What the addend is added to, of u = x + 128.
[[maybe_unused]] static inline int ScaleForRequantization(int u, int multiplier) {
  return ((u << 7) * multiplier + (1 << 14)) >> 15;
}

// Of `count` activations.
using RequantizeFn = void (*)(const RequantizeParams& params, const int8_t* in, size_t count,
                              int8_t* out);

// The function for `isa`, or, where this build has none for it, the portable one.
RequantizeFn RequantizeFor(Isa isa);

void RequantizePortable(const RequantizeParams& params, const int8_t* in, size_t count,
                        int8_t* out);
void RequantizeAvx2(const RequantizeParams& params, const int8_t* in, size_t count, int8_t* out);
void RequantizeAvx512(const RequantizeParams& params, const int8_t* in, size_t count, int8_t* out);
void RequantizeNeon(const RequantizeParams& params, const int8_t* in, size_t count, int8_t* out);

}  // namespace output
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_REQUANTIZE_OPS_H_

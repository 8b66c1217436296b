// Sums to outputs where pixels are in lanes, behind one table of functions per instruction set.
// Plain pointers and sizes only: pixel_lanes_<isa>.cc is compiled for that instruction set.
//
// Sums come filter by filter, one lane a pixel; outputs go pixel by pixel, one byte (or float) a
// filter. What a sum becomes:
//   x = scale * (acc - center) + background * box + bias    (int8: or total in place of the
//   product) output = clamp(zero point + rescaled x)                 (float: clamp(x))
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_PIXEL_LANES_OPS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_PIXEL_LANES_OPS_H_

#include <cstddef>
#include <cstdint>

#include "engine/target.h"

namespace tf_signbin {
namespace output {

// Arrays handed to these functions are aligned to this many bytes.
constexpr size_t kAlignment = 64;
// More pixels than any call has: as many as 24 vectors of 16-bit lanes hold, whatever their width.
constexpr int kMaxVectors = 24;

// What turns the sums of one filter into its output; all arithmetic of int8 wraps at 32 bits.
struct ParamsI8 {
  int32_t bias;
  int32_t multiplier;  // Q31
  int16_t scale;       // effectual value minus background, of unspilled sums
  int16_t background;  // times the box sum
  int16_t center;      // subtracted from 16-bit sums before they are sign-extended
  uint8_t left_shift, right_shift;
};

// The same in floats (FloatRescale): x, without its bias, becomes
//   floor(x * scale + (x * correction + offset)) + addend,
// whose terms 16 bits hold.
struct FloatParamsI8 {
  float scale, correction;
  float offset, negative_offset;  // for x from `split` on, and below it
  int32_t split;
  int16_t addend;  // with the zero point
  int16_t factor;  // of acc - center, in place of ParamsI8::scale
};

struct ParamsF32 {
  float scale, background, bias;
};

struct ArgsI8 {
  const int16_t* acc;    // [filters, lanes], used when `total` is null
  const int32_t* total;  // [filters, lanes] in the order of split_lanes, or null
  const int32_t* box;    // [lanes], in the same order, or null
  const ParamsI8* params;
  int filters;
  int lanes;
  int32_t zero_point, clamp_min, clamp_max;
  const double* real_multipliers;  // [filters]: one rounding in double instead; or null
  // No left shift, right shifts in [1, 16], and every result before the clamp fits 16 bits.
  bool fast;
  bool exact_negative;          // results below the zero point survive the clamp
  const FloatParamsI8* floats;  // [filters], with `fast` and PixelLanesOps::takes_floats; or null
  int8_t* const* pixels;  // [lanes] output pixel at the first filter, null where there is none
};

struct ArgsF32 {
  const float* acc;    // [filters, lanes], used when `total` is null
  const float* total;  // [filters, lanes] or null
  const float* box;    // [lanes] or null
  const ParamsF32* params;
  int filters;
  int lanes;
  float clamp_min, clamp_max;
  float* const* pixels;
};

struct PixelLanesOps {
  // 32-bit sums (totals, boxes): of so many, the even lanes come first, then the odd ones; 0: in
  // order.
  int split_lanes;
  bool takes_floats;  // ArgsI8::floats
  void (*i8)(const ArgsI8& args);
  void (*f32)(const ArgsF32& args);
};

// The functions for `isa`, or, where this build has none for it, the portable ones.
const PixelLanesOps& PixelLanesOpsFor(Isa isa);

extern const PixelLanesOps kPixelLanesOpsPortable;
extern const PixelLanesOps kPixelLanesOpsAvx2;
extern const PixelLanesOps kPixelLanesOpsAvx512;
extern const PixelLanesOps kPixelLanesOpsNeon;

}  // namespace output
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_PIXEL_LANES_OPS_H_

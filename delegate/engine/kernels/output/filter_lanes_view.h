// The parameters of filter_lanes.h as vector code reads them: plain pointers and sizes only.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_LANES_VIEW_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_LANES_VIEW_H_

#include <cstdint>

namespace tf_signbin {

// Pointers into a Rescale, for vector code. Arrays are in the order of the accumulators' lanes but
// for `addend`, which has filters in order.
struct RescaleView {
  enum class Rule { kFloat, kRightShift, kFixedPoint, kReal } rule;
  // Whether the sign of an accumulator matters: not where the clamp starts at the zero point.
  bool signs;
  const int16_t* addend;
  // kFloat
  const float *scale, *correction, *offset, *negative_offset;
  const int32_t* split;
  // kRightShift: all filters shift right by s >= 1
  const int64_t* rounding64;  // 2^30 + 2^(30 + s), of each 16 lanes even ones first
  const int32_t* high_shift;  // s - 1
  // kRightShift, kFixedPoint
  const int32_t* multiplier;
  // kFixedPoint
  const int32_t *left_shift, *right_shift;
  const int32_t* remainder;  // (1 << right_shift) - 1
  // kReal
  const double* real_multiplier;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_LANES_VIEW_H_

// TensorFlow Lite's rules for turning scales into integer arithmetic.
#ifndef TF_SIGNBIN_TFLITE_QUANTIZATION_H_
#define TF_SIGNBIN_TFLITE_QUANTIZATION_H_

#include <cstdint>
#include <vector>

#include "engine/types.h"
#include "tflite/op_options.h"

namespace tf_signbin {

struct TensorQuantization {
  float scale = 0;
  int32_t zero_point = 0;
};

// real ~ multiplier / 2^31 * 2^shift with multiplier in [2^30, 2^31), or 0, 0. real >= 0, finite.
void QuantizeMultiplier(double real, int32_t* multiplier, int32_t* shift);

// Fills the clamp of a float output stage.
void SetFloatActivation(Activation activation, OutputStage* output);

// Fills zero points, multipliers and clamp of an empty int8 output stage. `weight_scales` has one
// entry for the whole tensor or one a filter.
Status SetInt8Stage(OpType op, const TensorQuantization& input,
                    const std::vector<float>& weight_scales, const TensorQuantization& out,
                    Activation activation, int filters, OutputStage* output);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_QUANTIZATION_H_

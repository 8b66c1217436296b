// Plain descriptions of a convolution, shared by every part of the engine.
// The engine knows nothing of TensorFlow Lite: the adapter in ../tflite fills these in.
#ifndef TF_SIGNBIN_ENGINE_TYPES_H_
#define TF_SIGNBIN_ENGINE_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tf_signbin {

// Outcome of an operation. The engine throws nothing across its API.
class Status {
 public:
  static Status Ok() { return Status(); }
  static Status Error(std::string message) {
    Status status;
    status.message_ = std::move(message);
    return status;
  }
  bool ok() const { return message_.empty(); }
  const std::string& message() const { return message_; }

 private:
  std::string message_;
};

enum class DataType { kFloat32, kInt8 };

// How a filter's weights follow from its mask bits (docs/format.md). kDense has no masks and is in
// no file: its values are the weights themselves, in mask order, with regions 1.
enum class WeightKind { kTwoValued, kTernary, kDense };

// Geometry of one convolution; a fully connected layer is a 1x1 convolution of a 1x1 image with
// one batch entry a row. Activations are NHWC.
struct ConvShape {
  int batch = 1;
  int in_h = 1, in_w = 1, in_c = 1;
  int out_h = 1, out_w = 1, out_c = 1;
  int kernel_h = 1, kernel_w = 1;
  int stride_h = 1, stride_w = 1;
  int dilation_h = 1, dilation_w = 1;
  int pad_top = 0, pad_left = 0;
};

// Weights of one layer as the model file holds them (docs/format.md).
// V: two_valued 2, ternary 1, dense weights_per_filter().
struct PackedFilters {
  WeightKind kind = WeightKind::kTwoValued;
  int out_c = 0, kernel_h = 1, kernel_w = 1, in_c = 0;
  int regions = 1;                   // divides in_c
  int pattern_n = 0, pattern_m = 0;  // 0, 0: none promised
  std::vector<uint8_t> masks;        // [planes, out_c, MaskRowBytes()]
  std::vector<float> values_f32;     // [out_c, regions, V]; empty for int8
  std::vector<int8_t> values_i8;     // [out_c, regions, V]; empty for float32

  int planes() const {
    return kind == WeightKind::kTernary ? 2 : kind == WeightKind::kTwoValued ? 1 : 0;
  }
  size_t weights_per_filter() const { return static_cast<size_t>(kernel_h) * kernel_w * in_c; }
  int values_per_region() const {
    return kind == WeightKind::kTernary     ? 1
           : kind == WeightKind::kTwoValued ? 2
                                            : static_cast<int>(weights_per_filter());
  }
  size_t mask_row_bytes() const { return (weights_per_filter() + 7) / 8; }
  // Of two values: that some filter's weights which are not effectual are not 0 either.
  bool has_background() const {
    if (kind != WeightKind::kTwoValued) return false;
    for (size_t i = 0; i < values_i8.size(); i += 2) {
      if (values_i8[i] != 0) return true;
    }
    for (size_t i = 0; i < values_f32.size(); i += 2) {
      if (values_f32[i] != 0) return true;
    }
    return false;
  }
  bool bit(int plane, int filter, size_t weight) const {
    return masks[(static_cast<size_t>(plane) * out_c + filter) * mask_row_bytes() + weight / 8] >>
               (weight % 8) &
           1;
  }
};

// What happens to an accumulator on its way to the output.
// int8: multiplier/shift are TFLite's quantized multiplier (Q31 and a power of two, shift > 0
// left).
struct OutputStage {
  // float32
  std::vector<float> bias_f32;  // empty, or [out_c]
  float clamp_min_f32 = 0, clamp_max_f32 = 0;
  // int8
  std::vector<int32_t> bias_i32;    // empty, or [out_c]
  std::vector<int32_t> multiplier;  // [out_c]
  std::vector<int32_t> shift;       // [out_c]
  // Instead of multiplier and shift, for operators whose reference rounds once (fully connected):
  // [out_c], scaled = round(accumulator * real_multiplier) in double, halves away from zero.
  std::vector<double> real_multiplier;
  int32_t input_zero_point = 0;
  int32_t output_zero_point = 0;
  int32_t clamp_min_i8 = -128, clamp_max_i8 = 127;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_TYPES_H_

// The attributes of a packed operator (docs/format.md).
#ifndef TF_SIGNBIN_TFLITE_OP_OPTIONS_H_
#define TF_SIGNBIN_TFLITE_OP_OPTIONS_H_

#include <cstddef>
#include <cstdint>

#include "engine/types.h"

namespace tf_signbin {

constexpr char kConvOpName[] = "TfSignBinConv2D";
constexpr char kFullyConnectedOpName[] = "TfSignBinFullyConnected";

enum class OpType { kConv2D, kFullyConnected };
enum class Padding { kSame, kValid };
enum class Activation { kNone, kRelu, kRelu6, kReluN1To1 };

struct OpOptions {
  WeightKind kind = WeightKind::kTwoValued;
  int kernel_h = 1, kernel_w = 1;
  int in_channels = 1, out_channels = 1;
  int stride_h = 1, stride_w = 1;
  int dilation_h = 1, dilation_w = 1;
  Padding padding = Padding::kValid;
  Activation activation = Activation::kNone;
  int regions = 1;
  int pattern_n = 0, pattern_m = 0;
  bool keep_num_dims = false;
};

// Fails on a version, key or value that this library does not know, and names it.
Status ReadOpOptions(OpType op, const uint8_t* data, size_t size, OpOptions* options);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_OP_OPTIONS_H_

// One operator as the model file describes it, free of TensorFlow Lite's structures.
#ifndef TF_SIGNBIN_TFLITE_LAYER_H_
#define TF_SIGNBIN_TFLITE_LAYER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "engine/types.h"
#include "tflite/op_options.h"
#include "tflite/tflite_abi.h"

namespace tf_signbin {

struct Layer {
  OpType op = OpType::kConv2D;
  DataType type = DataType::kFloat32;
  OpOptions options;
  PackedFilters filters;
  std::vector<float> bias_f32;       // empty: none
  std::vector<int32_t> bias_i32;     // empty: none
  std::vector<float> weight_scales;  // int8: one, or one a filter
  int input = -1, output = -1;       // tensor indices
  std::string name;                  // of the output tensor
};

inline const char* OpName(OpType op) {
  return op == OpType::kConv2D ? kConvOpName : kFullyConnectedOpName;
}

// Reads a packed operator: its options and its constant inputs (docs/format.md).
Status ReadPackedLayer(abi::TfLiteContext* context, const abi::TfLiteNode& node, OpType op,
                       const void* options, size_t options_size, Layer* layer);

// Reads the scales of constant int8 weights whose channels are on dimension 0.
Status ReadWeightScales(const abi::TfLiteTensor& weights, int filters, std::vector<float>* scales);

// Reads an optional constant bias of `filters` entries into the layer.
Status ReadBias(abi::TfLiteContext* context, int index, int filters, Layer* layer);

// What follows the accumulators, given the quantization of the activations.
Status MakeOutputStage(const Layer& layer, const abi::TfLiteTensor& input,
                       const abi::TfLiteTensor& output, OutputStage* stage);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_LAYER_H_

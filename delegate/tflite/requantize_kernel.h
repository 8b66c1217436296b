// Runs a builtin operator that only requantizes inside a TensorFlow Lite interpreter.
#ifndef TF_SIGNBIN_TFLITE_REQUANTIZE_KERNEL_H_
#define TF_SIGNBIN_TFLITE_REQUANTIZE_KERNEL_H_

#include <memory>
#include <string>

#include "tflite/node_kernel.h"
#include "tflite/runtime.h"
#include "tflite/tflite_abi.h"

namespace tf_signbin {

// A kernel for the node if it is a RELU, or a DEPTHWISE_CONV_2D of one weight a channel that does
// the same to every channel, int8 to int8, and this machine has vector code for it; else null.
std::unique_ptr<NodeKernel> ClaimRequantization(abi::TfLiteContext* context,
                                                const abi::TfLiteNode& node,
                                                const abi::TfLiteRegistration& registration,
                                                std::shared_ptr<Runtime> runtime);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_REQUANTIZE_KERNEL_H_

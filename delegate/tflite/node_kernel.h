// What the delegate puts in a node's place.
#ifndef TF_SIGNBIN_TFLITE_NODE_KERNEL_H_
#define TF_SIGNBIN_TFLITE_NODE_KERNEL_H_

#include <string>
#include <vector>

#include "engine/types.h"
#include "tflite/tflite_abi.h"

namespace tf_signbin {

class NodeKernel {
 public:
  NodeKernel() = default;
  virtual ~NodeKernel() = default;
  NodeKernel(const NodeKernel&) = delete;
  NodeKernel& operator=(const NodeKernel&) = delete;

  // Checks the shapes and resizes the output; again whenever the runtime's shapes changed.
  virtual Status Prepare(abi::TfLiteContext* context) = 0;
  virtual Status Invoke(abi::TfLiteContext* context) = 0;
  // The name of the operator in the runtime's profile.
  virtual const char* op_name() const = 0;
  // The output tensor's name.
  virtual const std::string& name() const = 0;
};

// Gives the output these dimensions, unless it has them.
Status ResizeOutput(abi::TfLiteContext* context, abi::TfLiteTensor* output,
                    const std::vector<int>& dims);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_NODE_KERNEL_H_

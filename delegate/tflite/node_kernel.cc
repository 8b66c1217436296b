#include "tflite/node_kernel.h"

#include <algorithm>
#include <cstdlib>

#include "tflite/tensor_access.h"

namespace tf_signbin {

Status ResizeOutput(abi::TfLiteContext* context, abi::TfLiteTensor* output,
                    const std::vector<int>& dims) {
  if (Dims(*output) == dims && output->dims != nullptr && output->data != nullptr) {
    return Status::Ok();
  }
  // The runtime takes the array over and frees it with free().
  auto* array = static_cast<abi::TfLiteIntArray*>(
      std::malloc(sizeof(abi::TfLiteIntArray) + dims.size() * sizeof(int)));
  if (array == nullptr) return Status::Error("out of memory");
  array->size = static_cast<int>(dims.size());
  std::copy(dims.begin(), dims.end(), array->data);
  if (context->ResizeTensor(context, output, array) != abi::kOk) {
    return Status::Error("the runtime could not resize the output to " + DimsText(dims));
  }
  return Status::Ok();
}

}  // namespace tf_signbin

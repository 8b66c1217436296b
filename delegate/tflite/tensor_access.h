// Checked access to the tensors of a TfLiteContext. Tensor indices, sizes and constant data come
// from the model file; data may be unaligned.
#ifndef TF_SIGNBIN_TFLITE_TENSOR_ACCESS_H_
#define TF_SIGNBIN_TFLITE_TENSOR_ACCESS_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tflite/quantization.h"
#include "tflite/tflite_abi.h"

namespace tf_signbin {

// The tensor index at `position` of a node's inputs or outputs; kOptionalTensor when there is none.
inline int TensorIndex(const abi::TfLiteIntArray* indices, int position) {
  return indices != nullptr && position < indices->size ? indices->data[position]
                                                        : abi::kOptionalTensor;
}

inline abi::TfLiteTensor* GetTensor(abi::TfLiteContext* context, int index) {
  if (index < 0 || static_cast<size_t>(index) >= context->tensors_size) return nullptr;
  return &context->tensors[index];
}

inline std::string TensorName(const abi::TfLiteTensor* tensor, int index) {
  if (tensor != nullptr && tensor->name != nullptr && *tensor->name != 0) return tensor->name;
  return "tensor " + std::to_string(index);
}

inline bool IsConstant(const abi::TfLiteTensor& tensor) {
  return tensor.allocation_type == abi::kMmapRo && tensor.data != nullptr;
}

// Shape of a tensor; empty when it has none.
inline std::vector<int> Dims(const abi::TfLiteTensor& tensor) {
  if (tensor.dims == nullptr) return {};
  return std::vector<int>(tensor.dims->data, tensor.dims->data + tensor.dims->size);
}

inline std::string DimsText(const std::vector<int>& dims) {
  std::string text = "[";
  for (const int size : dims) text += (text.size() == 1 ? "" : ", ") + std::to_string(size);
  return text + "]";
}

// Copies a constant tensor of elements of type T.
template <typename T>
void CopyConstant(const abi::TfLiteTensor& tensor, std::vector<T>* values) {
  values->assign(tensor.bytes / sizeof(T), T{});
  std::memcpy(values->data(), tensor.data, values->size() * sizeof(T));
}

inline TensorQuantization GetQuantization(const abi::TfLiteTensor& tensor) {
  return {tensor.params.scale, tensor.params.zero_point};
}

// Per-channel quantization, or null when the tensor has none.
inline const abi::TfLiteAffineQuantization* GetAffine(const abi::TfLiteTensor& tensor) {
  if (tensor.quantization.type != abi::kAffineQuantization) return nullptr;
  const auto* affine =
      static_cast<const abi::TfLiteAffineQuantization*>(tensor.quantization.params);
  return affine != nullptr && affine->scale != nullptr && affine->scale->size > 0 ? affine
                                                                                  : nullptr;
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_TENSOR_ACCESS_H_

// Finds builtin convolutions and fully connected layers that the engine can run exactly: their
// constant filters hold two values each, or {-s, 0, s}.
#ifndef TF_SIGNBIN_TFLITE_CLAIM_H_
#define TF_SIGNBIN_TFLITE_CLAIM_H_

#include <string>

#include "tflite/layer.h"
#include "tflite/tflite_abi.h"

namespace tf_signbin {

enum class Claim {
  kNo,           // another operator, or dense filters
  kUnsupported,  // signed-binary filters in a form that is not reproduced exactly; see `reason`
  kYes,
};

Claim ClaimBuiltin(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                   const abi::TfLiteRegistration& registration, Layer* layer, std::string* reason);

// Packs filters [out_c, kernel_h, kernel_w, in_c] whose geometry `filters` already holds. False
// when they are dense, or when packing would not save space. Fills masks, values, kind and pattern.
bool PackByValue(const float* weights, PackedFilters* filters);
bool PackByValue(const int8_t* weights, PackedFilters* filters);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_CLAIM_H_

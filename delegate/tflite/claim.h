// Finds builtin convolutions and fully connected layers that the engine can run exactly: those
// whose constant filters hold two values each, or {-s, 0, s}, and dense ones of few input channels.
#ifndef TF_SIGNBIN_TFLITE_CLAIM_H_
#define TF_SIGNBIN_TFLITE_CLAIM_H_

#include <string>

#include "engine/conv.h"
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

// Whether the node is a dense int8 convolution of so few input channels that the runtime's kernels,
// which take eight at a time, would mostly multiply padding, and this CPU has the engine's dense
// kernels, which take four. A network's first layer, as a rule: images have one to four channels.
bool ClaimDense(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                const abi::TfLiteRegistration& registration, const PlanOptions& options,
                Layer* layer);

// Packs filters [out_c, kernel_h, kernel_w, in_c] whose geometry `filters` already holds. False
// when they are dense, or when packing would not save space. Fills masks, values, kind and pattern.
bool PackByValue(const float* weights, PackedFilters* filters);
bool PackByValue(const int8_t* weights, PackedFilters* filters);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_CLAIM_H_

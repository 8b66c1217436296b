// Finds builtin convolutions and fully connected layers that the engine can run exactly: those
// whose constant filters hold two values each, or {-s, 0, s}, and dense ones of few input channels.
#ifndef TF_SIGNBIN_TFLITE_CLAIM_H_
#define TF_SIGNBIN_TFLITE_CLAIM_H_

#include <string>

#include "engine/plan_options.h"
#include "tflite/layer.h"
#include "tflite/tflite_abi.h"

namespace tf_signbin {

enum class Claim {
  kNo,           // another operator, or dense filters
  kUnsupported,  // signed-binary filters in a form that is not reproduced exactly; see `reason`
  kYes,
};

// False for an activation that the engine has no counterpart of.
bool ReadActivation(int code, Activation* activation);

Claim ClaimBuiltin(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                   const abi::TfLiteRegistration& registration, Layer* layer, std::string* reason);

// Whether the node is a dense int8 convolution that the engine wants as well (WantsDense). Fills
// `layer` when it is.
bool ClaimDense(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                const abi::TfLiteRegistration& registration, const PlanOptions& options,
                Layer* layer);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_CLAIM_H_

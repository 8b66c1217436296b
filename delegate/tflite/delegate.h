// A TensorFlow Lite delegate that runs signed-binary layers with the engine.
#ifndef TF_SIGNBIN_TFLITE_DELEGATE_H_
#define TF_SIGNBIN_TFLITE_DELEGATE_H_

#include <string>

#include "tflite/delegate_options.h"
#include "tflite/tflite_abi.h"

namespace tf_signbin {

// Throws only std::bad_alloc. To be destroyed after the interpreter that uses it.
abi::TfLiteDelegate* CreateDelegate(const DelegateOptions& options);
// A delegate that no model accepts: applying it fails with `message`. For callers that go on
// without a delegate when there is none.
abi::TfLiteDelegate* CreateRefusingDelegate(const std::string& message);
void DestroyDelegate(abi::TfLiteDelegate* delegate);
// The layers that the delegate runs, as JSON (Runtime::Describe).
const char* DescribeDelegate(abi::TfLiteDelegate* delegate);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_DELEGATE_H_

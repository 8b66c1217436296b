// Adds the packed operators to a TensorFlow Lite op resolver, so that files with layout="packed"
// run without any delegate. Python's InterpreterWithCustomOps calls it by its name.
#include "tflite/register.h"

#if __has_include("tensorflow/lite/mutable_op_resolver.h")
#include "tensorflow/lite/mutable_op_resolver.h"
#else
// Without TensorFlow Lite's headers, as in this project's own test: the one member that is used.
namespace tflite {
class MutableOpResolver {
 public:
  void AddCustom(const char* name, const TfLiteRegistration* registration, int version = 1);
};
}  // namespace tflite
#endif

extern "C" __attribute__((visibility("default"))) void AddSignBinOps(
    tflite::MutableOpResolver* resolver) {
  tf_signbin::RegisterOps(resolver);
}

// For C++ programs that link the library statically and add the packed operators to their own
// op resolver, without a delegate:
//
//   tflite::ops::builtin::BuiltinOpResolver resolver;
//   tf_signbin::RegisterOps(&resolver);
//
// This header is independent of TensorFlow Lite's.
#ifndef TF_SIGNBIN_TFLITE_REGISTER_H_
#define TF_SIGNBIN_TFLITE_REGISTER_H_

struct TfLiteRegistration;

extern "C" {
// Valid for the life of the process. The threads are the interpreter's.
TfLiteRegistration* TfSignBinRegister_CONV_2D(void);
TfLiteRegistration* TfSignBinRegister_FULLY_CONNECTED(void);
}

namespace tf_signbin {

// Resolver: tflite::MutableOpResolver, or whatever has its AddCustom.
template <typename Resolver>
void RegisterOps(Resolver* resolver) {
  resolver->AddCustom("TfSignBinConv2D", TfSignBinRegister_CONV_2D());
  resolver->AddCustom("TfSignBinFullyConnected", TfSignBinRegister_FULLY_CONNECTED());
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_REGISTER_H_

// The delegate as an accelerator of LiteRT's CompiledModel, for LiteRT 2.2 and later.
//
// The library is called libLiteRtGpuAccelerator.so, because that is the one name, asked for before
// the CPU's XNNPACK, under which a stock runtime loads an accelerator of others. Point the
// environment at its folder with the option kLiteRtEnvOptionTagRuntimeLibraryDir (Python:
// runtime_path); on Android the app's library folder is searched anyway. Every model that is then
// compiled for the CPU has its signed-binary layers, packed or stock, run by the delegate and the
// others by XNNPACK. A GPU accelerator is not loaded beside it.
//
// Options of the delegate ("num_threads:2;log_level:info") are given to a model
//   - in C and C++ as opaque options of the identifier below, whose payload is that text,
//   - elsewhere with tf_signbin_litert_options, before the model is compiled.
//
// This header is independent of LiteRT's.
#ifndef TF_SIGNBIN_LITERT_ACCELERATOR_H_
#define TF_SIGNBIN_LITERT_ACCELERATOR_H_

// LiteRtCreateOpaqueOptions(TF_SIGNBIN_LITERT_OPTIONS, text, deleter, &opaque_options)
#define TF_SIGNBIN_LITERT_OPTIONS "tf_signbin"

extern "C" {

// The delegate's options for the models that the calling thread compiles from now on, as
// "key:value;key:value"; null: the defaults. The text is copied; 0 when it is too long. A model's
// opaque options come first.
int tf_signbin_litert_options(const char* text);

// The TfLiteDelegate that was created last on the calling thread since tf_signbin_litert_options
// was called; null: none. It belongs to its compiled model.
void* tf_signbin_litert_delegate(void);

}  // extern "C"

#endif  // TF_SIGNBIN_LITERT_ACCELERATOR_H_

// Runs a model in LiteRT's CompiledModel, with the C interface of a stock libLiteRt.so that is
// found at run time, and signed-binary layers in the delegate:
//
//   compiled_model libLiteRt.so FOLDER model.tflite input.bin output.bin [key:value;key:value]
//
// FOLDER holds libLiteRtGpuAccelerator.so and libtf_signbin_delegate.so. A program that includes
// LiteRT's headers and links libLiteRt.so needs two things of all this: the environment's option
// kLiteRtEnvOptionTagRuntimeLibraryDir and, for options of the delegate, the opaque options.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "litert/accelerator.h"

namespace {

// Of LiteRT's headers, for 2.3: litert_any.h, litert_environment_options.h, litert_common.h.
struct EnvironmentOption {
  int tag;
  struct {
    int type;
    const void* value;
  } any;
};
constexpr int kRuntimeLibraryDir = 22, kString = 8, kCpu = 1, kRead = 0, kWrite = 1;
using TensorType = int32_t[18];  // LiteRtRankedTensorType

void* library = nullptr;

// Calls a function of the C interface; ends the program when it fails.
template <typename... Arguments>
void Call(const char* name, Arguments... arguments) {
  const auto function = reinterpret_cast<int (*)(Arguments...)>(dlsym(library, name));
  const int status = function == nullptr ? -1 : function(arguments...);
  if (status == 0) return;
  std::fprintf(stderr, "%s: %s %d\n", name, function == nullptr ? "is missing," : "status", status);
  std::exit(1);
}

// A buffer for the first input or output of the first signature.
void* Buffer(const std::string& side, void* environment, void* signature, void* compiled) {
  void *tensor = nullptr, *requirements = nullptr, *buffer = nullptr;
  TensorType type;
  Call(("LiteRtGetSignature" + side + "TensorByIndex").c_str(), signature, size_t{0}, &tensor);
  Call("LiteRtGetRankedTensorType", tensor, &type);
  Call(("LiteRtGetCompiledModel" + side + "BufferRequirements").c_str(), compiled, size_t{0},
       size_t{0}, &requirements);
  Call("LiteRtCreateManagedTensorBufferFromRequirements", environment, &type, requirements,
       &buffer);
  return buffer;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 6) return std::fprintf(stderr, "five or six arguments, see the source\n"), 2;
  library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 1;

  void *environment = nullptr, *model = nullptr, *options = nullptr, *compiled = nullptr;
  const EnvironmentOption folder = {kRuntimeLibraryDir, {kString, arguments[2]}};
  Call("LiteRtCreateEnvironment", 1, &folder, &environment);
  Call("LiteRtCreateModelFromFile", environment, static_cast<const char*>(arguments[3]), &model);
  Call("LiteRtCreateOptions", &options);
  Call("LiteRtSetOptionsHardwareAccelerators", options, kCpu);
  if (count > 6) {
    void* ours = nullptr;
    Call("LiteRtCreateOpaqueOptions", TF_SIGNBIN_LITERT_OPTIONS,
         static_cast<void*>(strdup(arguments[6])), &std::free, &ours);
    Call("LiteRtAddOpaqueOptions", options, ours);
  }
  Call("LiteRtCreateCompiledModel", environment, model, options, &compiled);

  void *signature = nullptr, *memory = nullptr;
  Call("LiteRtGetModelSignature", model, size_t{0}, &signature);
  void* input = Buffer("Input", environment, signature, compiled);
  void* output = Buffer("Output", environment, signature, compiled);
  std::ifstream file(arguments[4], std::ios::binary);
  const std::vector<char> values{std::istreambuf_iterator<char>(file), {}};
  size_t bytes = 0;
  Call("LiteRtGetTensorBufferPackedSize", input, &bytes);
  if (values.size() != bytes) {
    std::fprintf(stderr, "the input has %zu bytes, the model takes %zu\n", values.size(), bytes);
    return 1;
  }
  Call("LiteRtLockTensorBuffer", input, &memory, kWrite);
  std::memcpy(memory, values.data(), bytes);
  Call("LiteRtUnlockTensorBuffer", input);

  Call("LiteRtRunCompiledModel", compiled, size_t{0}, size_t{1}, &input, size_t{1}, &output);

  Call("LiteRtGetTensorBufferPackedSize", output, &bytes);
  Call("LiteRtLockTensorBuffer", output, &memory, kRead);
  std::ofstream(arguments[5], std::ios::binary)
      .write(static_cast<const char*>(memory), static_cast<std::streamsize>(bytes));
  Call("LiteRtUnlockTensorBuffer", output);
  // The program ends here; one that goes on destroys buffers, model and environment in this order.
  return 0;
}

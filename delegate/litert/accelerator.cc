// Neither constructs nor throws, so that the C++ library is not linked into this small file too.
#include "litert/accelerator.h"

#include <cstdio>
#include <cstring>

#include "litert/litert_abi.h"
#include "tflite/thread_data.h"

// The delegate's library, which this one needs.
extern "C" {
tf_signbin::abi::TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys,
                                                               const char* const* values,
                                                               size_t count,
                                                               void (*report_error)(const char*));
void tflite_plugin_destroy_delegate(tf_signbin::abi::TfLiteDelegate* delegate);
}

namespace tf_signbin {
namespace litert {
namespace {

constexpr size_t kTextBytes = 2048, kMostOptions = 64;

struct ThreadState {
  char options[kTextBytes];
  abi::TfLiteDelegate* delegate;
};

// The runtime gives its caller a status and no text.
void Report(const char* message) { std::fprintf(stderr, "%s\n", message); }

// False when it does not fit.
bool Copy(const char* text, char* to) {
  const size_t bytes = std::strlen(text) + 1;
  if (bytes > kTextBytes) {
    Report("tf_signbin: the delegate's options are too long");
    return false;
  }
  std::memcpy(to, text, bytes);
  return true;
}

struct Pairs {
  char text[kTextBytes];
  const char* keys[kMostOptions];
  const char* values[kMostOptions];
  size_t count = 0;
};

// Splits pairs->text, "key:value;key:value". A part without ':' becomes a key without a value,
// which the delegate refuses by its name.
bool Split(Pairs* pairs) {
  char* rest = pairs->text;
  while (char* part = strsep(&rest, ";")) {
    if (part[std::strspn(part, " ")] == '\0') continue;
    if (pairs->count == kMostOptions) {
      Report("tf_signbin: there are too many options");
      return false;
    }
    char* value = part;
    pairs->keys[pairs->count] = strsep(&value, ":");
    pairs->values[pairs->count] = value == nullptr ? "" : value;
    ++pairs->count;
  }
  return true;
}

// Of the model that is being compiled: its opaque options, else the thread's.
const char* Options(const LiteRtRuntimeContext& runtime, void* options) {
  void* opaque = nullptr;
  void* text = nullptr;
  if (options != nullptr && runtime.get_opaque_options(options, &opaque) == kOk &&
      opaque != nullptr &&
      runtime.find_opaque_options_data(opaque, TF_SIGNBIN_LITERT_OPTIONS, &text) == kOk &&
      text != nullptr) {
    return static_cast<const char*>(text);
  }
  const auto* thread = ThreadData<ThreadState>();
  return thread == nullptr ? "" : thread->options;
}

int CreateDelegate(LiteRtRuntimeContext* runtime, void*, const void*, void* options,
                   void** wrapper) {
  constexpr size_t needed = offsetof(LiteRtRuntimeContext, wrap_delegate) + sizeof(void*);
  if (runtime == nullptr || runtime->abi_header.major_version != 1 ||
      runtime->abi_header.struct_size < needed) {
    Report("tf_signbin: this LiteRT has another interface for accelerators; use LiteRT 2.2 to 2.x");
    return kWrongVersion;
  }
  Pairs pairs;
  if (!Copy(Options(*runtime, options), pairs.text) || !Split(&pairs)) return kInvalidArgument;
  abi::TfLiteDelegate* delegate =
      tflite_plugin_create_delegate(pairs.keys, pairs.values, pairs.count, Report);
  if (delegate == nullptr) return kInvalidArgument;  // and it has said why
  const int status = runtime->wrap_delegate(delegate, tflite_plugin_destroy_delegate, wrapper);
  if (status == kOk) {
    auto* thread = ThreadData<ThreadState>();
    if (thread != nullptr) thread->delegate = delegate;
  } else {
    tflite_plugin_destroy_delegate(delegate);
  }
  return status;
}

int GetName(const void*, const char** name) {
  *name = "tf_signbin";
  return kOk;
}

int GetVersion(const void*, LiteRtApiVersion* version) {
  *version = {0, 1, 0};
  return kOk;
}

int GetHardwareSupport(const void*, int* hardware) {
  *hardware = kCpu;
  return kOk;
}

// Applied when the CPU is asked for, as XNNPACK is.
int CompilesJustInTime(const void*, bool* does) {
  *does = true;
  return kOk;
}

}  // namespace
}  // namespace litert
}  // namespace tf_signbin

extern "C" {

// What the runtime looks for in the library.
__attribute__((visibility(
    "default"))) extern const tf_signbin::litert::LiteRtAcceleratorDef LiteRtAcceleratorImpl = {
    {sizeof(tf_signbin::litert::LiteRtAcceleratorDef), 1, 0, 0},
    tf_signbin::litert::GetName,
    tf_signbin::litert::GetVersion,
    tf_signbin::litert::GetHardwareSupport,
    tf_signbin::litert::CompilesJustInTime,
    tf_signbin::litert::CreateDelegate,
    nullptr,
    nullptr,
    {{}, {}, tf_signbin::litert::kTagNull, tf_signbin::litert::kTagNull, 0, {}},
};

__attribute__((visibility("default"))) int tf_signbin_litert_options(const char* text) {
  auto* thread = tf_signbin::ThreadData<tf_signbin::litert::ThreadState>();
  if (thread == nullptr) return 0;
  thread->delegate = nullptr;
  return tf_signbin::litert::Copy(text == nullptr ? "" : text, thread->options);
}

__attribute__((visibility("default"))) void* tf_signbin_litert_delegate() {
  const auto* thread = tf_signbin::ThreadData<tf_signbin::litert::ThreadState>();
  return thread == nullptr ? nullptr : thread->delegate;
}

}  // extern "C"

// The only symbols that the shared library exports: the entry points of an external delegate, and
// two of our own that say what a delegate runs and why something failed.
#include <cstddef>
#include <cstdio>
#include <exception>
#include <new>

#include "tflite/delegate.h"
#include "tflite/last_error.h"

namespace {

using ReportError = void (*)(const char*);

// In a fixed buffer: memory may just have run out, and nothing may be thrown into the runtime.
void Report(ReportError report_error, const char* message) {
  char text[4096];
  std::snprintf(text, sizeof(text), "tf_signbin: %s", message);
  tf_signbin::RecordError(text);
  if (report_error != nullptr) {
    report_error(text);
  } else {
    std::fprintf(stderr, "%s\n", text);  // benchmark_model gives no way to report
  }
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) tf_signbin::abi::TfLiteDelegate*
tflite_plugin_create_delegate(const char* const* keys, const char* const* values, size_t count,
                              ReportError report_error) {
  try {
    tf_signbin::DelegateOptions options;
    const tf_signbin::Status status =
        tf_signbin::ParseDelegateOptions(keys, values, count, &options);
    if (status.ok()) return tf_signbin::CreateDelegate(options);
    Report(report_error, status.message().c_str());
    // benchmark_model, and whoever else gives no way to report, takes a missing delegate for none
    // and would measure the stock kernels instead.
    if (report_error == nullptr) return tf_signbin::CreateRefusingDelegate(status.message());
  } catch (const std::bad_alloc&) {
    Report(report_error, "out of memory while the delegate is created");
  } catch (const std::exception& error) {
    Report(report_error, error.what());
  }
  return nullptr;
}

__attribute__((visibility("default"))) void tflite_plugin_destroy_delegate(
    tf_signbin::abi::TfLiteDelegate* delegate) {
  tf_signbin::DestroyDelegate(delegate);
}

// What the delegate runs, as JSON: {"layers": [{"op", "layer", "kernel", "weight_bytes",
// "workspace_bytes", "runs", "total_us", "tables_us", "lookup_us", "output_us"}]}. The text belongs
// to the delegate and is valid until the next call; null when memory runs out. Not to be called
// while a layer runs.
__attribute__((visibility("default"))) const char* tf_signbin_describe(
    tf_signbin::abi::TfLiteDelegate* delegate) {
  try {
    return tf_signbin::DescribeDelegate(delegate);
  } catch (const std::exception&) {
    return nullptr;
  }
}

// Why the last call on this thread failed, once: CompiledModel tells its caller only that it did.
// Empty: nothing failed.
__attribute__((visibility("default"))) const char* tf_signbin_take_error() {
  return tf_signbin::TakeError();
}

}  // extern "C"

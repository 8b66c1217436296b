// The entry points of an external delegate, the only symbols that the shared library exports.
#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>

#include "tflite/delegate.h"

namespace {

using ReportError = void (*)(const char*);

void Report(ReportError report_error, const char* message) {
  const std::string text = std::string("tf_signbin: ") + message;
  if (report_error != nullptr) {
    report_error(text.c_str());
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());  // benchmark_model gives no way to report
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
  } catch (const std::exception& error) {
    Report(report_error, error.what());
  }
  return nullptr;
}

__attribute__((visibility("default"))) void tflite_plugin_destroy_delegate(
    tf_signbin::abi::TfLiteDelegate* delegate) {
  tf_signbin::DestroyDelegate(delegate);
}

}  // extern "C"

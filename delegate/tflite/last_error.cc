#include "tflite/last_error.h"

#include <cstdio>

namespace tf_signbin {
namespace {

// Of a fixed size: memory may just have run out.
thread_local char text[2048] = "";
thread_local bool fresh = false;

}  // namespace

void RecordError(const char* message) noexcept {
  std::snprintf(text, sizeof(text), "%s", message);
  fresh = true;
}

const char* TakeError() noexcept {
  const bool taken = fresh;
  fresh = false;
  return taken ? text : "";
}

}  // namespace tf_signbin

#include "tflite/last_error.h"

#include <cstdio>

#include "tflite/thread_data.h"

namespace tf_signbin {
namespace {

struct LastError {
  bool fresh;
  char text[2048];
};

}  // namespace

void RecordError(const char* message) noexcept {
  LastError* last = ThreadData<LastError>();
  if (last == nullptr) return;  // it was reported, which has to do
  std::snprintf(last->text, sizeof(last->text), "%s", message);
  last->fresh = true;
}

const char* TakeError() noexcept {
  LastError* last = ThreadData<LastError>();
  if (last == nullptr || !last->fresh) return "";
  last->fresh = false;
  return last->text;
}

}  // namespace tf_signbin

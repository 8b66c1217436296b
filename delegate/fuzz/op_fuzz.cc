// libFuzzer target over everything that a model file says about one operator (`make fuzz`).
#include "fuzz/run_case.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tf_signbin::RunCase(tf_signbin::ReadCase(data, size));
  return 0;
}

// The options a user gives to the delegate, as strings, and their meaning.
#ifndef TF_SIGNBIN_TFLITE_DELEGATE_OPTIONS_H_
#define TF_SIGNBIN_TFLITE_DELEGATE_OPTIONS_H_

#include <cstddef>
#include <string>

#include "engine/conv.h"
#include "engine/types.h"

namespace tf_signbin {

enum class LogLevel { kError, kWarning, kInfo };

struct DelegateOptions {
  int num_threads = 0;  // 0: the runtime's recommendation
  LogLevel log_level = LogLevel::kWarning;
  bool claim_builtin = true;  // claim CONV_2D and FULLY_CONNECTED whose filters are signed-binary
  bool claim_dense = true;    // and, beside those, dense int8 CONV_2D of few input channels
  bool strict = false;        // an operator that could be claimed but for a detail is an error
  PlanOptions plan;           // isa, kernel, group
  bool profile = false;       // measure the stages of every layer
  std::string given;          // what was parsed, for the log: "num_threads=2, log_level=info"
};

// Fails on an unknown key (and lists the known ones) and on a value outside its range. Blanks
// around keys and values do not count.
Status ParseDelegateOptions(const char* const* keys, const char* const* values, size_t count,
                            DelegateOptions* options);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_DELEGATE_OPTIONS_H_

// Runs an OpCase through the delegate in a fake runtime.
#ifndef TF_SIGNBIN_FUZZ_RUN_CASE_H_
#define TF_SIGNBIN_FUZZ_RUN_CASE_H_

#include "fuzz/op_case.h"

namespace tf_signbin {

enum class Outcome { kTooLarge, kRefused, kRan };

// Prepares, runs, resizes and runs again. Aborts, with a message, when
//   - a call fails without a message, or leaves a message without failing, or
//   - an int8 result differs from that of the reference family, or
//   - the planner's own choice fails where the reference family succeeds.
Outcome RunCase(const OpCase& op_case);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_FUZZ_RUN_CASE_H_

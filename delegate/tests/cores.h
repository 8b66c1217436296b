// Runs a test's body once for every core whose kernels this CPU can run.
#ifndef TF_SIGNBIN_TESTS_CORES_H_
#define TF_SIGNBIN_TESTS_CORES_H_

#include "engine/cpu.h"

namespace tf_signbin {

template <typename Body>
void ForEachCore(const Body& body) {
  const Core own = CurrentCore();
  for (const Core core : RunnableCores()) {
    SetCurrentCore(core);
    body(core, core == own);
  }
  SetCurrentCore(own);
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TESTS_CORES_H_

// Runs a test's body once for every core, on the host's features: what each would plan runs here.
#ifndef TF_SIGNBIN_TESTS_TARGETS_H_
#define TF_SIGNBIN_TESTS_TARGETS_H_

#include <vector>

#include "engine/target.h"

namespace tf_signbin {

template <typename Body>
void ForEachTarget(const Body& body) {
  const Core own = HostTarget().core;
  const std::vector<Core> x86 = {Core::kGeneric, Core::kZen3, Core::kZen5, Core::kIntel,
                                 Core::kIntelPc};
  for (const Core core : own == Core::kArm ? std::vector<Core>{own} : x86) {
    Target target = HostTarget();
    target.core = core;
    body(target, core == own);
  }
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TESTS_TARGETS_H_

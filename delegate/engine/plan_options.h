// Overrides of the planner's choice, for tests, benchmarks and users who measured better.
#ifndef TF_SIGNBIN_ENGINE_PLAN_OPTIONS_H_
#define TF_SIGNBIN_ENGINE_PLAN_OPTIONS_H_

#include <string>

namespace tf_signbin {

struct PlanOptions {
  std::string isa = "auto";     // auto, or a name of SupportedIsas()
  std::string family = "auto";  // auto, or a family of engine/kernels/registry.bzl
  // Input channels that a look-up covers; 0: planned. Another number leaves only the families that
  // look up (KernelFamily::has_groups).
  int group = 0;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_PLAN_OPTIONS_H_

#include "engine/dense_layers.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/planner.h"

namespace tf_signbin {
namespace {

// Worth it where the engine's padding spares a quarter of the work. Beside Arm's dot products,
// outputs count for as much as the work spared in a small window.
bool SparesPadding(const ConvProblem& problem) {
  constexpr int kLeastTaps = 16;
  const Target& target = problem.target;
  const bool arm_dots = target.Has(feature::kNeon | feature::kDotProd);
  const bool own_groups = target.Has(feature::kAvx512 | feature::kAvx512Vnni);
  const int64_t other = arm_dots ? 4 : 8, own = own_groups ? 4 : 1;
  const auto padded = [&](int64_t to) { return (problem.shape.in_c + to - 1) / to * to; };
  return padded(own) * 4 <= padded(other) * 3 &&
         (!arm_dots || problem.shape.kernel_h * problem.shape.kernel_w >= kLeastTaps);
}

}  // namespace

bool WantsDense(const ConvProblem& problem, const PlanOptions& options) {
  if (problem.type != DataType::kInt8 || !SparesPadding(problem) ||
      !CheckPlanOptions(options, problem.target).ok()) {
    return false;
  }
  const std::vector<Candidate> candidates = Candidates(problem, options);
  return std::any_of(candidates.begin(), candidates.end(),
                     [](const Candidate& c) { return c.family != &kReferenceFamily; });
}

}  // namespace tf_signbin

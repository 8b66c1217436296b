// Chooses the kernel of a layer: the least predicted time among the offers of the families that
// this build has, on the instruction sets that the target runs and the user allows.
#ifndef TF_SIGNBIN_ENGINE_PLANNER_H_
#define TF_SIGNBIN_ENGINE_PLANNER_H_

#include <memory>
#include <vector>

#include "engine/families.h"
#include "engine/plan_options.h"

namespace tf_signbin {

struct Candidate {
  const KernelFamily* family;
  Offer offer;
};

// Unknown or unavailable names are errors here, before any layer is seen.
Status CheckPlanOptions(const PlanOptions& options, const Target& target = HostTarget());

// Every (family, ISA) that can run the problem under the options, cheapest first.
std::vector<Candidate> Candidates(const ConvProblem& problem, const PlanOptions& options);

// The kernel of the cheapest candidate. An override that cannot be honoured is an error that says
// which: the planner never runs something else instead.
std::unique_ptr<ConvKernel> PlanKernel(const ConvProblem& problem, const PlanOptions& options,
                                       int threads, bool profile, Status* status);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_PLANNER_H_

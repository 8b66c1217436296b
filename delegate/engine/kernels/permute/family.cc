#include "engine/families.h"
#include "engine/kernels/permute/permute.h"

namespace tf_signbin {
namespace {

// The kernels need no more than AVX-512BW; with VNNI they are offered once, not twice.
bool Supports(const ConvProblem& problem, Isa isa, const PlanOptions& options) {
  const bool wanted =
      isa == Isa::kAvx512 || (isa == Isa::kAvx512Vnni && options.isa == IsaName(isa));
  return wanted && problem.filters->kind != WeightKind::kDense &&
         PermuteCanPlan(problem, options.group);
}

double CostNs(const ConvProblem& problem, Isa, const PlanOptions& options) {
  return PermuteCostNs(problem, options.group);
}

std::unique_ptr<ConvKernel> Make(const ConvProblem& problem, Isa, const PlanOptions& options,
                                 int threads) {
  return MakePermuteKernel(problem, MakePermutePlan(problem, options.group), options, threads);
}

}  // namespace

const KernelFamily kPermuteFamily = {"permute", Supports, CostNs, Make,
                                     /*real_multipliers=*/true};

}  // namespace tf_signbin

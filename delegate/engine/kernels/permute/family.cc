#include <algorithm>
#include <vector>

#include "engine/families.h"
#include "engine/kernels/permute/permute.h"

namespace tf_signbin {
namespace {

// AVX-512BW is enough; with VNNI tables are cheaper. Unless asked otherwise only the better of the
// two is offered.
bool Supports(const ConvProblem& problem, Isa isa, const PlanOptions& options) {
  const std::vector<Isa>& isas = SupportedIsaList();
  const bool better = isa == Isa::kAvx512 && options.isa == "auto" &&
                      std::find(isas.begin(), isas.end(), Isa::kAvx512Vnni) != isas.end();
  return (isa == Isa::kAvx512 || isa == Isa::kAvx512Vnni) && !better &&
         problem.filters->kind != WeightKind::kDense && PermuteCanPlan(problem, options.group);
}

double CostNs(const ConvProblem& problem, Isa isa, const PlanOptions& options) {
  return PermuteCostNs(problem, options.group, isa == Isa::kAvx512Vnni);
}

std::unique_ptr<ConvKernel> Make(const ConvProblem& problem, Isa isa, const PlanOptions& options,
                                 int threads) {
  return MakePermuteKernel(
      problem, MakePermutePlan(problem, options.group, isa == Isa::kAvx512Vnni), options, threads);
}

}  // namespace

const KernelFamily kPermuteFamily = {"permute", Supports, CostNs, Make,
                                     /*real_multipliers=*/true};

}  // namespace tf_signbin

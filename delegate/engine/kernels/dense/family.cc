#include "engine/families.h"
#include "engine/kernels/dense/dense.h"

namespace tf_signbin {
namespace {

bool Supports(const ConvProblem& problem, Isa isa, const PlanOptions& options) {
  return isa == Isa::kAvx512Vnni && problem.type == DataType::kInt8 && options.group == 0;
}

double CostNs(const ConvProblem& problem, Isa, const PlanOptions&) { return DenseCostNs(problem); }

std::unique_ptr<ConvKernel> Make(const ConvProblem& problem, Isa, const PlanOptions& options,
                                 int threads) {
  return MakeDenseKernel(problem, options, threads);
}

}  // namespace

const KernelFamily kDenseFamily = {"dense", Supports, CostNs, Make, /*real_multipliers=*/true};

}  // namespace tf_signbin

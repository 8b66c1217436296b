#include <algorithm>
#include <memory>
#include <vector>

#include "engine/families.h"
#include "engine/kernels/dense/dense.h"
#include "engine/kernels/dense/dense_plan.h"

namespace tf_signbin {
namespace {

std::vector<Offer> Offers(const ConvProblem& problem, const OfferRequest& request) {
  const std::vector<Isa>& isas = request.isas;
  if (problem.type != DataType::kInt8 ||
      std::find(isas.begin(), isas.end(), Isa::kAvx512Vnni) == isas.end()) {
    return {};
  }
  const auto plan =
      std::make_shared<const DensePlan>(MakeDensePlan(problem.shape, problem.target.caches));
  const auto make = [problem, plan](int threads, bool profile) {
    return MakeDenseKernel(problem, *plan, profile, threads);
  };
  return {{Isa::kAvx512Vnni, DenseCostNs(problem, *plan), make}};
}

}  // namespace

const KernelFamily kDenseFamily = {"dense", /*has_groups=*/false, Offers};

}  // namespace tf_signbin

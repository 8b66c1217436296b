#include <memory>
#include <utility>
#include <vector>

#include "engine/families.h"
#include "engine/kernels/dense/dense.h"
#include "engine/kernels/dense/dense_plan.h"
#include "engine/kernels/dense/tiles.h"
#include "engine/kernels/dense/tiles_plan.h"

namespace tf_signbin {
namespace {

std::vector<Offer> Offers(const ConvProblem& problem, const OfferRequest& request) {
  std::vector<Offer> offers;
  if (problem.type != DataType::kInt8) return offers;
  const Caches& caches = problem.target.caches;
  for (const Isa isa : request.isas) {
    if (isa == Isa::kAmx) {
      const auto plan = std::make_shared<const TilesPlan>(
          MakeTilesPlan(problem.shape, *problem.filters, caches.level2_kept()));
      offers.push_back({isa, TilesCostNs(*plan, caches.level2_streamed()),
                        [problem, plan](int threads, bool profile) {
                          return MakeTilesKernel(problem, *plan, profile, threads);
                        }});
    } else if (isa == Isa::kAvx512Vnni) {
      auto plan = std::make_shared<const DensePlan>(MakeDensePlan(problem.shape, caches));
      double cost_ns = DenseCostNs(problem, *plan);
      for (DenseTables& tables : DenseTablesOf(problem)) {
        auto looked_up = std::make_shared<const DensePlan>(
            MakeDensePlan(problem.shape, caches, std::move(tables)));
        const double tables_ns = DenseCostNs(problem, *looked_up);
        if (tables_ns < cost_ns) {
          plan = std::move(looked_up);
          cost_ns = tables_ns;
        }
      }
      offers.push_back({isa, cost_ns, [problem, plan](int threads, bool profile) {
                          return MakeDenseKernel(problem, *plan, profile, threads);
                        }});
    }
  }
  return offers;
}

}  // namespace

const KernelFamily kDenseFamily = {"dense", /*has_groups=*/false, Offers};

}  // namespace tf_signbin

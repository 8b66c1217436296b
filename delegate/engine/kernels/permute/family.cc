#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "engine/families.h"
#include "engine/kernels/permute/permute.h"

namespace tf_signbin {
namespace {

std::vector<Offer> Offers(const ConvProblem& problem, const OfferRequest& request) {
  std::vector<Offer> offers;
  if (!PermuteTakes(problem)) return offers;
  for (const Isa isa : {Isa::kAmx, Isa::kAvx512Vnni, Isa::kAvx512}) {
    const auto& isas = request.isas;
    if (std::find(isas.begin(), isas.end(), isa) == isas.end()) continue;
    auto tables = std::make_shared<const PermuteTables>(
        ChooseTables(problem, request.group, isa != Isa::kAvx512));
    if (tables->registers == 0) continue;
    const double cost_ns = tables->cost_ns;
    const auto make = [problem, tables = std::move(tables)](int threads, bool profile) {
      return MakePermuteKernel(problem, MakePermutePlan(problem, *tables), profile, threads);
    };
    offers.push_back({isa, cost_ns, make});
    break;  // AVX-512BW is enough; with VNNI tables are cheaper: only the better of the two
  }
  return offers;
}

}  // namespace

const KernelFamily kPermuteFamily = {"permute", /*has_groups=*/true, Offers};

}  // namespace tf_signbin

#include <algorithm>
#include <vector>

#include "engine/ceil_div.h"
#include "engine/families.h"
#include "engine/kernels/row/row.h"

namespace tf_signbin {
namespace row {
namespace {

// Nanoseconds, measured on Zen 4 and, at 3 GHz, on Emerald Rapids: docs/performance.md.
double CostNs(const ConvProblem& problem) {
  constexpr double kGroupOfBlock = 0.7;  // looked up for 32 filters
  constexpr double kTable = 1.4;         // of a group
  constexpr double kOutput = 0.5;        // of a filter; and with two roundings:
  constexpr double kFixedPointOutput = 2.5;
  constexpr double kCall = 60;
  const PackedFilters& filters = *problem.filters;
  const double groups = PaddedGroups(filters), planes = filters.planes();
  const double output = problem.output->real_multiplier.empty() ? kFixedPointOutput : kOutput;
  const double row = groups * CeilDiv(filters.out_c, kBlockFilters) * kGroupOfBlock +
                     groups / planes * kTable + filters.out_c * output;
  const double core = problem.target.OfIntel() ? 1.4 : 1;
  return core * (kCall + Rows(problem.shape) * row);
}

std::vector<Offer> Offers(const ConvProblem& problem, const OfferRequest& request) {
  std::vector<Offer> offers;
  if (!Takes(problem)) return offers;
  for (const Isa isa : request.isas) {
    if (isa != Isa::kAvx2 && isa != Isa::kAvxVnni) continue;  // AVX-512 has wider tables
    const auto make = [problem, isa](int threads, bool profile) {
      return MakeRowConv(problem, kRowOpsAvx2, isa, profile, threads);
    };
    offers.push_back({isa, CostNs(problem), make});
  }
  return offers;
}

}  // namespace
}  // namespace row

const KernelFamily kRowFamily = {"row", /*has_groups=*/false, row::Offers};

}  // namespace tf_signbin

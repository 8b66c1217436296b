// The memory-table family: what it can run, what that costs, and its kernels.
#include <vector>

#include "engine/families.h"
#include "engine/kernels/table/planner.h"
#include "engine/kernels/table/table_conv.h"
#include "engine/kernels/table/table_ops.h"

namespace tf_signbin {
namespace table {

const TableOps* TableOpsFor(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return &kTableOpsPortable;
#if defined(__x86_64__) || defined(__i386__)
    case Isa::kAvx2:
    case Isa::kAvxVnni:
      return &kTableOpsAvx2;
    case Isa::kAmx:
    case Isa::kAvx512:
    case Isa::kAvx512Vnni:
      return &kTableOpsAvx512;
#elif defined(__aarch64__) || defined(__arm__)
    case Isa::kNeon:
      return &kTableOpsNeon;
    case Isa::kNeonDot:
      return &kTableOpsNeonDot;
    case Isa::kNeonI8mm:
      return &kTableOpsNeonI8mm;
#endif
    default:
      return nullptr;
  }
}

namespace {

// Splits the filters so that every thread has work, at the price of building tables twice.
int FilterBlocks(int tiles, int filters, int threads) {
  if (threads <= 1 || tiles >= 4 * threads) return 1;
  int best = 1;
  double best_time = 0;
  for (int blocks = 1; blocks <= threads && blocks * 16 <= filters; ++blocks) {
    const int rounds = (tiles * blocks + threads - 1) / threads;
    const double time = rounds * (1.0 / blocks + 0.1);
    if (best_time == 0 || time < best_time) {
      best = blocks;
      best_time = time;
    }
  }
  return best;
}

std::vector<Offer> Offers(const ConvProblem& problem, const OfferRequest& request) {
  std::vector<Offer> offers;
  if (problem.filters->kind == WeightKind::kDense || request.group > kMaxGroup) return offers;
  const MaskSample sample(*problem.filters);
  const TableOps* planned = nullptr;
  TablePlan plan;
  for (const Isa isa : request.isas) {
    const TableOps* ops = TableOpsFor(isa);
    // A search for portable code would find nothing better.
    if (ops == nullptr || (isa == Isa::kPortable && !offers.empty())) continue;
    if (ops != planned) plan = PlanTable(problem, *ops, sample, request.group);
    planned = ops;
    if (!plan.possible) continue;
    const auto make = [problem, ops, config = plan.config](int threads, bool profile) {
      const int lanes = ops->vector_bytes / (problem.type == DataType::kInt8 ? 2 : 4);
      const int tiles = config.MakeGeometry(problem.shape, lanes).tiles();
      TableConfig blocked = config;
      blocked.stream.filter_blocks = FilterBlocks(tiles, problem.shape.out_c, threads);
      return MakeTableConv(problem, *ops, blocked, profile, threads);
    };
    offers.push_back({isa, plan.cost_ns, make});
  }
  return offers;
}

}  // namespace
}  // namespace table

const KernelFamily kTableFamily = {"table", /*has_groups=*/true, table::Offers};

}  // namespace tf_signbin

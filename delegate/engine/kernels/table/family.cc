// The memory-table family: what it can run, what that costs, and its kernels.
#include <algorithm>

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
      return &kTableOpsAvx2;
    case Isa::kAvx512:
    case Isa::kAvx512Vnni:
      return &kTableOpsAvx512;
#elif defined(__aarch64__) || defined(__arm__)
    case Isa::kNeon:
      return &kTableOpsNeon;
    case Isa::kNeonDot:
      return &kTableOpsNeonDot;
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

bool Supports(const ConvProblem& problem, Isa isa, const PlanOptions& options) {
  const TableOps* ops = TableOpsFor(isa);
  return ops != nullptr && problem.filters->kind != WeightKind::kDense && options.group >= 0 &&
         options.group <= kMaxGroup && PlanTable(problem, *ops, options.group).possible;
}

double CostNs(const ConvProblem& problem, Isa isa, const PlanOptions& options) {
  return PlanTable(problem, *TableOpsFor(isa), options.group).cost_ns;
}

std::unique_ptr<ConvKernel> Make(const ConvProblem& problem, Isa isa, const PlanOptions& options,
                                 int threads) {
  const TableOps& ops = *TableOpsFor(isa);
  TablePlan plan = PlanTable(problem, ops, options.group);
  if (!plan.possible) return nullptr;
  const int lanes = ops.vector_bytes / (problem.type == DataType::kInt8 ? 2 : 4);
  const int tiles = plan.config.MakeGeometry(problem.shape, lanes).tiles();
  plan.config.stream.filter_blocks = FilterBlocks(tiles, problem.shape.out_c, threads);
  return MakeTableConv(problem, ops, plan.config, options.profile, threads);
}

}  // namespace
}  // namespace table

const KernelFamily kTableFamily = {"table", table::Supports, table::CostNs, table::Make,
                                   /*real_multipliers=*/true};

}  // namespace tf_signbin

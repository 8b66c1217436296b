// Chooses how a layer is mapped onto the memory-table kernels, from a cost model.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_PLANNER_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_PLANNER_H_

#include <algorithm>
#include <string>

#include "engine/kernel.h"
#include "engine/kernels/table/costs.h"
#include "engine/kernels/table/geometry.h"
#include "engine/kernels/table/mask_sample.h"
#include "engine/kernels/table/streams.h"
#include "engine/kernels/table/table_ops.h"

namespace tf_signbin {
namespace table {

// Everything that can be varied.
struct TableConfig {
  bool flat = false;  // Geometry::Flat with `rows` vectors, else Geometry::Rows
  int rows = 1;
  int row_vectors = 1;  // vectors in one row of lanes
  bool bytes = false;   // tables of bytes, for ConvProblem::nonnegative inputs of few bits
  StreamOptions stream;

  Geometry MakeGeometry(const ConvShape& shape, int vector_lanes) const {
    const Geometry geometry =
        flat ? Geometry::Flat(shape, vector_lanes, rows)
             : Geometry::Rows(shape, vector_lanes, rows, row_vectors * vector_lanes);
    return bytes ? geometry.WithoutShifts() : geometry;
  }
  // How many entries of sums of inputs up to `most` are added as bytes (LookupArgs::byte_sums); 0:
  // a byte does not even hold one.
  static int ByteSums(const StreamOptions& stream, int most, const TableOps& ops) {
    const int fit = 255 / (std::min(stream.limit, stream.group) * most);
    return std::min(fit, fit < ops.u8.max_byte_sums ? kFewByteSums : ops.u8.max_byte_sums);
  }
  std::string ToString() const;  // for example "g5_r4v2_c3"
};

struct TablePlan {
  bool possible = false;
  double cost_ns = 0;  // one Run on one thread
  TableConfig config;
};

// The cheapest configuration; `sample` is of the problem's filters, `group` 0 lets the planner
// choose it. Filter blocks are left at 1.
TablePlan PlanTable(const ConvProblem& problem, const TableOps& ops, const MaskSample& sample,
                    int group);
// Whether tables of this configuration can be addressed and held in registers, and its cost.
TablePlan EvaluateTable(const ConvProblem& problem, const TableOps& ops, const TableConfig& config);

// What the cost of a possible configuration is estimated from, to fit costs to.
struct TableWork {
  Work work;
  double chunk_bytes;  // of tables that all filters read before the next are built
  bool direct;         // the planes are the table
};
TableWork WorkOfTable(const ConvProblem& problem, const TableOps& ops, const TableConfig& config);

}  // namespace table
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_PLANNER_H_

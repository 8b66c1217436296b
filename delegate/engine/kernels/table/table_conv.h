// A prepared convolution of the memory-table family.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_TABLE_CONV_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_TABLE_CONV_H_

#include <memory>

#include "engine/kernel.h"
#include "engine/kernels/table/planner.h"
#include "engine/kernels/table/table_ops.h"

namespace tf_signbin {
namespace table {

// `config` must be possible (EvaluateTable). Throws std::bad_alloc when memory runs out.
std::unique_ptr<ConvKernel> MakeTableConv(const ConvProblem& problem, const TableOps& ops,
                                          const TableConfig& config, bool profile, int threads);

}  // namespace table
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_TABLE_CONV_H_

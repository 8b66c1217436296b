// Fully connected int8 layers of signed-binary and ternary filters, a row at a time: tables of four
// channels in registers, filters in lanes. For few rows; tables in memory serve many.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_ROW_ROW_H_
#define TF_SIGNBIN_ENGINE_KERNELS_ROW_ROW_H_

#include <memory>

#include "engine/kernel.h"
#include "engine/kernels/row/row_ops.h"

namespace tf_signbin {
namespace row {

// Of int8, with masks, and without spatial extent: images of one pixel, or a convolution of 1x1.
bool Takes(const ConvProblem& problem);

// Rows of channels that it consists of.
int Rows(const ConvShape& shape);

// Groups whose tables a row takes, padded to whole steps; of all planes.
int PaddedGroups(const PackedFilters& filters);

std::unique_ptr<ConvKernel> MakeRowConv(const ConvProblem& problem, const RowOps& ops, Isa isa,
                                        bool profile, int threads);

}  // namespace row
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_ROW_ROW_H_

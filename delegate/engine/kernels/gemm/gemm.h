// Dense int8 convolution as im2col and matrix products: the packed filters unpacked to int8
// weights. For dense layers, and for those whose few filters cannot repay look-up tables.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_GEMM_GEMM_H_
#define TF_SIGNBIN_ENGINE_KERNELS_GEMM_GEMM_H_

#include <memory>

#include "engine/kernel.h"
#include "engine/kernels/gemm/gemm_ops.h"

namespace tf_signbin {
namespace gemm {

// Whether the microkernels are exact for the problem, which is of int8.
bool Supports(const ConvProblem& problem, const GemmOps& ops);

// Whether the microkernels write the layer's outputs.
bool Writes(const ConvShape& shape, const GemmOps& ops);

// Whether the layer's windows are multiplied where they lie, not copied.
bool TakesInPlace(const ConvShape& shape, const GemmOps& ops);

std::unique_ptr<ConvKernel> MakeGemmConv(const ConvProblem& problem, const GemmOps& ops,
                                         bool profile, int threads);

}  // namespace gemm
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_GEMM_GEMM_H_

// Dense int8 convolution for AVX-512 VNNI: the packed filters unpacked to int8 weights. For layers
// whose few filters cannot repay look-up tables.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_H_

#include <memory>

#include "engine/conv.h"
#include "engine/kernel.h"

namespace tf_signbin {

// Predicted nanoseconds of one Run on one thread.
double DenseCostNs(const ConvProblem& problem);

// Any int8 problem.
std::unique_ptr<ConvKernel> MakeDenseKernel(const ConvProblem& problem, const PlanOptions& options,
                                            int threads);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_H_

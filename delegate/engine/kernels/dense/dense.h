// Dense int8 convolution for AVX-512 VNNI: the packed filters unpacked to int8 weights. For layers
// whose few filters cannot repay look-up tables.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_H_

#include <memory>

#include "engine/kernel.h"
#include "engine/kernels/dense/dense_plan.h"

namespace tf_signbin {

// Any int8 problem; `plan` is of its shape.
std::unique_ptr<ConvKernel> MakeDenseKernel(const ConvProblem& problem, DensePlan plan,
                                            bool profile, int threads);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_H_

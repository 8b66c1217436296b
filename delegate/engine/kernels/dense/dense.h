// Products of int8 weights on AVX-512 VNNI and AMX, which packed filters are unpacked to where
// tables do not pay, and look-ups in tables of bytes with VBMI, for inputs of few bits.
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

// Register-permute convolution for AVX-512BW.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_H_
#define TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_H_

#include <memory>

#include "engine/kernel.h"
#include "engine/kernels/permute/permute_plan.h"

namespace tf_signbin {

std::unique_ptr<ConvKernel> MakePermuteKernel(const ConvProblem& problem, PermutePlan plan,
                                              bool profile, int threads);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_PERMUTE_PERMUTE_H_

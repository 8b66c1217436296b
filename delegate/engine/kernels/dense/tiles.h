// Dense int8 convolution on matrix tiles.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_H_

#include <memory>

#include "engine/kernel.h"
#include "engine/kernels/dense/tiles_plan.h"

namespace tf_signbin {

std::unique_ptr<ConvKernel> MakeTilesKernel(const ConvProblem& problem, TilesPlan plan,
                                            bool profile, int threads);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_H_

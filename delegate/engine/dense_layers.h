// Which layers without packed filters the engine wants to run as well.
#ifndef TF_SIGNBIN_ENGINE_DENSE_LAYERS_H_
#define TF_SIGNBIN_ENGINE_DENSE_LAYERS_H_

#include "engine/kernel.h"
#include "engine/plan_options.h"

namespace tf_signbin {

// Whether dense kernels of the engine, which the options must allow, spare enough of an int8
// convolution's work. Int8 kernels of other runtimes (XNNPACK) pad the channels of every tap to
// eight, on Arm with dot products to four: a network's first layer, which reads images of one to
// four channels, mostly multiplies padding there. Of `problem` the sizes of the image are not
// looked at.
bool WantsDense(const ConvProblem& problem, const PlanOptions& options);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_DENSE_LAYERS_H_

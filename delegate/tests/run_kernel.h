// Runs a random layer through the engine.
#ifndef TF_SIGNBIN_TESTS_RUN_KERNEL_H_
#define TF_SIGNBIN_TESTS_RUN_KERNEL_H_

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/conv.h"
#include "tests/random_layer.h"

namespace tf_signbin {

// The layer's output from the kernel that the options ask for.
template <typename T>
std::vector<T> RunKernel(const RandomLayer& layer, const PlanOptions& options, ThreadPool* pool,
                         std::string* kernel_name = nullptr, const Target& target = HostTarget()) {
  Status status;
  auto conv = Conv2D::Create(layer.type, layer.filters, layer.output, options, &status, target);
  EXPECT_TRUE(conv) << status.message();
  if (conv == nullptr) return {};
  status = conv->Resize(layer.shape, pool->threads());
  EXPECT_TRUE(status.ok()) << status.message();
  if (kernel_name != nullptr && conv->kernel() != nullptr) *kernel_name = conv->kernel()->name();
  // Values no kernel writes: a pixel that is left out shows.
  std::vector<T> output(layer.outputs() + 64, static_cast<T>(77));
  for (int run = 0; run < 2; ++run) {  // twice: nothing may be left over from the first
    status = conv->Run(layer.input(), output.data(), *pool);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  for (size_t i = layer.outputs(); i < output.size(); ++i) {
    EXPECT_EQ(output[i], static_cast<T>(77)) << "wrote beyond the output";
  }
  output.resize(layer.outputs());
  return output;
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TESTS_RUN_KERNEL_H_

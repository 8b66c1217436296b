// Inputs of few bits: kernels made for them, and what happens to an input that lies below the zero
// point after all.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/conv.h"
#include "engine/target.h"
#include "tests/low_bit_layer.h"
#include "tests/random_layer.h"
#include "tests/run_kernel.h"

namespace tf_signbin {
namespace {

std::vector<int8_t> Reference(const RandomLayer& layer, ThreadPool* pool) {
  PlanOptions options;
  options.family = "reference";
  return RunKernel<int8_t>(layer, options, pool);
}

TEST(LowBitInputs, KernelsAreNamedByTheBits) {
  if (!HasByteTables()) GTEST_SKIP() << "no tables of bytes";
  ThreadPool pool(1);
  for (int bits = 1; bits <= 8; ++bits) {
    const RandomLayer layer = LowBitLayer(bits);
    std::string name;
    EXPECT_EQ(RunKernel<int8_t>(layer, TableOptions(), &pool, &name), Reference(layer, &pool));
    if (bits > 6) {
      EXPECT_EQ(name.find("_i8b"), std::string::npos) << name;
    }
    if (bits <= 4) {
      EXPECT_NE(name.find("_i8b" + std::to_string(bits) + "_"), std::string::npos) << name;
    }
  }
}

// Every call looks at its own input, wherever the odd value is, and however many threads look.
TEST(LowBitInputs, BelowTheZeroPointEachCallIsExact) {
  ThreadPool one(1), three(3);
  const RandomLayer layer = LowBitLayer(4);
  const int zero_point = layer.output.input_zero_point;
  const size_t count = layer.input_i8.size();
  for (ThreadPool* pool : {&one, &three}) {
    Status status;
    auto conv = Conv2D::Create(layer.type, layer.filters, layer.output, TableOptions(), &status);
    ASSERT_TRUE(conv) << status.message();
    ASSERT_TRUE(conv->Resize(layer.shape, pool->threads()).ok());
    const auto run = [&](const RandomLayer& layer) {
      std::vector<int8_t> output(layer.outputs());
      const Status status = conv->Run(layer.input(), output.data(), *pool);
      EXPECT_TRUE(status.ok()) << status.message();
      return output;
    };
    const std::vector<int8_t> expected = Reference(layer, &one);
    EXPECT_EQ(run(layer), expected);
    for (const size_t at : {size_t{0}, size_t{4095}, size_t{4096}, count / 2, count - 1}) {
      for (const int value : {-128, 0, zero_point - 1}) {
        RandomLayer odd = layer;
        odd.input_i8[at] = static_cast<int8_t>(value);
        SCOPED_TRACE("input " + std::to_string(at) + " is " + std::to_string(value));
        const std::vector<int8_t> odd_expected = Reference(odd, &one);
        EXPECT_NE(odd_expected, expected);
        EXPECT_EQ(run(odd), odd_expected);
        EXPECT_EQ(run(layer), expected);
      }
    }
  }
}

// Another shape after a call that had needed the general kernel.
TEST(LowBitInputs, ResizeForgetsTheGeneralKernel) {
  ThreadPool pool(1);
  RandomLayer layer = LowBitLayer(4);
  Status status;
  auto conv = Conv2D::Create(layer.type, layer.filters, layer.output, TableOptions(), &status);
  ASSERT_TRUE(conv) << status.message();
  for (const int rows : {17, 9, 12}) {
    layer.shape.in_h = layer.shape.out_h = rows;
    layer.input_i8.resize(static_cast<size_t>(rows) * layer.shape.in_w * layer.shape.in_c);
    layer.input_i8[5] = -128;
    ASSERT_TRUE(conv->Resize(layer.shape, 1).ok());
    std::vector<int8_t> output(layer.outputs());
    ASSERT_TRUE(conv->Run(layer.input(), output.data(), pool).ok());
    EXPECT_EQ(output, Reference(layer, &pool)) << rows << " rows";
  }
}

}  // namespace
}  // namespace tf_signbin

// Inputs of few bits: kernels made for them, and what happens to an input that lies below the zero
// point after all.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/conv.h"
#include "engine/target.h"
#include "tests/random_layer.h"
#include "tests/run_kernel.h"

namespace tf_signbin {
namespace {

// A layer that AVX2 and NEON have byte tables for.
RandomLayer LowBitLayer(int bits) {
  Rng rng(1);
  RandomLayer layer = MakeRandomLayer(DataType::kInt8, 1);
  PackedFilters& filters = layer.filters;
  filters = {};
  filters.out_c = 32;
  filters.in_c = 37;
  filters.kernel_h = filters.kernel_w = 3;
  filters.masks.resize(filters.out_c * filters.mask_row_bytes());
  for (uint8_t& byte : filters.masks) {
    byte = static_cast<uint8_t>(rng.Int(0, 255) & rng.Int(0, 255));
  }
  // The last byte of a row is partly used.
  const size_t row = filters.mask_row_bytes();
  const size_t used = filters.weights_per_filter() % 8;
  for (int f = 0; f < filters.out_c; ++f) {
    filters.masks[f * row + row - 1] &= static_cast<uint8_t>((1 << used) - 1);
    filters.values_i8.insert(filters.values_i8.end(), {0, static_cast<int8_t>(f % 2 ? 127 : -127)});
  }
  layer.shape = {};
  ConvShape& s = layer.shape;
  s.in_c = filters.in_c;
  s.out_c = filters.out_c;
  s.kernel_h = s.kernel_w = 3;
  s.pad_top = s.pad_left = 1;
  s.in_h = s.out_h = 17;
  s.in_w = s.out_w = 23;
  layer.output = {};
  layer.output.multiplier.assign(s.out_c, 1 << 30);
  layer.output.shift.assign(s.out_c, -9);
  layer.output.input_zero_point = 128 - (1 << bits);
  layer.input_i8.resize(static_cast<size_t>(s.in_h) * s.in_w * s.in_c);
  for (int8_t& x : layer.input_i8) x = static_cast<int8_t>(127 - rng.Int(0, (1 << bits) - 1));
  return layer;
}

std::vector<int8_t> Reference(const RandomLayer& layer, ThreadPool* pool) {
  PlanOptions options;
  options.family = "reference";
  return RunKernel<int8_t>(layer, options, pool);
}

// An instruction set with byte tables, or the portable one.
Isa TestedIsa() {
  for (const Isa isa : HostTarget().Isas()) {
    if (isa == Isa::kAvx2 || isa == Isa::kNeon) return isa;
  }
  return Isa::kPortable;
}

PlanOptions TableOptions() {
  PlanOptions options;
  options.family = "table";
  options.isa = IsaName(TestedIsa());
  return options;
}

bool HasByteTables() { return TestedIsa() != Isa::kPortable; }

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

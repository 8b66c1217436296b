#include "tflite/quantization.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "engine/kernels/output/tflite_rules.h"
#include "tests/random_layer.h"

namespace tf_signbin {
namespace {

TEST(Quantization, MultiplierIsCloseToTheRealNumber) {
  for (const uint64_t seed : Seeds(5000)) {
    Rng rng(seed);
    const double real = std::exp2(40 * rng.Real() - 30) * (0.5 + rng.Real());
    int32_t multiplier, shift;
    QuantizeMultiplier(real, &multiplier, &shift);
    EXPECT_GE(multiplier, 1 << 30);
    const double value = std::ldexp(multiplier, shift - 31);
    EXPECT_NEAR(value / real, 1, 0x1p-31) << real;
  }
}

TEST(Quantization, MultiplierAtTheEnds) {
  int32_t multiplier, shift;
  QuantizeMultiplier(0, &multiplier, &shift);
  EXPECT_EQ(multiplier, 0);
  EXPECT_EQ(shift, 0);
  QuantizeMultiplier(0x1p-40, &multiplier, &shift);  // all bits shifted out
  EXPECT_EQ(multiplier, 0);
  QuantizeMultiplier(std::nextafter(1.0, 0.0), &multiplier, &shift);  // rounds up to 2^31
  EXPECT_EQ(multiplier, 1 << 30);
  EXPECT_EQ(shift, 1);
}

// The fixed-point product differs from the real one by less than its two roundings.
TEST(Quantization, FixedPointProductIsCloseToTheRealProduct) {
  for (const uint64_t seed : Seeds(20000)) {
    Rng rng(seed);
    const int32_t x = rng.Int(-(1 << 24), 1 << 24);
    int32_t multiplier, shift;
    QuantizeMultiplier(std::exp2(-20 * rng.Real()), &multiplier, &shift);
    const double real = x * std::ldexp(multiplier, shift - 31);
    EXPECT_LE(std::abs(MultiplyByQuantizedMultiplier(x, multiplier, shift) - real), 1.0);
  }
}

TEST(Quantization, RoundsHalvesAwayFromZero) {
  EXPECT_EQ(RoundingDivideByPowerOfTwo(5, 1), 3);
  EXPECT_EQ(RoundingDivideByPowerOfTwo(-5, 1), -3);
  EXPECT_EQ(RoundingDivideByPowerOfTwo(-5, 2), -1);
  EXPECT_EQ(RoundingDivideByPowerOfTwo(-6, 2), -2);
  EXPECT_EQ(RoundingDivideByPowerOfTwo(7, 0), 7);
  EXPECT_EQ(RoundingDivideByPowerOfTwo(std::numeric_limits<int32_t>::min(), 31), -1);
  EXPECT_EQ(MultiplyByQuantizedMultiplier(3, 1 << 30, 0), 2);  // times 1/2
  EXPECT_EQ(MultiplyByQuantizedMultiplier(3, 1 << 30, 4), 24);
  EXPECT_EQ(MultiplyByRealMultiplier(5, 0.5), 3);
  EXPECT_EQ(MultiplyByRealMultiplier(-5, 0.5), -3);
  EXPECT_EQ(MultiplyByRealMultiplier(1, 0.49999999999999994), 0);
}

OutputStage Stage(OpType op, Activation activation, float input_scale, float scale,
                  TensorQuantization out) {
  OutputStage stage;
  const Status status = SetInt8Stage(op, {input_scale, 7}, {scale}, out, activation, 2, &stage);
  EXPECT_TRUE(status.ok()) << status.message();
  return stage;
}

TEST(Quantization, ActivationRanges) {
  const TensorQuantization out = {0.1f, -20};
  const auto range = [&](Activation activation, TensorQuantization q) {
    const OutputStage stage = Stage(OpType::kConv2D, activation, 1, 1, q);
    return std::pair<int, int>(stage.clamp_min_i8, stage.clamp_max_i8);
  };
  using Range = std::pair<int, int>;
  EXPECT_EQ(range(Activation::kNone, out), Range(-128, 127));
  EXPECT_EQ(range(Activation::kRelu, out), Range(-20, 127));
  EXPECT_EQ(range(Activation::kRelu6, out), Range(-20, 40));
  EXPECT_EQ(range(Activation::kReluN1To1, out), Range(-30, -10));
  // Steps so small that 6 lies beyond int8.
  EXPECT_EQ(range(Activation::kRelu6, {1e-8f, 0}), Range(0, 127));
}

TEST(Quantization, FullyConnectedRoundsOnceAndConvolutionTwice) {
  const OutputStage conv = Stage(OpType::kConv2D, Activation::kNone, 0.5f, 0.25f, {2, 0});
  EXPECT_EQ(conv.multiplier, (std::vector<int32_t>{1 << 30, 1 << 30}));
  EXPECT_EQ(conv.shift, (std::vector<int32_t>{-3, -3}));
  EXPECT_TRUE(conv.real_multiplier.empty());
  EXPECT_EQ(conv.input_zero_point, 7);
  const OutputStage dense = Stage(OpType::kFullyConnected, Activation::kNone, 0.5f, 0.25f, {2, 0});
  EXPECT_TRUE(dense.multiplier.empty());
  EXPECT_EQ(dense.real_multiplier, (std::vector<double>{0.0625, 0.0625}));
}

TEST(Quantization, BadScalesAreNamed) {
  const auto error = [](float input, std::vector<float> weights, float out) {
    OutputStage stage;
    return SetInt8Stage(OpType::kConv2D, {input, 0}, weights, {out, 0}, Activation::kNone, 2,
                        &stage)
        .message();
  };
  EXPECT_EQ(error(1, {1, 1}, 1), "");
  EXPECT_NE(error(0, {1}, 1).find("input's scale"), std::string::npos);
  EXPECT_NE(error(NAN, {1}, 1).find("input's scale"), std::string::npos);
  EXPECT_NE(error(1, {1}, -1).find("output's scale"), std::string::npos);
  EXPECT_NE(error(1, {1, -1}, 1).find("scale 1 of the values"), std::string::npos);
  EXPECT_NE(error(1, {1, 1, 1}, 1).find("3 scales"), std::string::npos);
  EXPECT_NE(error(1e30f, {1e30f}, 1e-30f).find("2^30"), std::string::npos);
}

}  // namespace
}  // namespace tf_signbin

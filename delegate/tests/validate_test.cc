// What a model file may get wrong, one mistake at a time; each must be refused by name.
#include "engine/validate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "engine/conv.h"
#include "tests/random_layer.h"

namespace tf_signbin {
namespace {

// 3 filters of 1x1x12 weights (so that 4 bits of the last mask byte are unused).
RandomLayer Valid(DataType type, WeightKind kind = WeightKind::kTwoValued) {
  RandomLayer layer;
  layer.type = type;
  layer.shape.in_c = 12;
  layer.shape.out_c = 3;
  PackedFilters& f = layer.filters;
  f.kind = kind;
  f.out_c = 3;
  f.in_c = 12;
  f.masks.assign(f.planes() * 3 * 2, 0);
  if (f.planes() > 0) f.masks[0] = 0x21;
  for (int i = 0; i < 3 * f.values_per_region(); ++i) {
    f.values_i8.push_back(static_cast<int8_t>(i));
    f.values_f32.push_back(static_cast<float>(i));
  }
  if (type == DataType::kFloat32) {
    f.values_i8.clear();
    layer.output.clamp_max_f32 = 6;
    layer.output.bias_f32 = {1, 2, 3};
  } else {
    f.values_f32.clear();
    layer.output.bias_i32 = {1, 2, 3};
    layer.output.multiplier.assign(3, 1 << 30);
    layer.output.shift.assign(3, 0);
  }
  return layer;
}

std::string Error(const RandomLayer& layer) {
  Status status;
  auto conv = Conv2D::Create(layer.type, layer.filters, layer.output, {}, &status);
  EXPECT_EQ(conv != nullptr, status.ok());
  if (conv != nullptr) status = conv->Resize(layer.shape, 1);
  return status.message();
}

std::string ErrorAfter(DataType type, const std::function<void(RandomLayer&)>& change,
                       WeightKind kind = WeightKind::kTwoValued) {
  RandomLayer layer = Valid(type, kind);
  EXPECT_EQ(Error(layer), "");
  change(layer);
  return Error(layer);
}

#define EXPECT_REFUSED(type, word, change)                                                      \
  EXPECT_NE(ErrorAfter(type, [](RandomLayer& layer) { change; }).find(word), std::string::npos) \
      << ErrorAfter(type, [](RandomLayer& layer) { change; })

constexpr DataType kF = DataType::kFloat32, kI = DataType::kInt8;

TEST(Validate, Filters) {
  EXPECT_REFUSED(kF, "out_channels is 0", layer.filters.out_c = 0);
  EXPECT_REFUSED(kF, "in_channels is -5", layer.filters.in_c = -5);
  EXPECT_REFUSED(kF, "kernel_h is 0", layer.filters.kernel_h = 0);
  EXPECT_REFUSED(kF, "regions is 0", layer.filters.regions = 0);
  EXPECT_REFUSED(kF, "does not divide", layer.filters.regions = 5);
  EXPECT_REFUSED(kF, "too large", layer.filters.kernel_h = layer.filters.kernel_w = 1 << 30);
  EXPECT_REFUSED(kF, "masks has 5", layer.filters.masks.pop_back());
  EXPECT_REFUSED(kF, "values has 5", layer.filters.values_f32.pop_back());
  EXPECT_REFUSED(kI, "values has 7", layer.filters.values_i8.push_back(1));
  EXPECT_REFUSED(kF, "values[3] is not finite", layer.filters.values_f32[3] = NAN);
  EXPECT_REFUSED(kF, "filter 1 has bits beyond", layer.filters.masks[3] = 0x10);
}

TEST(Validate, TernaryMasksMustNotOverlap) {
  const auto overlap = [](RandomLayer& layer) { layer.filters.masks[6] = 0x20; };
  EXPECT_NE(ErrorAfter(kF, overlap, WeightKind::kTernary).find("both +s and -s"),
            std::string::npos);
}

TEST(Validate, DenseFiltersAreValuesAlone) {
  const auto error = [](const std::function<void(RandomLayer&)>& change) {
    return ErrorAfter(kI, change, WeightKind::kDense);
  };
  EXPECT_NE(error([](RandomLayer& l) { l.filters.values_i8.pop_back(); }).find("values has 35"),
            std::string::npos);
  EXPECT_NE(error([](RandomLayer& l) { l.filters.masks.push_back(0); }).find("masks has 1"),
            std::string::npos);
  EXPECT_NE(error([](RandomLayer& l) {
              l.filters.regions = 2;
              l.filters.values_i8.resize(72);
            }).find("neither regions nor a pattern"),
            std::string::npos);
  EXPECT_NE(error([](RandomLayer& l) {
              l.filters.kernel_h = l.filters.kernel_w = 1 << 30;
            }).find("too large"),
            std::string::npos);
  // One more than fits beside the largest sum.
  EXPECT_NE(error([](RandomLayer& l) {
              l.filters.values_i8.assign(36, 127);
              l.output.bias_i32 = {0, 0, 0x7fffffff - 127 * 128 * 12 + 1};
              l.output.input_zero_point = -1;
            }).find("filter 2: its weights and bias can overflow"),
            std::string::npos);
}

TEST(Validate, Pattern) {
  // Mask bits 0 and 5 of filter 0.
  EXPECT_REFUSED(kF, "breaks the promised pattern 1:6",
                 (layer.filters.pattern_n = 1, layer.filters.pattern_m = 6));
  EXPECT_REFUSED(kF, "not of the form", layer.filters.pattern_n = 2);
  EXPECT_REFUSED(kF, "not of the form", layer.filters.pattern_m = 2);
  EXPECT_REFUSED(kF, "not of the form", (layer.filters.pattern_n = 4, layer.filters.pattern_m = 3));
  EXPECT_REFUSED(kF, "not of the form", layer.filters.pattern_n = layer.filters.pattern_m = 3);
  const auto kept = [](RandomLayer& layer) {
    layer.filters.pattern_n = 1;
    layer.filters.pattern_m = 5;  // groups of channels 0-4, 5-9, 10-11
  };
  EXPECT_EQ(ErrorAfter(kF, kept), "");
}

TEST(Validate, TernaryValues) {
  const auto least = [](RandomLayer& layer) { layer.filters.values_i8[2] = -128; };
  EXPECT_EQ(ErrorAfter(DataType::kInt8, least, WeightKind::kTernary),
            "values: ternary filter 2 has the value -128, whose negative is no int8");
  EXPECT_EQ(ErrorAfter(DataType::kInt8, least), "");
}

TEST(Validate, OutputStage) {
  EXPECT_REFUSED(kF, "bias has 2", layer.output.bias_f32.pop_back());
  EXPECT_REFUSED(kF, "bias[1] is not finite", layer.output.bias_f32[1] = INFINITY);
  EXPECT_REFUSED(kF, "range is empty", layer.output.clamp_max_f32 = NAN);
  EXPECT_REFUSED(kI, "bias has 2", layer.output.bias_i32.pop_back());
  EXPECT_REFUSED(kI, "multiplier has 2", layer.output.multiplier.pop_back());
  EXPECT_REFUSED(kI, "filter 2: multiplier 5", layer.output.multiplier[2] = 5);
  EXPECT_REFUSED(kI, "shift 31", layer.output.shift[0] = 31);
  EXPECT_REFUSED(kI, "shift -32", layer.output.shift[0] = -32);
  EXPECT_REFUSED(kI, "zero point 128", layer.output.input_zero_point = 128);
  EXPECT_REFUSED(kI, "zero point -129", layer.output.output_zero_point = -129);
  EXPECT_REFUSED(kI, "range [3, 2]",
                 (layer.output.clamp_min_i8 = 3, layer.output.clamp_max_i8 = 2));
  EXPECT_REFUSED(kI, "outside int8", layer.output.clamp_max_i8 = 128);
  EXPECT_REFUSED(kI, "32-bit accumulator",
                 layer.output.bias_i32[1] = std::numeric_limits<int32_t>::max());
  EXPECT_REFUSED(kI, "32-bit accumulator",
                 layer.output.bias_i32[1] = std::numeric_limits<int32_t>::min());
}

void UseRealMultiplier(RandomLayer& layer, double multiplier) {
  layer.output.multiplier.clear();
  layer.output.shift.clear();
  layer.output.real_multiplier.assign(3, multiplier);
}

TEST(Validate, RealMultipliers) {
  EXPECT_EQ(ErrorAfter(kI, [](RandomLayer& layer) { UseRealMultiplier(layer, 0.1); }), "");
  EXPECT_REFUSED(kI, "negative or not finite", UseRealMultiplier(layer, NAN));
  EXPECT_REFUSED(kI, "negative or not finite", UseRealMultiplier(layer, -1));
  EXPECT_REFUSED(kI, "exceed 32 bits", UseRealMultiplier(layer, 1e8));
  EXPECT_REFUSED(kI, "multiplier has 3", layer.output.real_multiplier.assign(3, 0.1));
}

TEST(Validate, AccumulatorBoundIsTight) {
  // 12 weights of 127 times inputs of at most 255 steps: the bias may take what is left of int32.
  const auto layer_with = [](int64_t spare) {
    RandomLayer layer = Valid(DataType::kInt8);
    layer.filters.masks.assign(6, 0);
    for (int filter = 0; filter < 3; ++filter) {
      layer.filters.masks[2 * filter] = 0xff;
      layer.filters.masks[2 * filter + 1] = 0x0f;
      layer.filters.values_i8[2 * filter + 1] = 127;
    }
    layer.output.input_zero_point = -128;
    layer.output.bias_i32[0] =
        static_cast<int32_t>(std::numeric_limits<int32_t>::max() - 12 * 127 * 255 + spare);
    return layer;
  };
  EXPECT_EQ(Error(layer_with(0)), "");
  EXPECT_NE(Error(layer_with(1)).find("32-bit accumulator"), std::string::npos);
}

TEST(Validate, Shape) {
  EXPECT_REFUSED(kF, "batch is -1", layer.shape.batch = -1);
  EXPECT_REFUSED(kF, "input height is 0", layer.shape.in_h = 0);
  EXPECT_REFUSED(kF, "output width is 0", layer.shape.out_w = 0);
  EXPECT_REFUSED(kF, "stride_w is 0", layer.shape.stride_w = 0);
  EXPECT_REFUSED(kF, "dilation_h is -2", layer.shape.dilation_h = -2);
  EXPECT_REFUSED(kF, "pad_top is -1", layer.shape.pad_top = -1);
  EXPECT_REFUSED(kF, "the shape asks for", layer.shape.in_c = 13);
  EXPECT_REFUSED(kF, "reach beyond", (layer.shape.stride_h = 1 << 30, layer.shape.out_h = 1 << 20));
  EXPECT_REFUSED(kF, "2^31", (layer.shape.in_h = 1 << 20, layer.shape.in_w = 1 << 20));
  EXPECT_REFUSED(kF, "2^31", layer.shape.batch = std::numeric_limits<int>::max());
}

TEST(Conv2D, OverridesAreHonouredOrRefused) {
  RandomLayer layer = Valid(DataType::kInt8);
  const auto resize = [&](const PlanOptions& options) {
    Status status;
    auto conv = Conv2D::Create(layer.type, layer.filters, layer.output, options, &status);
    if (conv != nullptr) status = conv->Resize(layer.shape, 1);
    return status.message();
  };
  PlanOptions options;
  for (const std::string& isa : SupportedIsas()) {
    options.isa = isa;
    EXPECT_EQ(resize(options), "");
  }
  options.isa = "vax";
  EXPECT_NE(resize(options).find("isa 'vax' is not available"), std::string::npos);
  options = {};
  options.family = "abacus";
  EXPECT_NE(resize(options).find("kernel 'abacus' is not available"), std::string::npos);
  options = {};
  options.family = "reference";
  options.group = 3;  // the reference kernel looks nothing up
  EXPECT_NE(resize(options).find("group=3"), std::string::npos);
}

TEST(Conv2D, RunsOnlyWhenPrepared) {
  RandomLayer layer = Valid(DataType::kFloat32);
  Status status;
  auto conv = Conv2D::Create(layer.type, layer.filters, layer.output, {}, &status);
  ThreadPool one(1), two(2);
  float input[12] = {}, output[3];
  EXPECT_FALSE(conv->Run(input, output, one).ok());
  ASSERT_TRUE(conv->Resize(layer.shape, 1).ok());
  EXPECT_TRUE(conv->Run(input, output, one).ok());
  EXPECT_FALSE(conv->Run(input, output, two).ok());  // prepared for one thread
  EXPECT_FALSE(conv->Run(nullptr, output, one).ok());
  ConvShape wrong = layer.shape;
  wrong.in_c = 11;
  EXPECT_FALSE(conv->Resize(wrong, 1).ok());
  EXPECT_FALSE(conv->Run(input, output, one).ok());
  ConvShape empty = layer.shape;
  empty.batch = 0;
  ASSERT_TRUE(conv->Resize(empty, 1).ok());
  EXPECT_TRUE(conv->Run(nullptr, nullptr, one).ok());
}

}  // namespace
}  // namespace tf_signbin

// The register-permute family against the reference family, over seeded random layers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "engine/conv.h"
#include "engine/dictionary.h"
#include "tests/targets.h"

namespace tf_signbin {
namespace {

bool Has(const std::string& isa) {
  const auto& isas = SupportedIsas();
  return std::find(isas.begin(), isas.end(), isa) != isas.end();
}

struct Layer {
  DataType type = DataType::kInt8;
  ConvShape shape;
  PackedFilters filters;
  OutputStage output;
};

struct LayerOptions {
  double density = 0.36;
  int pattern_n = 0, pattern_m = 0;
  WeightKind kind = WeightKind::kTwoValued;
  bool background = false;
  int regions = 1;
};

void SetBit(PackedFilters* f, int plane, int filter, size_t weight) {
  f->masks[(static_cast<size_t>(plane) * f->out_c + filter) * f->mask_row_bytes() + weight / 8] |=
      static_cast<uint8_t>(1 << weight % 8);
}

Layer MakeLayer(DataType type, const ConvShape& shape, const LayerOptions& options,
                std::mt19937* rng) {
  Layer layer;
  layer.type = type;
  layer.shape = shape;
  PackedFilters& f = layer.filters;
  f.kind = options.kind;
  f.out_c = shape.out_c;
  f.in_c = shape.in_c;
  f.kernel_h = shape.kernel_h;
  f.kernel_w = shape.kernel_w;
  f.regions = options.regions;
  f.masks.assign(f.planes() * f.out_c * f.mask_row_bytes(), 0);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (int o = 0; o < f.out_c; ++o) {
    for (int tap = 0; tap < f.kernel_h * f.kernel_w; ++tap) {
      int in_group = 0;
      for (int c = 0; c < f.in_c; ++c) {
        if (options.pattern_m && c % options.pattern_m == 0) in_group = 0;
        if (uniform(*rng) >= options.density) continue;
        if (options.pattern_m && ++in_group > options.pattern_n) continue;
        const int plane = f.planes() == 2 && uniform(*rng) < 0.5 ? 1 : 0;
        SetBit(&f, plane, o, static_cast<size_t>(tap) * f.in_c + c);
      }
    }
  }
  const bool int8 = type == DataType::kInt8;
  for (int i = 0; i < f.out_c * f.regions; ++i) {
    const int sign = (*rng)() % 2 ? 1 : -1;
    const int b = 127 * sign, a = options.background ? -sign * static_cast<int>((*rng)() % 100) : 0;
    if (f.values_per_region() == 2) {
      if (int8)
        f.values_i8.push_back(static_cast<int8_t>(a));
      else
        f.values_f32.push_back(static_cast<float>(a) * 0.001f);
    }
    if (int8)
      f.values_i8.push_back(static_cast<int8_t>(b));
    else
      f.values_f32.push_back(static_cast<float>(b) * 0.001f);
  }
  OutputStage& out = layer.output;
  out.clamp_min_f32 = -1e30f;
  out.clamp_max_f32 = 6.0f;
  for (int o = 0; o < f.out_c; ++o) {
    if (int8) {
      out.bias_i32.push_back(static_cast<int32_t>((*rng)() % 20000) - 10000);
      out.multiplier.push_back(static_cast<int32_t>((1u << 30) + (*rng)() % (1u << 30)));
      const double spread = 127.0 * 60 * std::sqrt(f.weights_per_filter() * options.density + 1);
      out.shift.push_back(static_cast<int>(std::floor(std::log2(80.0 / spread))) +
                          static_cast<int>((*rng)() % 2));
    } else {
      out.bias_f32.push_back(static_cast<float>(uniform(*rng)) - 0.5f);
    }
  }
  out.input_zero_point = static_cast<int>((*rng)() % 256) - 128;
  out.output_zero_point = static_cast<int>((*rng)() % 40) - 20;
  return layer;
}

template <typename T>
std::vector<T> RunLayer(const Layer& layer, const PlanOptions& options, int threads,
                        const std::vector<T>& input, std::string* name = nullptr,
                        const Target& target = HostTarget()) {
  Status status;
  auto conv = Conv2D::Create(layer.type, layer.filters, layer.output, options, &status, target);
  EXPECT_TRUE(status.ok()) << status.message();
  if (!status.ok()) return {};
  status = conv->Resize(layer.shape, threads);
  EXPECT_TRUE(status.ok()) << status.message();
  if (!status.ok()) return {};
  if (name != nullptr && conv->kernel() != nullptr) *name = conv->kernel()->name();
  ThreadPool pool(threads);
  const ConvShape& s = layer.shape;
  std::vector<T> output(static_cast<size_t>(s.batch) * s.out_h * s.out_w * s.out_c, T(77));
  // Twice: a second run must not see what the first left behind.
  for (int i = 0; i < 2; ++i) {
    status = conv->Run(input.data(), output.data(), pool);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  return output;
}

// Runs the layer with the kernels of every core, with tables from additions and, where there is
// VNNI, from dot products. Returns the names of the kernels.
std::vector<std::string> Compare(const Layer& layer, int group, int threads, std::mt19937* rng) {
  const ConvShape& s = layer.shape;
  const size_t count = static_cast<size_t>(s.batch) * s.in_h * s.in_w * s.in_c;
  PlanOptions permute, reference;
  permute.family = "permute";
  permute.group = group;
  reference.family = "reference";
  std::vector<std::string> names;
  const auto compare = [&](const auto& input, const auto& expect_same) {
    const auto want = RunLayer(layer, reference, 1, input);
    ForEachTarget([&](const Target& target, bool) {
      for (const char* isa : {"avx512", "avx512vnni"}) {
        if (!Has(isa)) continue;
        permute.isa = isa;
        names.emplace_back();
        const auto got = RunLayer(layer, permute, threads, input, &names.back(), target);
        SCOPED_TRACE(names.back());
        ASSERT_EQ(got.size(), want.size());
        for (size_t i = 0; i < want.size(); ++i) {
          SCOPED_TRACE("at " + std::to_string(i) + " of " + std::to_string(want.size()));
          expect_same(got[i], want[i]);
          if (testing::Test::HasFailure()) return;
        }
      }
    });
  };
  if (layer.type == DataType::kInt8) {
    std::vector<int8_t> input(count);
    for (int8_t& x : input) x = static_cast<int8_t>((*rng)() % 256 - 128);
    if ((*rng)() % 4 == 0) std::fill(input.begin(), input.end(), (*rng)() % 2 ? 127 : -128);
    compare(input, [](int8_t got, int8_t want) { EXPECT_EQ(got, want); });
  } else {
    std::normal_distribution<float> normal;
    std::vector<float> input(count);
    for (float& x : input) x = normal(*rng);
    const float magnitude =
        0.2f * std::sqrt(static_cast<float>(layer.filters.weights_per_filter()));
    compare(input, [magnitude](float got, float want) {
      EXPECT_NEAR(got, want, 1e-5f * (magnitude + std::fabs(want)));
    });
  }
  return names;
}

ConvShape RandomShape(std::mt19937* rng) {
  const auto pick = [&](std::vector<int> values) { return values[(*rng)() % values.size()]; };
  ConvShape s;
  s.batch = pick({1, 1, 2, 3});
  s.kernel_h = pick({1, 3, 3, 5, 2, 7});
  s.kernel_w = (*rng)() % 4 ? s.kernel_h : pick({1, 2, 3, 5});
  s.stride_h = pick({1, 1, 2, 3});
  s.stride_w = (*rng)() % 4 ? s.stride_h : pick({1, 2});
  s.dilation_h = pick({1, 1, 1, 2, 3});
  s.dilation_w = (*rng)() % 4 ? s.dilation_h : pick({1, 2});
  s.in_c = pick({1, 3, 5, 6, 7, 12, 13, 16, 24, 31, 64, 65, 100});
  s.out_c = pick({1, 7, 16, 31, 32, 33, 64, 96, 100, 128, 161, 300});
  s.in_h = 1 + (*rng)() % 17;
  s.in_w = 1 + (*rng)() % 23;
  const int span_h = (s.kernel_h - 1) * s.dilation_h + 1;
  const int span_w = (s.kernel_w - 1) * s.dilation_w + 1;
  if ((*rng)() % 2 || s.in_h < span_h || s.in_w < span_w) {  // SAME
    s.out_h = (s.in_h + s.stride_h - 1) / s.stride_h;
    s.out_w = (s.in_w + s.stride_w - 1) / s.stride_w;
    s.pad_top = std::max(0, (s.out_h - 1) * s.stride_h + span_h - s.in_h) / 2;
    s.pad_left = std::max(0, (s.out_w - 1) * s.stride_w + span_w - s.in_w) / 2;
  } else {
    s.out_h = (s.in_h - span_h) / s.stride_h + 1;
    s.out_w = (s.in_w - span_w) / s.stride_w + 1;
  }
  return s;
}

std::string Describe(const ConvShape& s, const LayerOptions& o) {
  std::ostringstream text;
  text << s.batch << "x" << s.in_h << "x" << s.in_w << "x" << s.in_c << " -> " << s.out_h << "x"
       << s.out_w << "x" << s.out_c << " kernel " << s.kernel_h << "x" << s.kernel_w << " stride "
       << s.stride_h << "," << s.stride_w << " dilation " << s.dilation_h << "," << s.dilation_w
       << " pad " << s.pad_top << "," << s.pad_left << " density " << o.density << " pattern "
       << o.pattern_n << ":" << o.pattern_m << " regions " << o.regions
       << (o.kind == WeightKind::kTernary ? " ternary"
           : o.background                 ? " background"
                                          : "");
  return text.str();
}

class PermuteRandom : public ::testing::TestWithParam<int> {};

TEST_P(PermuteRandom, EqualsReference) {
  if (!Has("avx512")) GTEST_SKIP() << "needs AVX-512";
  const uint32_t seed = static_cast<uint32_t>(GetParam());
  std::mt19937 rng(seed);
  const ConvShape shape = RandomShape(&rng);
  LayerOptions options;
  options.density = std::vector<double>{0, 0.05, 0.2, 0.36, 0.5, 1}[rng() % 6];
  if (rng() % 3 == 0) {
    options.pattern_n = 1 + rng() % 3;
    options.pattern_m = std::vector<int>{4, 7, 8, 10}[rng() % 4];
  }
  if (rng() % 4 == 0) options.kind = WeightKind::kTernary;
  options.background = rng() % 2;
  if (rng() % 4 == 0) {
    for (int r : {2, 3, 4}) {
      if (shape.in_c % r == 0) options.regions = r;
    }
  }
  const DataType type = rng() % 2 ? DataType::kInt8 : DataType::kFloat32;
  SCOPED_TRACE("seed " + std::to_string(seed) + ": " + Describe(shape, options));
  const Layer layer = MakeLayer(type, shape, options, &rng);
  const int group = rng() % 3 == 0 && options.kind == WeightKind::kTwoValued ? 1 + rng() % 5 : 0;
  Compare(layer, group, 1 + static_cast<int>(rng() % 4), &rng);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PermuteRandom, ::testing::Range(0, 400));

ConvShape SquareShape(int size, int in_c, int out_c, int kernel) {
  ConvShape s;
  s.in_h = s.in_w = s.out_h = s.out_w = size;
  s.in_c = in_c;
  s.out_c = out_c;
  s.kernel_h = s.kernel_w = kernel;
  s.pad_top = s.pad_left = kernel / 2;
  return s;
}

// Every int16 sum at its limit: all weights effectual and all activations extreme.
TEST(Permute, Int16SumsDoNotOverflow) {
  if (!Has("avx512")) GTEST_SKIP() << "needs AVX-512";
  std::mt19937 rng(1);
  for (int kernel : {1, 3, 5, 7}) {
    const ConvShape s = SquareShape(5, 200, 40, kernel);
    LayerOptions options;
    options.density = 1;
    for (int i = 0; i < 4; ++i) Compare(MakeLayer(DataType::kInt8, s, options, &rng), 0, 1, &rng);
  }
}

// Up to 16 filters: two sums of a filter side by side.
TEST(Permute, FoldedVectorsEqualReference) {
  if (!Has("avx512vnni")) GTEST_SKIP() << "needs AVX-512 VNNI";
  int folded = 0;
  for (uint32_t seed = 0; seed < 150; ++seed) {
    std::mt19937 rng(seed);
    ConvShape shape = RandomShape(&rng);
    shape.out_c = 1 + rng() % 16;
    shape.in_c = std::vector<int>{1, 4, 8, 12, 16, 17, 24, 30, 64, 300}[rng() % 10];
    LayerOptions options;
    options.density = std::vector<double>{0.1, 0.36, 1}[rng() % 3];
    options.background = rng() % 2;
    options.regions = shape.in_c % 2 == 0 ? 1 + rng() % 2 : 1;
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + Describe(shape, options));
    const Layer layer = MakeLayer(DataType::kInt8, shape, options, &rng);
    const auto names = Compare(layer, 0, 1 + static_cast<int>(rng() % 3), &rng);
    folded += names.back().find("x2") != std::string::npos;
    if (HasFailure()) return;
  }
  EXPECT_GT(folded, 75);
}

// Intel's cores permute bytes, which only one-register tables allow.
TEST(Permute, BytePermutationsAreForIntel) {
  if (!Has("avx512")) GTEST_SKIP() << "needs AVX-512";
  std::mt19937 rng(3);
  const ConvShape s = SquareShape(9, 60, 70, 3);
  LayerOptions options;
  const auto names = [&](int group) {
    return Compare(MakeLayer(DataType::kInt8, s, options, &rng), group, 1, &rng);
  };
  const auto bytes = [](const std::vector<std::string>& kernels) {
    return std::count_if(kernels.begin(), kernels.end(), [](const std::string& name) {
      return name.find("_i8b_") != std::string::npos;
    });
  };
  const int intel = HostTarget().Has(feature::kAvx512Vbmi);
  const int isas = Has("avx512vnni") ? 2 : 1;
  EXPECT_EQ(bytes(names(5)), intel * isas);
  EXPECT_EQ(bytes(names(6)), 0);
  options.background = true;
  EXPECT_EQ(bytes(names(3)), intel * isas);
  options.density = 0.6;
  options.pattern_n = 2;
  options.pattern_m = 7;
  EXPECT_EQ(bytes(names(7)), intel * isas);
}

TEST(Dictionary, WidestGroupThatThePatternAllows) {
  std::mt19937 rng(2);
  ConvShape s;
  s.in_c = 70;
  s.out_c = 64;
  s.kernel_h = s.kernel_w = 3;
  const auto channels = [&](int n, int m, double density, int limit) {
    LayerOptions options;
    options.pattern_n = n;
    options.pattern_m = m;
    options.density = density;
    return ChooseDictionary(MakeLayer(DataType::kInt8, s, options, &rng).filters, limit, 0)
        .channels;
  };
  EXPECT_EQ(channels(0, 0, 0.36, 64), 6);
  EXPECT_EQ(channels(3, 7, 0.6, 64), 7);
  EXPECT_EQ(channels(2, 10, 0.6, 64), 10);
  EXPECT_EQ(channels(0, 0, 0.36, 32), 5);
  EXPECT_EQ(channels(2, 7, 0.6, 32), 7);
}

}  // namespace
}  // namespace tf_signbin

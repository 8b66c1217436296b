// The memory-table kernels against a plain computation from the definition: int8 bit for bit,
// float within 1e-5 of float64. Every case is drawn from a seed that a failure prints; replay with
// TABLE_TEST_SEED=<seed>.
#include "engine/kernels/table/table_conv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/families.h"
#include "engine/kernels/table/planner.h"
#include "engine/kernels/table/table_ops.h"

namespace tf_signbin {
namespace {

using table::TableConfig;
using table::TableOps;

// A layer, its weights and one input.
struct Case {
  ConvProblem problem;
  PackedFilters filters;
  OutputStage output;
  std::vector<int8_t> input_i8;
  std::vector<float> input_f32;

  int Weight(int plane, int o, int dy, int dx, int c) const {
    return filters.bit(plane, o,
                       (static_cast<size_t>(dy) * filters.kernel_w + dx) * filters.in_c + c);
  }
  template <typename Value>
  Value WeightValue(const std::vector<Value>& values, int o, int dy, int dx, int c) const {
    const int region = c / (filters.in_c / filters.regions);
    const size_t at = static_cast<size_t>(o) * filters.regions + region;
    if (filters.kind == WeightKind::kTernary) {
      return static_cast<Value>(values[at] * (Weight(0, o, dy, dx, c) - Weight(1, o, dy, dx, c)));
    }
    return values[2 * at + Weight(0, o, dy, dx, c)];
  }
};

struct CaseOptions {
  ConvShape shape;
  WeightKind kind = WeightKind::kTwoValued;
  int regions = 1;
  bool background = false;
  double density = 0.4;
  int pattern_n = 0, pattern_m = 0;
  bool int8 = true;
  bool real_multiplier = false;  // int8: one rounding in double
  int input_bits = 8;            // int8: below 8, values from the zero point up to 127
};

std::unique_ptr<Case> MakeCase(const CaseOptions& options, std::mt19937& random) {
  auto owned = std::make_unique<Case>();
  Case& c = *owned;
  const ConvShape& s = options.shape;
  PackedFilters& f = c.filters;
  f.kind = options.kind;
  f.out_c = s.out_c;
  f.kernel_h = s.kernel_h;
  f.kernel_w = s.kernel_w;
  f.in_c = s.in_c;
  f.regions = options.regions;
  f.pattern_n = options.pattern_n;
  f.pattern_m = options.pattern_m;
  f.masks.assign(f.planes() * f.out_c * f.mask_row_bytes(), 0);
  const auto set = [&](int plane, int o, size_t k) {
    f.masks[(static_cast<size_t>(plane) * f.out_c + o) * f.mask_row_bytes() + k / 8] |=
        static_cast<uint8_t>(1u << (k % 8));
  };
  std::bernoulli_distribution effectual(options.density), coin(0.5);
  for (int o = 0; o < f.out_c; ++o) {
    for (int tap = 0; tap < f.kernel_h * f.kernel_w; ++tap) {
      int members = 0;
      for (int ch = 0; ch < f.in_c; ++ch) {
        if (options.pattern_m > 0 && ch % options.pattern_m == 0) members = 0;
        if (!effectual(random)) continue;
        if (options.pattern_m > 0 && members++ >= options.pattern_n) continue;
        const int plane = f.planes() == 2 && coin(random) ? 1 : 0;
        set(plane, o, static_cast<size_t>(tap) * f.in_c + ch);
      }
    }
  }
  const size_t count = static_cast<size_t>(f.out_c) * f.regions;
  for (size_t i = 0; i < count; ++i) {
    const bool ternary = f.kind == WeightKind::kTernary;
    if (options.int8) {
      const int a = options.background ? static_cast<int>(random() % 255) - 127 : 0;
      const int b = coin(random) ? 127 : -127;
      if (!ternary) f.values_i8.push_back(static_cast<int8_t>(a));
      f.values_i8.push_back(static_cast<int8_t>(b));
    } else {
      std::normal_distribution<float> normal;
      if (!ternary) f.values_f32.push_back(options.background ? 0.3f * normal(random) : 0.0f);
      f.values_f32.push_back(normal(random));
    }
  }
  OutputStage& out = c.output;
  const size_t inputs = static_cast<size_t>(s.batch) * s.in_h * s.in_w * s.in_c;
  if (options.int8) {
    out.input_zero_point = static_cast<int>(random() % 3) * 64 - 128;  // -128, -64, 0
    if (coin(random)) out.input_zero_point = static_cast<int>(random() % 256) - 128;
    out.output_zero_point = static_cast<int>(random() % 256) - 128;
    if (coin(random)) out.clamp_min_i8 = out.output_zero_point;
    if (coin(random)) {
      for (int o = 0; o < s.out_c; ++o) {
        out.bias_i32.push_back(static_cast<int32_t>(random() % 200001) - 100000);
      }
    }
    const double terms = std::max(1.0, static_cast<double>(s.kernel_h) * s.kernel_w * s.in_c);
    for (int o = 0; o < s.out_c; ++o) {
      // Real multipliers that spread outputs over the int8 range, from 2^-24 to above 1.
      const double real = 60.0 / (127 * 70 * std::sqrt(terms)) * (0.5 + random() % 1000 / 1000.0) *
                          (random() % 8 == 0 ? 300.0 : 1.0);
      int exponent;
      const double fraction = std::frexp(real, &exponent);
      out.multiplier.push_back(
          static_cast<int32_t>(std::min(fraction * 2147483648.0, 2147483647.0)));
      out.shift.push_back(exponent);
      if (options.real_multiplier) out.real_multiplier.push_back(real);
    }
    if (options.real_multiplier) {
      out.multiplier.clear();
      out.shift.clear();
    }
    c.input_i8.resize(inputs);
    for (int8_t& x : c.input_i8) {
      x = static_cast<int8_t>(127 - static_cast<int>(random() % (1u << options.input_bits)));
    }
    if (options.input_bits < 8) {
      out.input_zero_point = 128 - (1 << options.input_bits);
      c.problem.nonnegative = true;
    }
  } else {
    std::normal_distribution<float> normal;
    out.clamp_min_f32 = coin(random) ? 0.0f : -1e30f;
    out.clamp_max_f32 = coin(random) ? 6.0f : 1e30f;
    if (coin(random)) {
      for (int o = 0; o < s.out_c; ++o) out.bias_f32.push_back(normal(random));
    }
    c.input_f32.resize(inputs);
    for (float& x : c.input_f32) x = normal(random);
  }
  c.problem.type = options.int8 ? DataType::kInt8 : DataType::kFloat32;
  c.problem.shape = s;
  c.problem.filters = &c.filters;
  c.problem.output = &c.output;
  return owned;
}

// Calls each(output index, filter, sum of weight * input over the window, sum of magnitudes).
template <typename Sum, typename Value, typename Input, typename Each>
void ForEachOutput(const Case& c, const std::vector<Value>& values, const std::vector<Input>& input,
                   Sum zero_point, Each each) {
  const ConvShape& s = c.problem.shape;
  size_t index = 0;
  for (int n = 0; n < s.batch; ++n) {
    for (int y = 0; y < s.out_h; ++y) {
      for (int x = 0; x < s.out_w; ++x) {
        for (int o = 0; o < s.out_c; ++o, ++index) {
          Sum sum = 0, magnitude = 0;
          for (int dy = 0; dy < s.kernel_h; ++dy) {
            const int in_y = y * s.stride_h + dy * s.dilation_h - s.pad_top;
            if (in_y < 0 || in_y >= s.in_h) continue;
            for (int dx = 0; dx < s.kernel_w; ++dx) {
              const int in_x = x * s.stride_w + dx * s.dilation_w - s.pad_left;
              if (in_x < 0 || in_x >= s.in_w) continue;
              const Input* pixel =
                  &input[((static_cast<size_t>(n) * s.in_h + in_y) * s.in_w + in_x) * s.in_c];
              for (int ch = 0; ch < s.in_c; ++ch) {
                const Sum term = static_cast<Sum>(c.WeightValue(values, o, dy, dx, ch)) *
                                 (static_cast<Sum>(pixel[ch]) - zero_point);
                sum += term;
                magnitude += term < 0 ? -term : term;
              }
            }
          }
          each(index, o, sum, magnitude);
        }
      }
    }
  }
}

// The rule of TensorFlow Lite's reference kernel, in 64 bits and from its definition.
int8_t Requantize(const OutputStage& out, int o, int64_t sum) {
  const auto wrap = [](int64_t x) { return static_cast<int32_t>(static_cast<uint64_t>(x)); };
  int32_t x = wrap(sum + (out.bias_i32.empty() ? 0 : out.bias_i32[o]));
  if (!out.real_multiplier.empty()) {
    const int64_t y = std::llround(x * out.real_multiplier[o]) + out.output_zero_point;
    return static_cast<int8_t>(
        std::min<int64_t>(std::max<int64_t>(y, out.clamp_min_i8), out.clamp_max_i8));
  }
  if (out.shift[o] > 0) x = wrap(static_cast<int64_t>(x) * (int64_t{1} << out.shift[o]));
  const int64_t product = static_cast<int64_t>(x) * out.multiplier[o];
  const int64_t nudge = product >= 0 ? int64_t{1} << 30 : 1 - (int64_t{1} << 30);
  int64_t y = (product + nudge) / (int64_t{1} << 31);
  if (out.shift[o] < 0) {  // to nearest, halves away from zero
    const int64_t divisor = int64_t{1} << -out.shift[o];
    y = y >= 0 ? (y + divisor / 2) / divisor : -((-y + divisor / 2) / divisor);
  }
  y = wrap(y + out.output_zero_point);
  return static_cast<int8_t>(
      std::min<int64_t>(std::max<int64_t>(y, out.clamp_min_i8), out.clamp_max_i8));
}

void ExpectCorrect(const Case& c, ConvKernel& kernel, int threads) {
  const ConvShape& s = c.problem.shape;
  ThreadPool pool(threads);
  const size_t outputs = static_cast<size_t>(s.batch) * s.out_h * s.out_w * s.out_c;
  int failures = 0;
  if (c.problem.type == DataType::kInt8) {
    std::vector<int8_t> got(outputs + 1, 77);
    kernel.Run(c.input_i8.data(), got.data(), pool);
    EXPECT_EQ(got[outputs], 77) << "wrote behind the output";
    ForEachOutput<int64_t>(c, c.filters.values_i8, c.input_i8,
                           static_cast<int64_t>(c.output.input_zero_point),
                           [&](size_t i, int o, int64_t sum, int64_t) {
                             const int want = Requantize(c.output, o, sum);
                             if (got[i] == want || ++failures > 3) return;
                             ADD_FAILURE() << kernel.name() << ": output " << i << " (filter " << o
                                           << ") is " << int{got[i]} << ", not " << want;
                           });
  } else {
    std::vector<float> got(outputs + 1, 77.0f);
    kernel.Run(c.input_f32.data(), got.data(), pool);
    EXPECT_EQ(got[outputs], 77.0f) << "wrote behind the output";
    ForEachOutput<double>(c, c.filters.values_f32, c.input_f32, 0.0,
                          [&](size_t i, int o, double sum, double magnitude) {
                            double bias = c.output.bias_f32.empty() ? 0 : c.output.bias_f32[o];
                            const double want = std::min<double>(
                                std::max<double>(sum + bias, c.output.clamp_min_f32),
                                c.output.clamp_max_f32);
                            const double scale = std::max(1.0, magnitude + std::fabs(bias));
                            if (std::fabs(got[i] - want) <= 1e-5 * scale || ++failures > 3) return;
                            ADD_FAILURE() << kernel.name() << ": output " << i << " (filter " << o
                                          << ") is " << got[i] << ", not " << want;
                          });
  }
}

unsigned Seed() {
  const char* text = std::getenv("TABLE_TEST_SEED");
  return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10))
                         : std::random_device{}();
}

ConvShape MakeShape(int batch, int in_h, int in_w, int in_c, int out_c, int kernel_h, int kernel_w,
                    int stride_h, int stride_w, int dilation_h, int dilation_w, bool same) {
  ConvShape s;
  s.batch = batch;
  s.in_h = in_h;
  s.in_w = in_w;
  s.in_c = in_c;
  s.out_c = out_c;
  s.kernel_h = kernel_h;
  s.kernel_w = kernel_w;
  s.stride_h = stride_h;
  s.stride_w = stride_w;
  s.dilation_h = dilation_h;
  s.dilation_w = dilation_w;
  const auto pad = [&](int in, int kernel, int stride, int dilation, int* out) {
    const int window = dilation * (kernel - 1) + 1;
    if (!same) {
      *out = (in - window) / stride + 1;
      return 0;
    }
    *out = (in + stride - 1) / stride;
    return std::max(0, (*out - 1) * stride + window - in) / 2;
  };
  s.pad_top = pad(in_h, kernel_h, stride_h, dilation_h, &s.out_h);
  s.pad_left = pad(in_w, kernel_w, stride_w, dilation_w, &s.out_w);
  return s;
}

CaseOptions RandomOptions(std::mt19937& random) {
  const auto pick = [&](std::initializer_list<int> values) {
    return values.begin()[random() % values.size()];
  };
  CaseOptions o;
  o.int8 = random() % 2 == 0;
  const int kernel_h = pick({1, 1, 2, 3, 3, 3, 5}), kernel_w = pick({1, 2, 3, 3, 3, 5, 7});
  const int dilation_h = pick({1, 1, 1, 2, 3}), dilation_w = pick({1, 1, 1, 2, 4});
  const bool same = random() % 2 == 0;
  const int min_h = same ? 1 : dilation_h * (kernel_h - 1) + 1;
  const int min_w = same ? 1 : dilation_w * (kernel_w - 1) + 1;
  o.regions = pick({1, 1, 1, 2, 3});
  const int in_c = o.regions * pick({1, 2, 3, 5, 8, 13, 16, 20, 33});
  o.shape = MakeShape(pick({1, 1, 2, 3, 5}), min_h + static_cast<int>(random() % 12),
                      min_w + static_cast<int>(random() % 40), in_c,
                      pick({1, 3, 4, 8, 15, 16, 17, 33}), kernel_h, kernel_w, pick({1, 1, 2, 3}),
                      pick({1, 1, 2, 3}), dilation_h, dilation_w, same);
  o.kind = random() % 3 == 0 ? WeightKind::kTernary : WeightKind::kTwoValued;
  o.background = random() % 2 == 0;
  o.real_multiplier = random() % 4 == 0;
  if (random() % 2 == 0) o.input_bits = pick({1, 2, 3, 4, 4, 5, 6});
  o.density = pick({2, 10, 36, 50, 100}) / 100.0;
  if (random() % 3 == 0) {
    o.pattern_m = pick({7, 8, 10});
    o.pattern_n = pick({2, 3});
  }
  return o;
}

std::string Describe(const CaseOptions& o) {
  const ConvShape& s = o.shape;
  const auto x = [](int a, int b) { return std::to_string(a) + "x" + std::to_string(b); };
  return std::string(o.int8 ? "int8 " : "float ") + std::to_string(s.batch) + "x" +
         x(s.in_h, s.in_w) + "x" + x(s.in_c, s.out_c) + " k" + x(s.kernel_h, s.kernel_w) + " s" +
         x(s.stride_h, s.stride_w) + " d" + x(s.dilation_h, s.dilation_w) + " pad" +
         x(s.pad_top, s.pad_left) + " out" + x(s.out_h, s.out_w) + " regions " +
         std::to_string(o.regions) + (o.kind == WeightKind::kTernary ? " ternary" : "") + " " +
         std::to_string(o.input_bits) + " bits" + (o.background ? " background" : "") +
         " density " + std::to_string(o.density);
}

class TableConvTest : public ::testing::TestWithParam<Isa> {
 protected:
  const TableOps& ops() const { return *table::TableOpsFor(GetParam()); }
  // The planned kernel; null when there is none.
  std::unique_ptr<ConvKernel> MakePlanned(const Case& c, int threads) const {
    const std::vector<Offer> offers = kTableFamily.offers(c.problem, {{GetParam()}, 0});
    return offers.empty() ? nullptr : offers[0].make(threads, /*profile=*/false);
  }
};

std::vector<Isa> TestedIsas() {
  std::vector<Isa> isas;
  for (Isa isa : HostTarget().Isas()) {
    if (table::TableOpsFor(isa) != nullptr) isas.push_back(isa);
  }
  return isas;
}

INSTANTIATE_TEST_SUITE_P(Isas, TableConvTest, ::testing::ValuesIn(TestedIsas()),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

// What the planner chooses, for random layers of every kind.
TEST_P(TableConvTest, PlannedKernelIsCorrect) {
  unsigned seed = Seed();
  for (int i = 0; i < 60; ++i, ++seed) {
    std::mt19937 random(seed);
    const CaseOptions options = RandomOptions(random);
    SCOPED_TRACE("TABLE_TEST_SEED=" + std::to_string(seed) + " " + Describe(options));
    const auto c = MakeCase(options, random);
    const std::vector<Offer> offers = kTableFamily.offers(c->problem, {{GetParam()}, 0});
    ASSERT_EQ(offers.size(), 1u);
    EXPECT_EQ(offers[0].isa, GetParam());
    EXPECT_GT(offers[0].cost_ns, 0);
    const int threads = 1 + static_cast<int>(random() % 2);
    const auto kernel = offers[0].make(threads, /*profile=*/false);
    ASSERT_NE(kernel, nullptr);
    ExpectCorrect(*c, *kernel, threads);
    if (HasFailure()) return;
  }
}

// Every mapping, group size, dictionary and chunking, whatever the planner thinks of it.
TEST_P(TableConvTest, EveryConfigurationIsCorrect) {
  unsigned seed = Seed();
  int tested = 0;
  for (int i = 0; i < 400 && tested < 200; ++i, ++seed) {
    std::mt19937 random(seed);
    const CaseOptions options = RandomOptions(random);
    const auto c = MakeCase(options, random);
    TableConfig config;
    config.bytes = c->problem.nonnegative && ops().u8.max_vectors > 0 && random() % 4 != 0;
    const int max_vectors = config.bytes ? ops().u8.max_vectors : ops().i16.max_vectors;
    config.flat = random() % 3 == 0;
    config.row_vectors = config.flat ? 1 : 1 + static_cast<int>(random() % 5);
    config.rows = 1 + static_cast<int>(random() % (max_vectors / config.row_vectors));
    config.stream.group = 1 + static_cast<int>(random() % 10);
    config.stream.limit = 1 + static_cast<int>(random() % 3);
    if (config.stream.group <= 8 && random() % 2) config.stream.limit = config.stream.group;
    config.stream.skip_zeros = random() % 2;
    config.stream.chunk_groups = 1 + static_cast<int>(random() % 9);
    config.stream.filter_blocks = 1 + static_cast<int>(random() % 3);
    const int span =
        options.shape.dilation_w * (options.shape.kernel_w - 1) / options.shape.stride_w;
    const int lanes = ops().vector_bytes / (config.bytes ? 1 : options.int8 ? 2 : 4);
    if (!config.flat && config.row_vectors * lanes <= span) continue;
    if (!EvaluateTable(c->problem, ops(), config).possible) continue;
    ++tested;
    SCOPED_TRACE("TABLE_TEST_SEED=" + std::to_string(seed) + " " + Describe(options) + " " +
                 config.ToString());
    const auto kernel = MakeTableConv(c->problem, ops(), config, random() % 2 == 0, 1);
    ASSERT_NE(kernel, nullptr);
    ExpectCorrect(*c, *kernel, 1 + static_cast<int>(random() % 3));
    if (HasFailure()) return;
  }
  EXPECT_GE(tested, 100);
}

// 16-bit sums at their limit: all weights effectual, activations at both ends.
TEST_P(TableConvTest, SumsAtTheLimitAreExact) {
  for (const int zero_point : {-128, 0, 127}) {
    for (const int value : {-128, 127}) {
      for (const int channels : {28, 29, 64, 300}) {  // 9 * 28 = 252 <= 257 < 9 * 29
        std::mt19937 random(1);
        CaseOptions options;
        options.shape = MakeShape(1, 4, 9, channels, 5, 3, 3, 1, 1, 1, 1, true);
        options.density = 1.0;
        options.kind = channels == 64 ? WeightKind::kTernary : WeightKind::kTwoValued;
        const auto c = MakeCase(options, random);
        c->output.input_zero_point = zero_point;
        std::fill(c->input_i8.begin(), c->input_i8.end(), static_cast<int8_t>(value));
        for (int32_t& shift : c->output.shift) shift = -16;
        const auto kernel = MakePlanned(*c, 1);
        ASSERT_NE(kernel, nullptr);
        ExpectCorrect(*c, *kernel, 1);
      }
    }
  }
}

// Sums of bytes at the limit of a byte and of 16 bits: all weights effectual, the largest inputs.
TEST_P(TableConvTest, SumsOfBytesAtTheLimitAreExact) {
  if (ops().u8.max_vectors == 0) GTEST_SKIP() << "no tables of bytes";
  int tested = 0;
  for (const int bits : {1, 2, 3, 4, 5, 6}) {
    for (const int channels : {28, 115, 116, 300}) {  // 9 * 63 * 115 = 65205 < 2^16 < 9 * 63 * 116
      for (int group = 1; group <= 10; ++group) {
        std::mt19937 random(1);
        CaseOptions options;
        options.shape = MakeShape(1, 4, 9, channels, 5, 3, 3, 1, 1, 1, 1, true);
        options.density = 1.0;
        options.input_bits = bits;
        options.background = group % 2 == 0;
        options.kind = group == 3 ? WeightKind::kTernary : WeightKind::kTwoValued;
        const auto c = MakeCase(options, random);
        std::fill(c->input_i8.begin(), c->input_i8.end(), int8_t{127});
        TableConfig config;
        config.bytes = true;
        config.rows = 2;
        config.stream.group = group;
        config.stream.limit = group <= 8 ? group : 2;
        config.stream.chunk_groups = 4;
        if (!EvaluateTable(c->problem, ops(), config).possible) continue;
        ++tested;
        SCOPED_TRACE(std::to_string(bits) + " bits, " + std::to_string(channels) + " channels, " +
                     config.ToString());
        const auto kernel = MakeTableConv(c->problem, ops(), config, false, 1);
        ASSERT_NE(kernel, nullptr);
        ExpectCorrect(*c, *kernel, 1);
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_GT(tested, 100);
}

// A kernel so large that one channel overflows a 16-bit sum, and one that no row of lanes covers.
TEST_P(TableConvTest, LargeKernelsAndDilations) {
  std::mt19937 random(7);
  for (const bool int8 : {true, false}) {
    CaseOptions options;
    options.int8 = int8;
    options.density = 0.9;
    options.shape = MakeShape(1, 20, 20, 3, 4, 19, 17, 1, 1, 1, 1, true);
    auto c = MakeCase(options, random);
    auto kernel = MakePlanned(*c, 1);
    ASSERT_NE(kernel, nullptr);
    ExpectCorrect(*c, *kernel, 1);
    options.shape = MakeShape(1, 30, 33, 5, 4, 3, 3, 1, 1, 18, 18, true);
    c = MakeCase(options, random);
    kernel = MakePlanned(*c, 1);
    ASSERT_NE(kernel, nullptr);
    ExpectCorrect(*c, *kernel, 1);
  }
}

TEST_P(TableConvTest, FullyConnected) {
  std::mt19937 random(13);
  for (const bool int8 : {true, false}) {
    for (const int rows : {1, 3, 40}) {
      CaseOptions options;
      options.int8 = int8;
      options.real_multiplier = true;
      options.background = rows == 3;
      options.shape = MakeShape(rows, 1, 1, 300, 70, 1, 1, 1, 1, 1, 1, false);
      const auto c = MakeCase(options, random);
      const auto kernel = MakePlanned(*c, 1);
      ASSERT_NE(kernel, nullptr);
      ExpectCorrect(*c, *kernel, 1);
    }
  }
}

TEST_P(TableConvTest, ResultsDoNotDependOnThreads) {
  std::mt19937 random(11);
  CaseOptions options;
  options.int8 = false;
  options.shape = MakeShape(1, 14, 14, 48, 40, 3, 3, 1, 1, 1, 1, true);
  const auto c = MakeCase(options, random);
  std::vector<std::vector<float>> results;
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadPool pool(threads);
    const auto kernel = MakePlanned(*c, threads);
    ASSERT_NE(kernel, nullptr);
    results.emplace_back(static_cast<size_t>(14) * 14 * 40);
    kernel->Run(c->input_f32.data(), results.back().data(), pool);
    EXPECT_EQ(results.back(), results.front()) << threads << " threads, " << kernel->name();
  }
}

TEST_P(TableConvTest, PreparedWeightsAreSmallerThanInt8) {
  std::mt19937 random(5);
  for (const double density : {0.05, 0.36, 1.0}) {
    CaseOptions options;
    options.density = density;
    options.shape = MakeShape(1, 14, 14, 128, 128, 3, 3, 1, 1, 1, 1, true);
    const auto c = MakeCase(options, random);
    const auto kernel = MakePlanned(*c, 1);
    ASSERT_NE(kernel, nullptr);
    EXPECT_LT(kernel->prepared_weight_bytes(), static_cast<size_t>(128) * 128 * 9)
        << kernel->name() << " density " << density;
  }
}

}  // namespace
}  // namespace tf_signbin

// The memory-table kernels against a plain computation from the definition: int8 bit for bit,
// float within 1e-5 of float64. Every case is drawn from a seed that a failure prints; replay with
// TABLE_TEST_SEED=<seed>.
#include "engine/kernels/table/table_conv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/families.h"
#include "engine/kernels/table/filter_values.h"
#include "engine/kernels/table/planner.h"
#include "engine/kernels/table/table_ops.h"
#include "tests/table_case.h"

namespace tf_signbin {
namespace {

using table::TableConfig;
using table::TableOps;

unsigned Seed() {
  const char* text = std::getenv("TABLE_TEST_SEED");
  return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10))
                         : std::random_device{}();
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

// Whether the outputs of a layer, cut into segments as by `config`, have a rule in floats.
bool HasFloats(const Case& c, const TableConfig& config) {
  const table::Geometry geometry = config.MakeGeometry(c.problem.shape, 16);
  const table::Streams streams(c.filters, geometry, config.stream,
                               {2, 2, c.problem.least_input(), c.problem.most_input()});
  const table::FilterValues<int16_t> values(c.problem, streams.segments(), /*takes_floats=*/true);
  return !values.floats.empty();
}

// Layers that are large enough for outputs by floats (FilterValues::floats), with one segment of
// sums and with several; more filters than are written at a time, tiles of several and of parts of
// rows.
TEST_P(TableConvTest, ManyPixelsAndFilters) {
  unsigned seed = Seed();
  int with_floats = 0, int8_layers = 0;
  for (int i = 0; i < 24; ++i, ++seed) {
    std::mt19937 random(seed);
    CaseOptions options;
    options.int8 = i % 4 != 0;
    options.kind = i % 3 == 0 ? WeightKind::kTernary : WeightKind::kTwoValued;
    options.background = i % 3 == 1;
    options.input_bits = i % 6 == 1 ? 4 : 8;
    options.density = 0.4;
    options.steep = i % 8 == 7;
    const int kernel = i % 2 == 0 ? 1 : 3, stride = 1 + i % 5 / 4;
    const int channels = (i % 7 < 3 ? 80 : 8) + static_cast<int>(random() % 30);
    options.shape =
        MakeShape(1 + i % 2, 14 * stride + static_cast<int>(random() % 4),
                  14 * stride + static_cast<int>(random() % 9), channels,
                  60 + static_cast<int>(random() % 80), kernel, kernel, stride, stride, 1, 1, true);
    SCOPED_TRACE("TABLE_TEST_SEED=" + std::to_string(seed) + " " + Describe(options));
    const auto c = MakeCase(options, random);
    const auto kernel_of_layer = MakePlanned(*c, 1);
    ASSERT_NE(kernel_of_layer, nullptr);
    ExpectCorrect(*c, *kernel_of_layer, 1);
    TableConfig flat;
    flat.flat = true;
    flat.rows = 1 + static_cast<int>(random() % 5);
    flat.stream.group = 3;
    flat.stream.limit = 3;
    flat.stream.chunk_groups = 2;
    const auto flat_kernel = table::MakeTableConv(c->problem, ops(), flat, false, 1);
    ASSERT_NE(flat_kernel, nullptr);
    ExpectCorrect(*c, *flat_kernel, 1);
    if (HasFailure()) return;
    int8_layers += options.int8;
    with_floats += options.int8 && HasFloats(*c, flat);
  }
  EXPECT_GE(with_floats, int8_layers / 2);
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

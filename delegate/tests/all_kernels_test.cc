// Every kernel family, ISA, core, group size and thread count against the reference kernel (which
// the Python tests hold against TensorFlow Lite). A failure prints its seed; replay it with
// TF_SIGNBIN_SEED=<seed>.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/conv.h"
#include "engine/planner.h"
#include "tests/random_layer.h"
#include "tests/run_kernel.h"
#include "tests/targets.h"

namespace tf_signbin {
namespace {

// Sum of |weight * input| of each output: what a float result's error is relative to.
std::vector<float> Magnitudes(RandomLayer layer, ThreadPool* pool) {
  for (float& value : layer.filters.values_f32) value = std::abs(value);
  for (float& value : layer.input_f32) value = std::abs(value);
  if (layer.filters.kind == WeightKind::kTernary) {  // -s becomes +s
    PackedFilters& f = layer.filters;
    const size_t plane = f.masks.size() / 2;
    for (size_t i = 0; i < plane; ++i) f.masks[i] |= f.masks[plane + i], f.masks[plane + i] = 0;
  }
  for (float& value : layer.output.bias_f32) value = std::abs(value);
  layer.output.clamp_min_f32 = -INFINITY;
  layer.output.clamp_max_f32 = INFINITY;
  PlanOptions reference;
  reference.family = "reference";
  return RunKernel<float>(layer, reference, pool);
}

void ExpectSame(const std::vector<int8_t>& actual, const std::vector<int8_t>& expected,
                const std::vector<float>&) {
  EXPECT_EQ(actual, expected);
}

void ExpectSame(const std::vector<float>& actual, const std::vector<float>& expected,
                const std::vector<float>& magnitudes) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_LE(std::abs(actual[i] - expected[i]), 1e-5f * magnitudes[i] + 1e-30f)
        << "output " << i << ": " << actual[i] << ", not " << expected[i];
  }
}

template <typename T>
void CompareAll(const RandomLayer& layer, ThreadPool* one, ThreadPool* three) {
  PlanOptions reference;
  reference.family = "reference";
  const std::vector<T> expected = RunKernel<T>(layer, reference, one);
  std::vector<float> magnitudes;
  if (layer.type == DataType::kFloat32) magnitudes = Magnitudes(layer, one);
  ForEachTarget([&](const Target& target, bool own) {
    const ConvProblem problem{layer.type, layer.shape, &layer.filters, &layer.output, target};
    for (int group = 0; group <= 10; ++group) {
      for (const std::string& isa : target.IsaNames()) {
        PlanOptions options;
        options.isa = isa;
        options.group = group;
        for (const Candidate& candidate : Candidates(problem, options)) {
          options.family = candidate.family->name;
          if (options.family == reference.family) continue;
          if (!own && options.family != "permute") continue;  // the same for every core
          std::string name;
          SCOPED_TRACE("kernel " + options.family + ", isa " + isa + ", group " +
                       std::to_string(group));
          const std::vector<T> actual = RunKernel<T>(layer, options, one, &name, target);
          ExpectSame(actual, expected, magnitudes);
          EXPECT_EQ(RunKernel<T>(layer, options, three, nullptr, target), actual)
              << "three threads, " << name;
          if (testing::Test::HasFailure()) return;
        }
      }
    }
  });
}

class AllKernels : public testing::TestWithParam<DataType> {};

TEST_P(AllKernels, EqualReference) {
  ThreadPool one(1), three(3);
  for (const uint64_t seed : Seeds(150)) {
    const RandomLayer layer = MakeRandomLayer(GetParam(), seed);
    SCOPED_TRACE("TF_SIGNBIN_SEED=" + std::to_string(seed) + ": " + layer.Describe());
    if (GetParam() == DataType::kFloat32) {
      CompareAll<float>(layer, &one, &three);
    } else {
      CompareAll<int8_t>(layer, &one, &three);
    }
    if (HasFailure()) return;
  }
}

// Costs of different instruction sets are measured on different machines and must fit together.
TEST_P(AllKernels, PortableCodeIsOnlyForOtherProcessors) {
  if (SupportedIsas().size() == 1) GTEST_SKIP() << "nothing but portable code runs here";
  Rng rng(1);
  RandomLayer layer = MakeRandomLayer(GetParam(), 1);
  PackedFilters& filters = layer.filters;
  filters = {};
  filters.out_c = filters.in_c = 64;
  filters.kernel_h = filters.kernel_w = 3;
  filters.masks.resize(filters.out_c * filters.mask_row_bytes());
  for (uint8_t& byte : filters.masks)
    byte = static_cast<uint8_t>(rng.Int(0, 255) & rng.Int(0, 255));
  for (int filter = 0; filter < filters.out_c; ++filter) {
    for (const int value : {0, filter % 2 ? 1 : -1}) {
      if (GetParam() == DataType::kFloat32) filters.values_f32.push_back(static_cast<float>(value));
      if (GetParam() == DataType::kInt8) filters.values_i8.push_back(static_cast<int8_t>(value));
    }
  }
  layer.shape = {};
  layer.shape.in_c = layer.shape.out_c = 64;
  layer.shape.kernel_h = layer.shape.kernel_w = 3;
  layer.shape.pad_top = layer.shape.pad_left = 1;
  for (const int size : {7, 14, 56}) {
    layer.shape.in_h = layer.shape.in_w = layer.shape.out_h = layer.shape.out_w = size;
    const ConvProblem problem{layer.type, layer.shape, &filters, &layer.output};
    const std::vector<Candidate> candidates = Candidates(problem, {});
    ASSERT_FALSE(candidates.empty());
    EXPECT_NE(candidates[0].offer.isa, Isa::kPortable) << size << "x" << size;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, AllKernels, testing::Values(DataType::kFloat32, DataType::kInt8),
                         [](const auto& info) {
                           return info.param == DataType::kFloat32 ? "Float32" : "Int8";
                         });

}  // namespace
}  // namespace tf_signbin

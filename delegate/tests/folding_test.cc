// Sums over a filter's packed weights against those over the weights themselves. A failure prints
// its seed; replay it with TF_SIGNBIN_SEED=<seed>.
#include "engine/kernels/output/folding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/unpack.h"
#include "tests/random_layer.h"

namespace tf_signbin {
namespace {

void ExpectFolded(const PackedFilters& filters, const OutputStage& stage) {
  const size_t count = filters.weights_per_filter();
  std::vector<int8_t> weights(count);
  for (int filter = 0; filter < filters.out_c; ++filter) {
    UnpackFilter(filters, filters.values_i8, filter, weights.data());
    int64_t positive = 0, negative = 0, of_zeros = 0, least = 0, most = 0;
    for (const int w : weights) {
      (w > 0 ? positive : negative) += std::abs(w);
      of_zeros += w * (0 - stage.input_zero_point);  // what an input of 0 adds
      least += std::min(w * -128, w * 127);
      most += std::max(w * -128, w * 127);
    }
    const WeightTotals totals = TotalsOf(filters, filter);
    EXPECT_EQ(totals.positive, positive) << "filter " << filter;
    EXPECT_EQ(totals.negative, negative) << "filter " << filter;
    const int64_t bias = stage.bias_i32.empty() ? 0 : stage.bias_i32[filter];
    EXPECT_EQ(output::FoldedBias(stage, filter, totals), bias + of_zeros) << "filter " << filter;
    const FilterSums sums = output::SumsOf(totals, 1, bias, -128, 127);
    EXPECT_EQ(sums.least, least) << "filter " << filter;
    EXPECT_EQ(sums.most, most) << "filter " << filter;
  }
}

TEST(Folding, EqualsTheSumsOfTheWeights) {
  for (const uint64_t seed : Seeds(300)) {
    const RandomLayer layer = MakeRandomLayer(DataType::kInt8, seed);
    SCOPED_TRACE("TF_SIGNBIN_SEED=" + std::to_string(seed) + " " + layer.Describe());
    ExpectFolded(layer.filters, layer.output);
    PackedFilters dense = layer.filters;  // the same weights, one by one
    dense.kind = WeightKind::kDense;
    dense.regions = 1;
    dense.masks.clear();
    dense.values_i8.resize(dense.out_c * dense.weights_per_filter());
    for (int f = 0; f < dense.out_c; ++f) {
      UnpackFilter(layer.filters, layer.filters.values_i8, f,
                   &dense.values_i8[f * dense.weights_per_filter()]);
    }
    ExpectFolded(dense, layer.output);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace tf_signbin

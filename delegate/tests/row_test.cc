// The row family against the reference kernel, on fully connected layers. A failure prints its
// seed; replay it with TF_SIGNBIN_SEED=<seed>.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/random_layer.h"
#include "tests/run_kernel.h"

namespace tf_signbin {
namespace {

RandomLayer RandomRow(uint64_t seed) {
  Rng rng(seed);
  RandomLayer layer;
  layer.type = DataType::kInt8;
  layer.filters.regions = rng.Chance(0.7) ? 1 : rng.Int(2, 4);
  ConvShape& s = layer.shape;
  // Up to several pieces of a row, which has tables of 2048 channels at a time.
  const int channels = rng.Chance(0.2) ? rng.Int(1900, 4300) : rng.Int(1, 200);
  s.in_c = layer.filters.regions * std::max(1, channels / layer.filters.regions);
  s.out_c = rng.Int(1, rng.Chance(0.2) ? 200 : 70);
  s.batch = rng.Chance(0.6) ? 1 : rng.Int(2, 5);
  FillFilters(rng, &layer);
  FillOutputStage(rng, &layer);
  FillInput(rng, &layer);
  if (rng.Chance(0.3)) {  // halves, which rounding is about
    OutputStage& o = layer.output;
    o.multiplier.clear();
    o.shift.clear();
    o.real_multiplier.clear();
    for (int i = 0; i < s.out_c; ++i) o.real_multiplier.push_back(1.0 / (1 << rng.Int(1, 12)));
  }
  return layer;
}

// Those of this machine that the family has kernels for.
std::vector<Isa> RowIsas() {
  std::vector<Isa> isas;
  for (const Isa isa : HostTarget().Isas()) {
    if (isa == Isa::kAvx2 || isa == Isa::kAvxVnni) isas.push_back(isa);
  }
  return isas;
}

TEST(Row, EqualsReferenceOnRandomLayers) {
  if (!HostTarget().Has(feature::kAvx2)) GTEST_SKIP() << "needs AVX2";
  PlanOptions reference, row;
  reference.family = "reference";
  row.family = "row";
  ThreadPool one(1);
  for (const uint64_t seed : Seeds(600)) {
    const RandomLayer layer = RandomRow(seed);
    SCOPED_TRACE("TF_SIGNBIN_SEED=" + std::to_string(seed) + ": " + layer.Describe());
    const auto expected = RunKernel<int8_t>(layer, reference, &one);
    for (const Isa isa : RowIsas()) {
      row.isa = IsaName(isa);
      std::string name;
      EXPECT_EQ(RunKernel<int8_t>(layer, row, &one, &name), expected);
      EXPECT_EQ(name, std::string("row_") + IsaName(isa) + "_i8_m4");
      ThreadPool several(2 + static_cast<int>(seed % 3));
      EXPECT_EQ(RunKernel<int8_t>(layer, row, &several), expected) << several.threads();
    }
    if (HasFailure()) return;
  }
}

// All activations and all bits at their largest: no sum of bytes or of 16 bits may overflow.
TEST(Row, BearsTheLargestSums) {
  if (!HostTarget().Has(feature::kAvx2)) GTEST_SKIP() << "needs AVX2";
  PlanOptions reference, row;
  reference.family = "reference";
  row.family = "row";
  ThreadPool one(1);
  RandomLayer layer = RandomRow(1);
  layer.filters.regions = 1;
  layer.shape.batch = 2;
  layer.shape.in_c = 5000;
  layer.shape.out_c = 40;
  for (const int value : {-128, 127}) {
    PackedFilters& f = layer.filters;
    f.kind = WeightKind::kTwoValued;
    f.pattern_n = f.pattern_m = 0;
    f.in_c = layer.shape.in_c;
    f.out_c = layer.shape.out_c;
    f.masks.assign(f.out_c * f.mask_row_bytes(), 0xff);
    f.values_i8.clear();
    for (int filter = 0; filter < f.out_c; ++filter) {
      f.values_i8.push_back(static_cast<int8_t>(filter % 2 ? 127 : -127));
      f.values_i8.push_back(static_cast<int8_t>(filter % 2 ? -127 : 127));
    }
    layer.output = OutputStage();
    layer.output.input_zero_point = 3;
    layer.output.real_multiplier.assign(f.out_c, 1e-6);
    layer.input_i8.assign(layer.shape.batch * f.in_c, static_cast<int8_t>(value));
    for (const Isa isa : RowIsas()) {
      row.isa = IsaName(isa);
      EXPECT_EQ(RunKernel<int8_t>(layer, row, &one), RunKernel<int8_t>(layer, reference, &one));
    }
  }
}

}  // namespace
}  // namespace tf_signbin

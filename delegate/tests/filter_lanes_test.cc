// Float rescaling against TensorFlow Lite's rules. A failure prints its seed; replay it with
// TF_SIGNBIN_SEED=<seed>.
#include "engine/kernels/output/filter_lanes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <string>

#include "engine/kernels/output/tflite_rules.h"
#include "tests/random_layer.h"

namespace tf_signbin {
namespace {

struct Case {
  OutputStage output;
  FilterSums sums;
};

// Rescaling as layers have it: the largest sums reach the output's range a few times over.
Case RandomCase(uint64_t seed) {
  Rng rng(seed);
  Case c;
  const int64_t most = static_cast<int64_t>(std::exp2(4 + 16 * rng.Real()));
  c.sums.least = -most + rng.Int(0, 3);
  c.sums.most = most - rng.Int(0, 3);
  c.sums.d = rng.Chance(0.5) ? 1 : rng.Int(2, 127);
  const double step = 255 * (0.3 + 3 * rng.Real()) / static_cast<double>(2 * most);
  c.sums.bias = static_cast<int64_t>((rng.Real() - 0.5) * static_cast<double>(most * c.sums.d));
  const double scale = step / c.sums.d;
  if (rng.Chance(0.3)) {
    c.output.real_multiplier = {scale};
  } else {
    int shift;
    const double mantissa = rng.Chance(0.1) ? 0.5 : std::frexp(scale, &shift);
    std::frexp(scale, &shift);
    c.output.multiplier = {static_cast<int32_t>(std::min(std::ldexp(mantissa, 31), 0x7fffffffp0))};
    c.output.shift = {shift};
  }
  c.output.output_zero_point = rng.Int(-128, 127);
  const bool relu = rng.Chance(0.5);
  c.output.clamp_min_i8 = relu ? c.output.output_zero_point : -128;
  c.output.clamp_max_i8 = rng.Chance(0.8) ? 127 : std::max(rng.Int(0, 127), c.output.clamp_min_i8);
  return c;
}

int Exact(const Case& c, int64_t sum) {
  const int32_t x = static_cast<int32_t>(c.sums.d * sum + c.sums.bias);
  const int32_t scaled =
      c.output.real_multiplier.empty()
          ? MultiplyByQuantizedMultiplier(x, c.output.multiplier[0], c.output.shift[0])
          : MultiplyByRealMultiplier(x, c.output.real_multiplier[0]);
  return std::clamp(AddZeroPoint(scaled, c.output.output_zero_point), c.output.clamp_min_i8,
                    c.output.clamp_max_i8);
}

// The formula as the vector code computes it; the caller has set rounding down.
int InFloat(const Case& c, const FloatRescale& r, int64_t sum) {
  const volatile float x = static_cast<float>(sum);
  const bool signs = c.output.clamp_min_i8 < c.output.output_zero_point;
  const float offset = signs && sum < r.split ? r.negative_offset : r.offset;
  const volatile float inner = std::fma(x, r.correction, offset);
  const volatile float y = std::fma(x, r.scale, inner);
  return std::clamp(static_cast<int>(std::floor(y)) + r.addend, c.output.clamp_min_i8,
                    c.output.clamp_max_i8);
}

TEST(FloatRescale, EqualsTheExactRuleForEverySum) {
  int found = 0, cases = 0;
  for (const uint64_t seed : Seeds(2000)) {
    const Case c = RandomCase(seed);
    SCOPED_TRACE("TF_SIGNBIN_SEED=" + std::to_string(seed));
    FloatRescale rescale;
    ++cases;
    if (!FindFloatRescale(c.output, 0, c.sums, &rescale)) continue;
    ++found;
    // All sums where there are few, else those around each step and some others.
    const int64_t span = c.sums.most - c.sums.least, stride = std::max<int64_t>(1, span / 20000);
    std::fesetround(FE_DOWNWARD);
    int64_t wrong = c.sums.most + 1;
    int before = Exact(c, c.sums.least);
    for (int64_t sum = c.sums.least; sum <= c.sums.most; sum += stride) {
      if (InFloat(c, rescale, sum) != Exact(c, sum)) wrong = sum;
      if (const int now = Exact(c, sum); now != before) {
        for (int64_t near = std::max(sum - stride, c.sums.least); near <= sum; ++near) {
          if (InFloat(c, rescale, near) != Exact(c, near)) wrong = near;
        }
        before = now;
      }
    }
    std::fesetround(FE_TONEAREST);
    ASSERT_GT(wrong, c.sums.most) << "sum " << wrong << ": " << Exact(c, wrong);
  }
  if (cases > 1) {
    EXPECT_GT(found, cases * 9 / 10);
  }
}

TEST(FloatRescale, RefusesWhatItCannotExpress) {
  OutputStage output;
  output.multiplier = {1 << 30};
  output.shift = {1};  // shifts left, and may wrap
  FloatRescale rescale;
  EXPECT_FALSE(FindFloatRescale(output, 0, {1, 0, -100, 100}, &rescale));
  output.shift = {-8};
  EXPECT_TRUE(FindFloatRescale(output, 0, {1, 0, -100, 100}, &rescale));
  EXPECT_FALSE(FindFloatRescale(output, 0, {1, 0, -(1 << 24), 100}, &rescale));
  EXPECT_FALSE(FindFloatRescale(output, 0, {1, 1 << 30, -100, 100}, &rescale));
}

}  // namespace
}  // namespace tf_signbin

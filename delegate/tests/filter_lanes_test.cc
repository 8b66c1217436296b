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

// Rescaling as layers have it: the largest sums reach the output's range a few times over, or, of
// `large` ones, at least some times before floats cease to hold them.
Case RandomCase(uint64_t seed, bool large) {
  Rng rng(seed);
  Case c;
  const int64_t most =
      static_cast<int64_t>(std::exp2(large ? 23 + 6 * rng.Real() : 4 + 16 * rng.Real()));
  c.sums.least = rng.Chance(0.8) ? -most + rng.Int(0, 3) : -100;
  c.sums.most = most - rng.Int(0, 3);
  c.sums.d = large || rng.Chance(0.5) ? 1 : rng.Int(2, 127);
  const double reach = large ? std::exp2(8 * rng.Real()) : 0.3 + 3 * rng.Real();
  const double step = 255 * reach / static_cast<double>(2 * most);
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

// Whether there are floats for the case, which then give the exact rule's outputs.
bool EqualsTheExactRule(const Case& c) {
  FloatRescale rescale;
  if (!FindFloatRescale(c.output, 0, c.sums, &rescale)) return false;
  // All sums where there are few, else those around each step and some others.
  const int64_t span = c.sums.most - c.sums.least, stride = std::max<int64_t>(1, span / 20000);
  std::fesetround(FE_DOWNWARD);
  int64_t wrong = c.sums.most + 1;
  const auto check = [&](int64_t sum) {
    if (InFloat(c, rescale, sum) != Exact(c, sum)) wrong = sum;
  };
  for (int64_t sum = c.sums.least; sum <= c.sums.most; sum += stride) {
    check(sum);
    const int64_t next = std::min(sum + stride, c.sums.most);
    const int begin = Exact(c, sum), end = Exact(c, next);
    for (int y = begin + 1; y <= end; ++y) {
      int64_t below = sum, first = next;  // of the first sum that gives y
      while (first - below > 1) {
        const int64_t middle = (below + first) / 2;
        (Exact(c, middle) >= y ? first : below) = middle;
      }
      for (int64_t near = below - 1; near <= first + 1; ++near) {
        if (near >= c.sums.least && near <= c.sums.most) check(near);
      }
    }
  }
  check(c.sums.most);
  std::fesetround(FE_TONEAREST);
  EXPECT_GT(wrong, c.sums.most) << "sum " << wrong << ": " << Exact(c, wrong);
  return true;
}

TEST(FloatRescale, EqualsTheExactRuleForEverySum) {
  int cases = 0, found = 0, found_of_large = 0;
  for (const uint64_t seed : Seeds(2000)) {
    SCOPED_TRACE("TF_SIGNBIN_SEED=" + std::to_string(seed));
    ++cases;
    found += EqualsTheExactRule(RandomCase(seed, false));
    found_of_large += EqualsTheExactRule(RandomCase(seed, true));
    ASSERT_FALSE(HasFailure());
  }
  if (cases > 1) {
    EXPECT_GT(found, cases * 9 / 10);
    EXPECT_GT(found_of_large, cases / 3);
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
  // Sums that are no floats, far beyond the clamp; within it; sums that wrap.
  EXPECT_TRUE(FindFloatRescale(output, 0, {1, 0, -(1 << 24), 100}, &rescale));
  output.shift = {-20};
  EXPECT_FALSE(FindFloatRescale(output, 0, {1, 0, -(1 << 24), 100}, &rescale));
  output.shift = {-8};
  EXPECT_FALSE(FindFloatRescale(output, 0, {1, 0, -100, int64_t{1} << 31}, &rescale));
  EXPECT_FALSE(FindFloatRescale(output, 0, {1, -(1 << 20), -100, int64_t{1} << 31}, &rescale));
  EXPECT_FALSE(FindFloatRescale(output, 0, {1, 1 << 30, -100, 100}, &rescale));
}

}  // namespace
}  // namespace tf_signbin

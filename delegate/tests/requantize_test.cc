#include "engine/requantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/kernels/output/tflite_rules.h"
#include "engine/target.h"
#include "tests/random_layer.h"
#include "tflite/quantization.h"

namespace tf_signbin {
namespace {

// TFLite's rule for one activation, with scales and zero points as residual networks have them.
struct Case {
  double scale;  // of the input over the output's
  int in_zero_point, out_zero_point, least, most;

  ByteMap Map() const {
    int32_t multiplier, shift;
    QuantizeMultiplier(scale, &multiplier, &shift);
    ByteMap map;
    for (int x = -128; x < 128; ++x) {
      const int32_t y = MultiplyByQuantizedMultiplier(x - in_zero_point, multiplier, shift);
      map[x + 128] = static_cast<int8_t>(std::clamp(AddZeroPoint(y, out_zero_point), least, most));
    }
    return map;
  }
};

Case RandomCase(Rng* rng) {
  Case c;
  c.scale = std::exp2(rng->Int(-7000, 1000) * 1e-3);
  c.in_zero_point = rng->Chance(0.5) ? -128 : rng->Int(-128, 127);
  const int bits = rng->Int(2, 8);
  c.out_zero_point = rng->Chance(0.8) ? 128 - (1 << bits) : rng->Int(-128, 127);
  c.least = rng->Chance(0.8) ? c.out_zero_point : -128;
  c.most = 127;
  return c;
}

std::vector<int8_t> AllActivations(size_t count) {
  std::vector<int8_t> x(count);
  for (size_t i = 0; i < count; ++i) x[i] = static_cast<int8_t>(i);
  return x;
}

TEST(Requantize, EqualsTheReferenceOnEveryActivation) {
  ThreadPool one(1), three(3);
  int found = 0, cases = 0;
  for (const uint64_t seed : Seeds(400)) {
    Rng rng(seed);
    const Case c = RandomCase(&rng);
    const ByteMap map = c.Map();
    const auto params = FindRequantization(map, c.scale);
    ++cases;
    if (!params) continue;  // left to the runtime
    ++found;
    for (const std::string& isa : HostTarget().IsaNames()) {
      SCOPED_TRACE("TF_SIGNBIN_SEED=" + std::to_string(seed) + ", " + isa);
      PlanOptions options;
      options.isa = isa;
      const Requantization requantization(*params, options);
      EXPECT_EQ(requantization.vectorized(), isa != "portable");
      for (const size_t count : {size_t{1}, size_t{255}, size_t{300}, size_t{100000}}) {
        const std::vector<int8_t> x = AllActivations(count);
        std::vector<int8_t> y(count + 1, 77), z(count + 1, 77);
        requantization.Run(x.data(), count, y.data(), one);
        requantization.Run(x.data(), count, z.data(), three);
        EXPECT_EQ(z, y);
        EXPECT_EQ(y[count], 77);
        for (size_t i = 0; i < count; ++i) {
          ASSERT_EQ(y[i], map[static_cast<uint8_t>(x[i]) ^ 0x80]) << static_cast<int>(x[i]);
        }
      }
    }
    if (HasFailure()) return;
  }
  if (cases > 1) {
    EXPECT_GE(found, cases * 9 / 10);
  }
}

// What residual networks ask for: a stream of 8 bits without a sign to inputs of a few bits.
TEST(Requantize, IsFoundForEveryScaleOfAResidualStream) {
  for (const int bits : {3, 4, 5, 6}) {
    const int levels = (1 << bits) - 1;
    for (int i = 0; i < 400; ++i) {
      // Clips from a quarter of the stream's range to the whole of it.
      const double scale = levels / 255.0 * std::exp2(i / 200.0);
      const Case c{scale, -128, 127 - levels, 127 - levels, 127};
      EXPECT_TRUE(FindRequantization(c.Map(), scale)) << bits << " bits, scale " << scale;
    }
  }
}

TEST(Requantize, RefusesWhatIsNoScaling) {
  ByteMap map = Case{0.1, -128, 112, 112, 127}.Map();
  std::reverse(map.begin(), map.end());
  EXPECT_FALSE(FindRequantization(map, 0.1));
  EXPECT_FALSE(FindRequantization(map, std::nan("")));
  EXPECT_FALSE(FindRequantization(map, 1e30));
}

}  // namespace
}  // namespace tf_signbin

// Packing dense filters by value, held against the dense filters.
#include "engine/detect.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/validate.h"
#include "tests/random_layer.h"

namespace tf_signbin {
namespace {

// Weights of a packed layer in the order of a builtin filter: [O, KH, KW, I].
template <typename T>
std::vector<T> Unpack(const PackedFilters& f, const std::vector<T>& values) {
  std::vector<T> weights;
  for (int filter = 0; filter < f.out_c; ++filter) {
    for (size_t k = 0; k < f.weights_per_filter(); ++k) {
      const int region = static_cast<int>(k % f.in_c) / (f.in_c / f.regions);
      const T* v = &values[(filter * f.regions + region) * f.values_per_region()];
      if (f.kind == WeightKind::kTwoValued) {
        weights.push_back(v[f.bit(0, filter, k)]);
      } else {
        weights.push_back(static_cast<T>(v[0] * (f.bit(0, filter, k) - f.bit(1, filter, k))));
      }
    }
  }
  return weights;
}

PackedFilters Geometry(const PackedFilters& f) {
  PackedFilters g;
  g.out_c = f.out_c;
  g.kernel_h = f.kernel_h;
  g.kernel_w = f.kernel_w;
  g.in_c = f.in_c;
  return g;
}

template <typename T>
class PackByValueTest : public testing::Test {
 public:
  static constexpr DataType kType =
      std::is_same<T, float>::value ? DataType::kFloat32 : DataType::kInt8;
  static const std::vector<T>& Values(const PackedFilters& f) {
    if constexpr (std::is_same<T, float>::value) {
      return f.values_f32;
    } else {
      return f.values_i8;
    }
  }
};
using Types = testing::Types<float, int8_t>;
TYPED_TEST_SUITE(PackByValueTest, Types);

TYPED_TEST(PackByValueTest, GivesTheSameWeights) {
  int packed_layers = 0;
  for (const uint64_t seed : Seeds(400)) {
    const RandomLayer layer = MakeRandomLayer(TestFixture::kType, seed);
    SCOPED_TRACE("TF_SIGNBIN_SEED=" + std::to_string(seed) + ": " + layer.Describe());
    const std::vector<TypeParam> weights =
        Unpack(layer.filters, TestFixture::Values(layer.filters));
    PackedFilters packed = Geometry(layer.filters);
    if (!PackByValue(weights.data(), &packed)) continue;
    ++packed_layers;
    EXPECT_EQ(CheckFilters(TestFixture::kType, packed).message(), "");
    const std::vector<TypeParam> again = Unpack(packed, TestFixture::Values(packed));
    ASSERT_EQ(again.size(), weights.size());
    for (size_t i = 0; i < weights.size(); ++i) {
      // Equal, but for a float mean's last bit.
      ASSERT_LE(std::abs(again[i] - weights[i]), 1e-7 * std::abs(weights[i])) << i;
    }
    EXPECT_LE(packed.masks.size(), weights.size() * sizeof(TypeParam));
  }
  if (std::getenv("TF_SIGNBIN_SEED") == nullptr) {
    EXPECT_GT(packed_layers, 300);
  }
}

template <typename T>
PackedFilters OneFilter(const std::vector<T>& weights, bool* packed) {
  PackedFilters f;
  f.out_c = 1;
  f.in_c = static_cast<int>(weights.size());
  *packed = PackByValue(weights.data(), &f);
  return f;
}

std::vector<int8_t> Repeat(std::vector<int8_t> block, int times) {
  std::vector<int8_t> all;
  for (int i = 0; i < times; ++i) all.insert(all.end(), block.begin(), block.end());
  return all;
}

TEST(PackByValue, ChoosesBackgroundAndEffectualValue) {
  bool packed;
  PackedFilters f = OneFilter(Repeat({0, -127, -127}, 8), &packed);
  ASSERT_TRUE(packed);
  EXPECT_EQ(f.values_i8, (std::vector<int8_t>{0, -127}));  // a zero is always the background
  f = OneFilter(Repeat({30, 127, 127}, 8), &packed);
  ASSERT_TRUE(packed);
  EXPECT_EQ(f.values_i8, (std::vector<int8_t>{127, 30}));  // the rarer value is effectual
  f = OneFilter(Repeat({0}, 24), &packed);
  ASSERT_TRUE(packed);
  EXPECT_EQ(f.masks, (std::vector<uint8_t>{0, 0, 0}));
}

TEST(PackByValue, FindsTernaryAndRegions) {
  bool packed;
  PackedFilters f = OneFilter(Repeat({0, -5, 5, 0}, 8), &packed);
  ASSERT_TRUE(packed);
  EXPECT_EQ(f.kind, WeightKind::kTernary);
  EXPECT_EQ(f.values_i8, (std::vector<int8_t>{5}));
  std::vector<int8_t> weights = Repeat({0, 5}, 16);
  for (int i = 16; i < 32; ++i) weights[i] = static_cast<int8_t>(weights[i] == 0 ? 9 : 20);
  f = OneFilter(weights, &packed);
  ASSERT_TRUE(packed);
  EXPECT_EQ(f.regions, 2);
  EXPECT_FALSE((OneFilter(Repeat({1, 2, 3, 4}, 8), &packed), packed));
}

TEST(PackByValue, FindsTheBestPattern) {
  bool packed;
  EXPECT_EQ(OneFilter(Repeat({7, 0, 0, 7, 0, 0, 0, 0, 0, 0}, 4), &packed).pattern_m, 10);
  EXPECT_EQ(OneFilter(Repeat({7, 0, 7, 0, 0, 7, 0}, 4), &packed).pattern_m, 7);
  EXPECT_EQ(OneFilter(Repeat({7, 0, 7, 7}, 7), &packed).pattern_m, 0);
}

TEST(PackByValue, FloatsWithinAFewUnitsInTheLastPlaceAreOneValue) {
  std::vector<float> weights(64, 0.25f);
  for (int i = 0; i < 64; i += 2) weights[i] = -0.75f;
  weights[1] = std::nextafter(0.25f, 1.0f);
  weights[2] = std::nextafter(-0.75f, 0.0f);
  bool packed;
  OneFilter(weights, &packed);
  EXPECT_TRUE(packed);
  weights[3] = 0.26f;
  OneFilter(weights, &packed);
  EXPECT_FALSE(packed);
  weights[3] = INFINITY;
  OneFilter(weights, &packed);
  EXPECT_FALSE(packed);
}

}  // namespace
}  // namespace tf_signbin

// Detection by value makes of every filter in tests/format/detection_vectors.json what a literal
// transcription of docs/format.md made of it; Python's half reproduces the same file.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "engine/detect.h"
#include "tests/json.h"

namespace tf_signbin {
namespace {

template <typename T>
void ExpectPacked(const Json& vector, std::vector<T> PackedFilters::*values) {
  PackedFilters filters;
  const std::vector<int> shape = vector["shape"].Flat<int>();
  filters.out_c = shape[0];
  filters.kernel_h = shape[1];
  filters.kernel_w = shape[2];
  filters.in_c = shape[3];
  const std::vector<T> weights = vector["weights"].Flat<T>();
  const Json& packed = vector["packed"];
  ASSERT_EQ(PackByValue(weights.data(), &filters), !packed.null);
  if (packed.null) return;
  EXPECT_EQ(filters.kind == WeightKind::kTwoValued ? "two_valued" : "ternary", packed["kind"].text);
  EXPECT_EQ(filters.regions, packed["regions"].number);
  EXPECT_EQ((std::vector<int>{filters.pattern_n, filters.pattern_m}),
            packed["pattern"].Flat<int>());
  EXPECT_EQ(filters.masks, packed["masks"].Flat<uint8_t>());
  EXPECT_EQ(filters.*values, packed["values"].Flat<T>());
}

TEST(DetectionVectors, AreReproduced) {
  std::ifstream file(TF_SIGNBIN_DETECTION_VECTORS);
  ASSERT_TRUE(file) << "cannot read " << TF_SIGNBIN_DETECTION_VECTORS;
  std::stringstream text;
  text << file.rdbuf();
  const Json vectors = Json::Parse(text.str());
  ASSERT_GE(vectors.items.size(), 200u);
  for (const Json& vector : vectors.items) {
    SCOPED_TRACE(vector["name"].text);
    if (vector["type"].text == "int8") {
      ExpectPacked(vector, &PackedFilters::values_i8);
    } else {
      ExpectPacked(vector, &PackedFilters::values_f32);
    }
  }
}

}  // namespace
}  // namespace tf_signbin

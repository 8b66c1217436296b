// The fuzzer's seeds, damaged seeds, and every input that once crashed.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "fuzz/run_case.h"
#include "fuzz/seeds.h"
#include "tests/random_layer.h"

namespace tf_signbin {
namespace {

TEST(FuzzCases, SeedsRunAsTheReferenceFamilyDoes) {
  int ran = 0, count = 0;
  for (const uint64_t seed : Seeds(200)) {
    SCOPED_TRACE(seed);
    const std::vector<uint8_t> bytes = WriteCase(SeedCase(seed));
    const OpCase read = ReadCase(bytes.data(), bytes.size());
    EXPECT_EQ(WriteCase(read), bytes);
    ran += RunCase(read) == Outcome::kRan;
    ++count;
  }
  if (count > 1) {
    EXPECT_GT(ran, count / 3);  // families that cannot run a layer refuse it
  }
}

TEST(FuzzCases, DamagedSeedsAreRefusedOrRun) {
  for (const uint64_t seed : Seeds(500)) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    std::vector<uint8_t> bytes = WriteCase(SeedCase(seed));
    for (int i = rng.Int(1, 4); i > 0; --i) {
      bytes[rng.Int(0, static_cast<int>(bytes.size()) - 1)] = static_cast<uint8_t>(rng.Int(0, 255));
    }
    if (rng.Chance(0.1)) bytes.resize(rng.Int(0, static_cast<int>(bytes.size())));
    RunCase(ReadCase(bytes.data(), bytes.size()));  // aborts when something is wrong
  }
}

TEST(FuzzCases, FormerCrashes) {
  for (const auto& entry : std::filesystem::directory_iterator(TF_SIGNBIN_REGRESSIONS)) {
    SCOPED_TRACE(entry.path().string());
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    RunCase(ReadCase(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  }
}

}  // namespace
}  // namespace tf_signbin

// Targets are plain data: what would be planned for a processor that this is not.
#include "engine/target.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "bench/layers.h"
#include "engine/planner.h"

namespace tf_signbin {
namespace {

Target TargetOf(Features features, Core core = Core::kGeneric) {
  Target target;
  target.features = features;
  target.core = core;
  return target;
}

using Names = std::vector<std::string>;

TEST(Target, InstructionSetsAreNamedSetsOfFeaturesBestFirst) {
  using namespace feature;
  EXPECT_EQ(TargetOf(0).IsaNames(), Names({"portable"}));
  EXPECT_EQ(TargetOf(kAvx2).IsaNames(), Names({"avx2", "portable"}));
  EXPECT_EQ(TargetOf(kAvx2 | kAvxVnni).IsaNames(), Names({"avxvnni", "avx2", "portable"}));
  EXPECT_EQ(TargetOf(kAvxVnni).IsaNames(), Names({"portable"}));
  EXPECT_EQ(TargetOf(kAvx2 | kAvx512).IsaNames(), Names({"avx512", "avx2", "portable"}));
  EXPECT_EQ(TargetOf(kAvx2 | kAvx512 | kAvx512Vnni | kAvx512Vbmi | kAmxInt8).IsaNames(),
            Names({"amx", "avx512vnni", "avx512", "avx2", "portable"}));
  // Dot products alone do not make an instruction set.
  EXPECT_EQ(TargetOf(kAvx2 | kAvx512Vnni).IsaNames(), Names({"avx2", "portable"}));
  EXPECT_EQ(TargetOf(kNeon).IsaNames(), Names({"neon", "portable"}));
  EXPECT_EQ(TargetOf(kNeon | kDotProd).IsaNames(), Names({"neondot", "neon", "portable"}));
  EXPECT_EQ(TargetOf(kNeon | kDotProd | kI8mm).IsaNames(),
            Names({"neoni8mm", "neondot", "neon", "portable"}));
}

TEST(Target, HostRunsThePortableCodeAndKnowsItsCaches) {
  EXPECT_EQ(SupportedIsas(), HostTarget().IsaNames());
  EXPECT_EQ(SupportedIsas().back(), "portable");
  EXPECT_GE(HostTarget().caches.level1, size_t{8} << 10);
  EXPECT_GE(HostTarget().caches.level2, HostTarget().caches.level1);
}

TEST(Families, HaveDistinctNamesAndEndWithTheReference) {
  std::set<std::string> names;
  for (const KernelFamily* family : KernelFamilies()) names.insert(family->name);
  EXPECT_EQ(names.size(), KernelFamilies().size());
  EXPECT_EQ(KernelFamilies().back(), &kReferenceFamily);
}

// "permute avx512vnni" of every candidate, cheapest first.
Names CandidatesOf(const LayerSize& size, DataType type, const Target& target,
                   const PlanOptions& options = {}) {
  const BenchLayer layer = MakeBenchLayer(size, type, RandomWeights());
  const ConvProblem problem{type, size.shape(), &layer.filters, &layer.output, target};
  Names names;
  double cost = 0;
  for (const Candidate& candidate : Candidates(problem, options)) {
    EXPECT_GE(candidate.offer.cost_ns, cost);
    cost = candidate.offer.cost_ns;
    names.push_back(std::string(candidate.family->name) + " " + IsaName(candidate.offer.isa));
  }
  return names;
}

constexpr LayerSize kLayer = {14, 256, 256, 3, 1};

TEST(Planner, OffersWhatTheTargetRuns) {
  const Names portable = CandidatesOf(kLayer, DataType::kInt8, TargetOf(0));
  EXPECT_EQ(portable, Names({"table portable", "reference portable"}));
  const Status unavailable = CheckPlanOptions({"avx2", "auto", 0}, TargetOf(0));
  EXPECT_EQ(unavailable.message(),
            "isa 'avx2' is not available; this CPU and build offer: auto, portable");
}

TEST(Planner, GroupsAreForFamiliesThatHaveThem) {
  PlanOptions options;
  options.group = 5;
  EXPECT_EQ(CandidatesOf(kLayer, DataType::kInt8, TargetOf(0), options), Names({"table portable"}));
}

#if defined(__x86_64__)

TEST(Planner, PlansForProcessorsThatThisIsNot) {
  using namespace feature;
  const Features avx512 = kAvx2 | kAvx512;
  const auto best = [](const LayerSize& size, DataType type, const Target& target) {
    return CandidatesOf(size, type, target).front();
  };
  for (const DataType type : {DataType::kInt8, DataType::kFloat32}) {
    EXPECT_EQ(best(kLayer, type, TargetOf(kAvx2)), "table avx2");
    EXPECT_EQ(best(kLayer, type, TargetOf(avx512, Core::kZen5)), "permute avx512");
    EXPECT_EQ(best(kLayer, type, TargetOf(avx512 | kAvx512Vnni, Core::kZen5)),
              "permute avx512vnni");
  }
  // A single row: look-ups in registers, of filters in lanes.
  constexpr LayerSize kRow = {1, 512, 1000, 1, 1};
  EXPECT_EQ(best(kRow, DataType::kInt8, TargetOf(kAvx2)), "row avx2");
  EXPECT_EQ(best(kRow, DataType::kInt8, TargetOf(kAvx2 | kAvxVnni)), "row avxvnni");
  EXPECT_EQ(best(kRow, DataType::kInt8, TargetOf(avx512 | kAvx512Vnni)), "permute avx512vnni");
  // Tiles outrun look-ups in int8; they know no float32.
  const Target tiles = TargetOf(avx512 | kAvx512Vnni | kAvx512Vbmi | kAmxInt8, Core::kIntel);
  EXPECT_EQ(best(kLayer, DataType::kInt8, tiles), "dense amx");
  EXPECT_EQ(best(kLayer, DataType::kFloat32, tiles), "table amx");
  // Permutations are offered once, with the better tables; dot products where there are any.
  const Names all =
      CandidatesOf(kLayer, DataType::kInt8, TargetOf(avx512 | kAvx512Vnni, Core::kZen5));
  EXPECT_EQ(std::count(all.begin(), all.end(), "permute avx512vnni"), 1);
  EXPECT_EQ(std::count(all.begin(), all.end(), "permute avx512"), 0);
  EXPECT_EQ(std::count(all.begin(), all.end(), "dense avx512vnni"), 1);
}

#endif

}  // namespace
}  // namespace tf_signbin

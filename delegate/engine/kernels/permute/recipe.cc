#include "engine/kernels/permute/recipe.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace tf_signbin {
namespace {

// The two steps of a full int8 table of `channels` channels (TableRecipe).
void FillSubsetSteps(int channels, TableRecipe* recipe) {
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane / 16, triple = lane / 8 % 2, subset = lane % 8;
    for (int c = 0; c < 3; ++c) {
      const int channel = triple * 3 + c;
      if (!(subset >> c & 1) || channel >= channels) continue;
      const uint8_t byte = static_cast<uint8_t>(group * channels + channel);
      if (c < 2) {
        recipe->pair_channels[2 * lane + c] = byte;
        recipe->pair_used[2 * lane + c] = 1;
      } else {
        recipe->third_channel[2 * lane] = byte;
        recipe->third_used[2 * lane] = 1;
      }
    }
    for (int g = 0; g < kUnitGroupsI8; ++g) {
      recipe->low[g][lane] = static_cast<uint16_t>(g * 16 + SubsetAt(lane) % 8);
      for (int half = 0; half < 2; ++half) {
        recipe->high[g][half][lane] =
            static_cast<uint16_t>(g * 16 + 8 + SubsetAt(half * 32 + lane) / 8);
      }
    }
  }
}

}  // namespace

TableRecipe MakeRecipe(const PermutePlan& plan) {
  const Dictionary& dictionary = plan.dictionary;
  const bool int8 = plan.type == DataType::kInt8;
  TableRecipe recipe;
  recipe.full = dictionary.full;
  recipe.folded = plan.folded;
  recipe.channels = dictionary.channels * plan.sums_per_filter();
  recipe.registers = plan.table_registers;
  if (dictionary.full) {
    FillSubsetSteps(dictionary.channels, &recipe);
    return recipe;
  }
  static_assert(kMaxTableTerms == Dictionary::kMostTerms, "`lanes` holds those of any entry");
  const int half_entries = int8 ? 32 : 16;
  const int zero_lane = int8 ? kZeroLaneI8 : kZeroLaneF32;
  const int negative_lane = int8 ? kNegativeLaneI8 : kNegativeLaneF32;
  const int groups = int8 ? kUnitGroupsI8 : kUnitGroupsF32;
  recipe.terms = dictionary.terms;
  for (int group = 0; group < groups; ++group) {
    for (int entry = 0; entry < 2 * half_entries; ++entry) {
      int lanes[kMaxTableTerms];
      std::fill_n(lanes, kMaxTableTerms, zero_lane);
      int terms = 0;
      if (entry < static_cast<int>(dictionary.entries.size())) {
        const SignedSubset subset = dictionary.entries[entry];
        for (int c = 0; c < dictionary.channels; ++c) {
          const int lane = group * dictionary.channels + c;
          if (subset.plus >> c & 1) lanes[terms++] = lane;
          if (subset.minus >> c & 1) lanes[terms++] = negative_lane + lane;
          recipe.negatives |= (subset.minus >> c & 1) != 0;
        }
      }
      const int half = entry / half_entries, lane = entry % half_entries;
      if (plan.dot_tables && entry < static_cast<int>(dictionary.entries.size())) {
        const int plus = static_cast<int>(dictionary.entries[entry].plus);
        recipe.split[0][half][lane] = static_cast<uint16_t>(SubsetPosition(plus & 15));
        recipe.split[1][half][lane] = static_cast<uint16_t>(SubsetPosition(plus >> 4 | 16));
      }
      for (int t = 0; t < kMaxTableTerms; ++t) {
        if (int8) {
          recipe.lanes_i8[group][half][t][lane] = static_cast<uint16_t>(lanes[t]);
        } else {
          recipe.lanes_f32[half][t][lane] = static_cast<uint32_t>(lanes[t]);
        }
      }
    }
  }
  return recipe;
}

std::vector<TableUnit> MakeUnits(const PermutePlan& plan) {
  const int groups = static_cast<int>(plan.groups.size());
  const int unit_groups = plan.dot_tables                ? groups
                          : plan.type == DataType::kInt8 ? kUnitGroupsI8
                                                         : kUnitGroupsF32;
  std::vector<bool> starts(groups + 1);  // of what is built apart
  if (plan.tables_per_segment) {
    for (const Segment& segment : plan.segments) starts[segment.first_group] = true;
  }
  std::vector<TableUnit> units;
  for (int g = 0; g < groups;) {
    TableUnit unit{plan.groups[g].first_channel, 0, g, 0};
    const int region = plan.groups[g].region;
    do {
      unit.count += plan.groups[g].channels;
      ++unit.groups;
      ++g;
    } while (unit.groups < unit_groups && g < groups && plan.groups[g].region == region &&
             !starts[g]);
    units.push_back(unit);
  }
  return units;
}

}  // namespace tf_signbin

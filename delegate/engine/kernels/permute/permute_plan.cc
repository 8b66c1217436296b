#include "engine/kernels/permute/permute_plan.h"

#include <algorithm>

#include "engine/ceil_div.h"
#include "engine/flatten.h"
#include "engine/kernels/permute/permute_ops.h"

namespace tf_signbin {
namespace {

// 128 * 255 < 2^15: an int16 sum of this many int8 activations is exact.
constexpr int kMaxInt16Terms = 255;
// Larger reductions could overflow the rounding shift of the requantisation.
constexpr int64_t kMaxReduction = 1 << 14;
constexpr int32_t kMaxBias = 1 << 29;

constexpr int kFoldedFilters = 16;
// Two-register tables cover more channels a byte of index: 1.33 bits a weight, not 1.6. Where many
// lookups share a table that is worth this much time.
constexpr double kSmaller = 1.08;
constexpr int kLongRun = 16;  // pixels that one vector of filters leaves registers for

bool HasByteIndices(const ConvProblem& problem, int table_registers) {
  return problem.type == DataType::kInt8 && table_registers == 1 &&
         problem.target.core == Core::kIntel && problem.target.Has(feature::kAvx512Vbmi);
}

std::vector<FilterBlock> MakeBlocks(const ConvShape& s, const Caches& caches, int vectors,
                                    size_t groups) {
  std::vector<FilterBlock> blocks;
  const bool rows_of_three = s.kernel_w == 3 && s.stride_w == 1 && s.dilation_w == 1;
  // Three taps that share their tables allow longer runs of pixels, and so fewer passes over
  // indices that come from the second-level cache.
  const double index_bytes =
      static_cast<double>(s.out_c) * s.kernel_h * s.kernel_w * static_cast<double>(groups);
  const bool streamed = index_bytes > static_cast<double>(caches.level2_kept() / 2);
  for (int v = 0; v < vectors;) {
    FilterBlock block;
    block.first_vector = v;
    const int left = vectors - v;
    if (s.out_w == 1 && s.out_h == 1 && left >= 8) {
      block.vectors = 8;
      block.min_pixels = block.max_pixels = 1;
    } else if (left >= 4 && !(rows_of_three && streamed)) {
      block.vectors = 4;
      block.min_pixels = 1;
      block.max_pixels = 6;
    } else {
      block.vectors = left >= 2 ? 2 : 1;
      block.min_pixels = 4;
      block.max_pixels = 8;
      if (rows_of_three) block.shared_taps = 3;
    }
    blocks.push_back(block);
    v += block.vectors;
  }
  return blocks;
}

// Groups whose tables, of so many bytes, stay in the first-level cache while all filters read them.
int GroupsNear(const Caches& caches, size_t tile_bytes) {
  return static_cast<int>(caches.level1 * 5 / 8 / tile_bytes);
}

// Nanoseconds on one thread (docs/performance.md).
struct Costs {
  double lookup;       // of a group for one vector of filters
  double table;        // built
  double output;       // one vector of one pixel
  double tap;          // start of a tap in a microkernel
  double call;         // of a microkernel
  double segment = 0;  // one vector of one pixel, stored and taken up again between two segments
};
constexpr double kRowNs = 20;

// What a background adds: window sums of a row and a pixel, and a slower output stage. Measured on
// Zen 4; Zen 5's are estimates in the ratio of its other costs, and Intel's are Zen 4's.
struct BackgroundCosts {
  double row, int8_pixel, float32_pixel, output;
};

double CostNs(const ConvProblem& problem, const PermuteTables& tables) {
  // One-register tables cover fewer channels and are cheaper to build. On Zen 5 two-register
  // lookups pay for the copy of their index; on Zen 4, where permutations are half as fast, that
  // copy is free. Intel's cores permute bytes in one register as fast, but 16-bit lanes in two take
  // twice as long.
  struct CoreCosts {
    Costs int8[2], float32[2];  // by table registers - 1
    double dot_table[2];        // int8, built with VNNI: of all subsets in one register, others
    double folded_output;
    double far_index_byte;  // of an index stream beyond the second-level cache
    BackgroundCosts background;
  };
  static constexpr CoreCosts kZen5 = {{{0.132, 0.55, 2.4, 2.4, 17}, {0.180, 0.90, 2.3, 4.7, 16}},
                                      {{0.147, 0.88, 1.45, 1.6, 13}, {0.187, 1.10, 1.40, 2.8, 8}},
                                      {0.55, 0.90},
                                      1.3,
                                      0.010,
                                      {40, 0.6, 2.3, 0.35}};
  static constexpr CoreCosts kZen4 = {
      {{0.300, 1.50, 5.0, 2.4, 17, 3.5}, {0.325, 2.30, 5.0, 4.7, 16, 3.0}},
      {{0.340, 1.20, 3.0, 1.6, 13, 4.0}, {0.425, 1.75, 3.0, 2.8, 8, 6.0}},
      {0.85, 1.90},
      2.5,
      0,
      {90, 1, 4, 0.8}};
  static constexpr CoreCosts kIntel = {{{0.366, 1.90, 4.0, 1.9, 14}, {0.680, 3.20, 4.0, 3.8, 13}},
                                       {{0.361, 1.30, 3.3, 1.3, 11}, {0.410, 1.90, 3.3, 2.3, 7}},
                                       {1.03, 1.60},
                                       1.2,
                                       0.018,
                                       {90, 1, 4, 0.8}};
  const Core own = problem.target.core;
  const Caches& caches = problem.target.caches;
  const CoreCosts& core = own == Core::kZen5 ? kZen5 : own == Core::kIntel ? kIntel : kZen4;
  const bool int8 = problem.type == DataType::kInt8;
  const Costs& costs = (int8 ? core.int8 : core.float32)[tables.registers - 1];
  const bool simple = tables.registers == 1 && tables.dictionary.full;
  const double table_ns = tables.dots ? core.dot_table[simple ? 0 : 1] : costs.table;
  const double output_ns = tables.folded ? core.folded_output : costs.output;
  const ConvShape s = FlattenPointwise(problem.shape);
  const size_t groups = MakeChannelGroups(*problem.filters, tables.group_channels()).size();
  const int vectors = CeilDiv(s.out_c, !int8 || tables.folded ? 16 : 32);
  const double taps = static_cast<double>(s.kernel_h) * s.kernel_w;
  const double run_index_bytes = static_cast<double>(groups) * taps *
                                 (!int8                                       ? 16
                                  : HasByteIndices(problem, tables.registers) ? 64
                                                                              : 32);
  const bool far_indices =
      run_index_bytes * vectors > static_cast<double>(caches.level2_streamed());
  double row_ns = kRowNs;
  const std::vector<FilterBlock> blocks = MakeBlocks(s, caches, vectors, groups);
  if (s.kernel_h == 1) {  // tables are built segment by segment
    const size_t tile_bytes = std::min(blocks.front().max_pixels, s.out_w) * tables.table_bytes();
    const int segments =
        CeilDiv(static_cast<int>(groups), std::max(GroupsNear(caches, tile_bytes), 1));
    row_ns += static_cast<double>(segments - 1) * s.out_w * vectors * costs.segment;
  }
  if (problem.filters->has_background()) {
    const BackgroundCosts& background = core.background;
    const double pixel_ns = int8 ? background.int8_pixel : background.float32_pixel;
    row_ns += background.row + s.out_w * (pixel_ns + background.output * vectors);
  }
  for (const FilterBlock& block : blocks) {
    const int runs = CeilDiv(s.out_w, block.vectors == 1 ? kLongRun : block.max_pixels);
    const double pixels = std::max(s.out_w, runs * block.min_pixels);
    row_ns += pixels * block.vectors * static_cast<double>(groups) * taps * costs.lookup +
              runs * (taps / block.shared_taps * costs.tap + costs.call) +
              static_cast<double>(s.out_w) * block.vectors * output_ns;
    if (far_indices) row_ns += runs * block.vectors * run_index_bytes * core.far_index_byte;
  }
  // A kernel of one row or column leaves out what a stride skips.
  const double columns = static_cast<double>(s.out_w) * (s.kernel_w == 1 ? 1 : s.stride_w) +
                         (s.kernel_w - 1) * s.dilation_w;
  const double rows = static_cast<double>(s.out_h) * (s.kernel_h == 1 ? 1 : s.stride_h) +
                      (s.kernel_h - 1) * s.dilation_h;
  return s.batch * (s.out_h * row_ns + rows * columns * static_cast<double>(groups) * table_ns);
}

// Dot products make tables of all subsets of five or six channels; and of any of eight, which pays
// where an entry has more than two.
bool CanUseDots(const PackedFilters& filters, const Dictionary& dictionary) {
  if (filters.kind != WeightKind::kTwoValued) return false;
  return dictionary.full ? dictionary.channels >= 5
                         : dictionary.channels <= 8 && dictionary.terms > 2;
}

}  // namespace

PermuteTables ChooseTables(const ConvProblem& problem, int group, bool vnni) {
  const bool int8 = problem.type == DataType::kInt8;
  const ConvShape& s = problem.shape;
  const bool prefer_small =
      int8 && s.kernel_h * s.kernel_w > 1 && s.stride_h == 1 && s.stride_w == 1;
  PermuteTables best;
  const auto consider = [&](PermuteTables tables) {
    if (tables.dictionary.channels == 0) return;
    tables.cost_ns = CostNs(problem, tables);
    const double limit = best.cost_ns * (prefer_small && tables.registers == 2 ? kSmaller : 1);
    if (best.registers == 0 || tables.cost_ns < limit) best = std::move(tables);
  };
  for (const int registers : {1, 2}) {
    PermuteTables tables;
    tables.registers = registers;
    tables.dictionary = ChooseDictionary(*problem.filters, (int8 ? 32 : 16) * registers, group);
    tables.dots = vnni && int8 && CanUseDots(*problem.filters, tables.dictionary);
    consider(std::move(tables));
  }
  if (vnni && int8 && group == 0 && s.out_c <= kFoldedFilters &&
      problem.filters->kind == WeightKind::kTwoValued) {
    PermuteTables tables;
    tables.dictionary = ChooseDictionary(*problem.filters, 16, 4);
    tables.registers = 1;
    tables.folded = true;
    tables.dots = true;
    consider(std::move(tables));
  }
  return best;
}

namespace {

// Most effectual weights that any filter has in each (index word, kernel row).
std::vector<std::vector<int>> CountTerms(const PackedFilters& filters, const PermutePlan& plan,
                                         const std::vector<int>& word_first_group) {
  const int words = static_cast<int>(word_first_group.size()) - 1;
  const int kernel_h = filters.kernel_h, kernel_w = filters.kernel_w;
  // [word][kernel row * out_c + filter]
  std::vector<std::vector<int>> counts(
      words, std::vector<int>(static_cast<size_t>(kernel_h) * filters.out_c));
  for (int w = 0; w < words; ++w) {
    for (int f = 0; f < filters.out_c; ++f) {
      for (int tap = 0; tap < kernel_h * kernel_w; ++tap) {
        int terms = 0;
        for (int g = word_first_group[w]; g < word_first_group[w + 1]; ++g) {
          const SignedSubset p = SubsetOf(filters, f, tap, plan.groups[g]);
          terms += PopCount(p.plus) + PopCount(p.minus);
        }
        counts[w][static_cast<size_t>(tap / kernel_w) * filters.out_c + f] += terms;
      }
    }
  }
  return counts;
}

void MakeSegments(const PackedFilters& filters, int max_groups, PermutePlan* plan) {
  // Index words never cross regions.
  std::vector<int> word_first_group;
  for (size_t g = 0; g < plan->groups.size();) {
    word_first_group.push_back(static_cast<int>(g));
    const int region = plan->groups[g].region;
    for (int i = 0; i < plan->word_groups && g < plan->groups.size(); ++i, ++g) {
      if (plan->groups[g].region != region) break;
    }
  }
  word_first_group.push_back(static_cast<int>(plan->groups.size()));
  const int words = static_cast<int>(word_first_group.size()) - 1;
  const int kernel_h = filters.kernel_h, out_c = filters.out_c;
  const bool limited = plan->type == DataType::kInt8;
  std::vector<std::vector<int>> counts;
  if (limited) counts = CountTerms(filters, *plan, word_first_group);

  for (int w = 0; w < words;) {
    const int region = plan->groups[word_first_group[w]].region;
    // As many words as the cache and the 16-bit sums allow, with all kernel rows.
    std::vector<int> sums(limited ? out_c : 0);
    int end = w;
    while (end < words && plan->groups[word_first_group[end]].region == region &&
           word_first_group[end + 1] - word_first_group[w] <= std::max(max_groups, 1)) {
      bool fits = true;
      for (int f = 0; f < static_cast<int>(sums.size()); ++f) {
        for (int r = 0; r < kernel_h; ++r)
          sums[f] += counts[end][static_cast<size_t>(r) * out_c + f];
        fits &= sums[f] <= kMaxInt16Terms;
      }
      if (!fits) break;
      ++end;
    }
    if (end > w) {
      plan->segments.push_back(
          {region, word_first_group[w], word_first_group[end] - word_first_group[w], 0, kernel_h});
      w = end;
      continue;
    }
    // One word, as many kernel rows as fit.
    for (int row = 0; row < kernel_h;) {
      std::vector<int> row_sums(out_c);
      int end_row = row;
      while (end_row < kernel_h) {
        bool fits = true;
        for (int f = 0; limited && f < out_c; ++f) {
          row_sums[f] += counts[w][static_cast<size_t>(end_row) * out_c + f];
          fits &= row_sums[f] <= kMaxInt16Terms;
        }
        if (!fits && end_row > row) break;
        ++end_row;
      }
      plan->segments.push_back({region, word_first_group[w],
                                word_first_group[w + 1] - word_first_group[w], row, end_row - row});
      row = end_row;
    }
    ++w;
  }
}

// Spreads the segments of each region evenly: full ones and a sliver cost more than equal ones.
int EvenGroups(int groups, int max_groups, int word_groups) {
  const int pieces = CeilDiv(groups, std::max(max_groups, word_groups));
  return CeilDiv(CeilDiv(groups, pieces), word_groups) * word_groups;
}

// Order in which microkernels read them: block, segment, kernel row, [tap,] index vector's worth of
// groups, [shared tap,] vector, lane, group.
void PackIndices(const PackedFilters& filters, PermutePlan* plan) {
  const int kernel_w = filters.kernel_w, sums = plan->sums_per_filter();
  const int lanes = plan->lanes * sums;  // in a vector
  const bool int8 = plan->type == DataType::kInt8;
  for (const FilterBlock& block : plan->blocks) {
    const int units = kernel_w / block.shared_taps;  // calls' taps in a kernel row
    for (const Segment& segment : plan->segments) {
      plan->index_offset.push_back(plan->indices.size());
      const int words = CeilDiv(segment.groups, plan->word_groups);
      for (int unit = 0; unit < segment.rows * units; ++unit) {
        for (int word = 0; word < words; ++word) {
          for (int shared = 0; shared < block.shared_taps; ++shared) {
            const int tap = (segment.first_row + unit / units) * kernel_w +
                            unit % units * block.shared_taps + shared;
            for (int lane = 0; lane < block.vectors * lanes; ++lane) {
              const int in_vector = plan->folded ? lane / 2
                                    : int8       ? LaneFilterI8(lane % lanes)
                                                 : lane % lanes;
              const int filter = (block.first_vector + lane / lanes) * lanes / sums + in_vector;
              for (int i = 0; i < plan->word_groups; ++i) {
                const int group = word * plan->word_groups + i;
                int entry = 0;
                if (filter < filters.out_c && group < segment.groups) {
                  SignedSubset subset =
                      SubsetOf(filters, filter, tap, plan->groups[segment.first_group + group]);
                  if (plan->folded) subset.plus = subset.plus >> (lane % 2 * 4) & 15;
                  entry = plan->dictionary.Find(subset);
                  if (int8 && plan->dictionary.full) {
                    entry = SubsetPosition(entry | (plan->folded ? lane % 2 << 4 : 0));
                  }
                }
                if (plan->byte_indices) {
                  plan->indices.push_back(static_cast<uint8_t>(2 * entry));
                  entry = 2 * entry + 1;
                }
                plan->indices.push_back(static_cast<uint8_t>(entry));
              }
            }
          }
        }
      }
    }
  }
}

}  // namespace

size_t PermutePlan::column_bytes() const {
  // An odd number of tables: columns a power of two apart would share cache sets.
  return (ring_groups | 1) * table_bytes();
}

int PermutePlan::ColumnsFor(int pixels) const {
  return (pixels - 1) * pixel_step() + (shape.kernel_w - 1) * tap_step() + 1;
}

size_t PermutePlan::ring_bytes() const { return ring_rows * (columns * column_bytes()); }

std::vector<PixelRun> SplitPixels(const FilterBlock& block, int width) {
  std::vector<PixelRun> runs;
  int first = 0;
  if (block.vectors == 1) {
    // As long as what is left makes whole runs too.
    for (; width - first == kLongRun || width - first >= kLongRun + block.min_pixels;
         first += kLongRun) {
      runs.push_back({first, kLongRun, kLongRun});
    }
  }
  const int left = width - first, count = CeilDiv(left, block.max_pixels);
  for (int i = 0; i < count; ++i) {
    const int pixels = left / count + (i < left % count);
    runs.push_back({first, pixels, std::max(pixels, block.min_pixels)});
    first += pixels;
  }
  return runs;
}

bool PermuteTakes(const ConvProblem& problem) {
  const PackedFilters& f = *problem.filters;
  if (f.kind == WeightKind::kDense) return false;
  const int64_t reduction = static_cast<int64_t>(f.weights_per_filter());
  // A kernel row of one index word must fit an int16 sum.
  if (problem.type == DataType::kInt8) {
    if (reduction > kMaxReduction || f.kernel_w > 16) return false;
    for (int32_t bias : problem.output->bias_i32) {
      if (bias > kMaxBias || bias < -kMaxBias) return false;
    }
  }
  return true;
}

PermutePlan MakePermutePlan(const ConvProblem& problem, const PermuteTables& tables) {
  const PackedFilters& filters = *problem.filters;
  const Caches& caches = problem.target.caches;
  PermutePlan plan;
  plan.type = problem.type;
  plan.shape = FlattenPointwise(problem.shape);
  const bool int8 = plan.type == DataType::kInt8;
  plan.regions = filters.regions;
  plan.folded = tables.folded;
  plan.dot_tables = tables.dots;
  plan.lanes = !int8 || plan.folded ? 16 : 32;
  plan.groups = MakeChannelGroups(filters, tables.group_channels());
  plan.dictionary = tables.dictionary;
  plan.table_registers = tables.registers;
  plan.byte_indices = HasByteIndices(problem, tables.registers);
  plan.saturating_adds = problem.target.core != Core::kGeneric;
  plan.word_groups = !int8 ? 4 : plan.byte_indices ? 1 : 2;
  plan.vectors = CeilDiv(filters.out_c, plan.lanes);

  const ConvShape& s = plan.shape;
  plan.blocks = MakeBlocks(s, caches, plan.vectors, plan.groups.size());
  if (s.kernel_w == 1) plan.column_step = s.stride_w;
  plan.ring_rows = (s.kernel_h - 1) * s.dilation_h + 1;
  plan.tables_per_segment = s.kernel_h == 1;

  // Segments: a microkernel call's tables should stay in the first-level cache while all filter
  // blocks read them. Float sums need no emptying, and that costs more than re-reading tables.
  const int groups = static_cast<int>(plan.groups.size());
  const FilterBlock& first = plan.blocks.front();
  const size_t tile_column_bytes =
      plan.ColumnsFor(std::min(first.max_pixels, s.out_w)) * s.kernel_h * plan.table_bytes();
  int max_groups = GroupsNear(caches, tile_column_bytes);
  const bool whole = !int8 || plan.blocks.size() == 1;
  if (whole && !plan.tables_per_segment) max_groups = groups;
  max_groups = std::max(max_groups / plan.word_groups, 1) * plan.word_groups;
  MakeSegments(filters, EvenGroups(groups, max_groups, plan.word_groups), &plan);

  int segment_groups = 0;
  for (const Segment& segment : plan.segments) {
    segment_groups = std::max(segment_groups, segment.groups);
  }
  plan.ring_groups = plan.tables_per_segment ? segment_groups : groups;

  // Strip: the ring lives in the second-level cache, or where tables are built segment by segment
  // and read at once, in the first.
  const size_t budget = plan.tables_per_segment ? caches.level1 * 13 / 16 : caches.level2_kept();
  for (int pieces = 1;; ++pieces) {
    plan.strip = CeilDiv(s.out_w, pieces);
    plan.columns = plan.ColumnsFor(plan.strip);
    for (const FilterBlock& block : plan.blocks) {
      for (const PixelRun& run : SplitPixels(block, plan.strip)) {
        plan.columns = std::max(plan.columns, plan.ColumnsFor(run.first + run.width));
      }
    }
    if (plan.ring_bytes() <= budget || plan.strip <= first.min_pixels) break;
  }
  PackIndices(filters, &plan);
  return plan;
}

}  // namespace tf_signbin

#include "engine/kernels/dense/dense_plan.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "engine/ceil_div.h"
#include "engine/channel_groups.h"
#include "engine/flatten.h"
#include "engine/kernels/dense/dense_kernels.h"
#include "engine/kernels/dense/dense_ops.h"

namespace tf_signbin {
namespace {

// A strip of activations that stays in the first-level cache; more has not been measured to pay.
constexpr size_t kMostStripBytes = 24 << 10;
constexpr int kNearStrip = 16;

// Fewer groups of a kernel row take less time than their sums to be stored and loaded again.
constexpr int kLeastRowGroups = 32;

constexpr int kMostTableChannels = 4;  // that an entry of a table is the sum of

int MaxPixels(const DensePlan& plan, int vectors) {
  if (plan.wide()) return 8;
  return vectors == 4 ? 3 : vectors == 1 ? 16 : plan.added_groups() == 1 ? 12 : 8;
}

// As many groups as a byte has room for, of 1, 2 and 4.
int AddedGroups(const Dictionary& dictionary, int most_input) {
  const int most = std::max(most_input * dictionary.terms, 1);
  return 4 * most <= 255 ? 4 : 2 * most <= 255 ? 2 : 1;
}

}  // namespace

bool SumsFit(const PackedFilters& filters, int most_input, int limit) {
  const int weights = static_cast<int>(filters.weights_per_filter());
  for (int filter = 0; filter < filters.out_c; ++filter) {
    const int64_t effectual = MaskRow(filters, 0, filter).Count(0, weights);
    if (effectual * most_input > limit) return false;
  }
  return true;
}

std::vector<DenseRun> SplitDensePixels(const DensePlan& plan, int vectors, int width) {
  // Wide microkernels take pixels in pairs.
  const int unit = plan.wide() ? 2 : 1, units = CeilDiv(width, unit);
  const int count = CeilDiv(units, MaxPixels(plan, vectors) / unit);
  std::vector<DenseRun> runs;
  for (int i = 0, first = 0; i < count; ++i) {
    const int pixels = std::min((units / count + (i < units % count)) * unit, width - first);
    runs.push_back({first, pixels});
    first += pixels;
  }
  return runs;
}

int DensePlan::group_channels() const {
  return tables ? tables->count * tables->dictionary.channels : kDenseChannels;
}

size_t DensePlan::pixel_bytes() const {
  return tables ? static_cast<size_t>(padded_c / group_channels()) * kTableBytes : padded_c;
}

std::vector<DenseTables> DenseTablesOf(const ConvProblem& problem) {
  const PackedFilters& filters = *problem.filters;
  const Core core = problem.target.core;
  if (!problem.nonnegative || problem.most_input() * kMostTableChannels > 255 ||
      filters.kind != WeightKind::kTwoValued || filters.regions != 1 ||
      !problem.target.Has(feature::kAvx512Vbmi)) {
    return {};
  }
  std::vector<DenseTables> found;
  const int most = problem.most_input();
  DenseTables four, one;
  if (core == Core::kZen5) {
    four.least_strip = one.least_strip = kNearStrip;
    four.least_row_blocks = one.least_row_blocks = 1;
  }
  four.dictionary = ChooseDictionary(filters, four.entries(), 0);
  // Intel's cores look up and widen on two ports; an addition would take the time of either.
  if (core != Core::kIntel) four.added_groups = AddedGroups(four.dictionary, most);
  found.push_back(std::move(four));
  // Tables of all subsets have not been measured to pay here: they take longer to build, and each
  // sum is looked up twice as often as it is added.
  one.count = 1;
  one.dictionary = ChooseDictionary(filters, one.entries(), 0);
  one.added_groups = AddedGroups(one.dictionary, most);
  if (core == Core::kGeneric) {
    // Each look-up loads a table that no other one shares: half as many a cycle as Zen 5's gain
    // too, but only where all of a strip's tables stay.
    const int groups = CeilDiv(filters.in_c, one.dictionary.channels);
    const size_t strip_bytes = size_t{kNearStrip} * groups * kTableBytes;
    if (strip_bytes <= problem.target.caches.level1) one.least_strip = kNearStrip;
    one.least_row_blocks = 4;
  }
  if (!one.dictionary.full && one.added_groups > 1 && SumsFit(filters, most, 0xffff)) {
    found.push_back(std::move(one));
  }
  return found;
}

DensePlan MakeDensePlan(const ConvShape& shape, const Caches& caches,
                        std::optional<DenseTables> tables) {
  DensePlan plan;
  plan.shape = FlattenPointwise(shape);
  plan.tables = std::move(tables);
  const ConvShape& s = plan.shape;
  const int group = plan.group_channels();
  plan.padded_c = CeilDiv(s.in_c, group) * group;
  const auto last = [](int out, int stride, int kernel, int dilation) {
    return int64_t{out - 1} * stride + int64_t{kernel - 1} * dilation;
  };
  plan.direct = !plan.tables && plan.padded_c == s.in_c && s.pad_top == 0 && s.pad_left == 0 &&
                last(s.out_h, s.stride_h, s.kernel_h, s.dilation_h) < s.in_h &&
                last(s.out_w, s.stride_w, s.kernel_w, s.dilation_w) < s.in_w;
  if (s.kernel_w == 1 && !plan.direct) plan.column_step = s.stride_w;
  const bool contiguous = s.kernel_w == 1 || s.dilation_w == 1;
  plan.taps_per_row = contiguous ? 1 : s.kernel_w;
  plan.taps = s.kernel_h * plan.taps_per_row;
  plan.tap_groups = plan.padded_c / group * (contiguous ? s.kernel_w : 1);
  if (!plan.tables && contiguous) {
    const int groups = CeilDiv(s.kernel_w * s.in_c, group);
    plan.run_on = groups < plan.tap_groups;
    if (plan.run_on) {
      plan.padded_c = s.in_c;
      plan.tap_groups = groups;
    }
  }

  const size_t filter_bytes =
      static_cast<size_t>(plan.taps) * plan.tap_groups * plan.filter_bytes();
  const size_t vector_bytes = filter_bytes * kDenseLanes;
  const int vectors = CeilDiv(s.out_c, kDenseLanes);
  size_t panel_bytes = 0;
  for (int v = 0; v < vectors;) {
    DenseBlock block;
    const int left = vectors - v;
    block.first_filter = v * kDenseLanes;
    // Two vectors allow the longest runs of pixels, and so the fewest passes over the weights; runs
    // shorter than four pixels need more for enough independent sums.
    block.vectors = plan.wide() || (s.out_w < 4 && left >= 4) ? 4 : left >= 2 ? 2 : 1;
    block.weights_offset = plan.weight_bytes;
    const size_t bytes = block.vectors * vector_bytes;
    if (panel_bytes == 0 || panel_bytes + bytes > caches.level2_kept()) {
      plan.panels.push_back(static_cast<int>(plan.blocks.size()));
      panel_bytes = 0;
    }
    panel_bytes += bytes;
    plan.blocks.push_back(block);
    plan.weight_bytes += bytes;
    v += block.vectors;
  }
  plan.panels.push_back(static_cast<int>(plan.blocks.size()));

  plan.ring_rows = (s.kernel_h - 1) * s.dilation_h + 1;
  const size_t budget =
      s.kernel_h == 1 ? std::min(caches.level1 * 3 / 4, kMostStripBytes) : caches.level2_kept();
  const int min_strip = plan.tables && s.kernel_h == 1 ? plan.tables->least_strip : kMinStrip;
  for (int pieces = 1;; ++pieces) {
    plan.strip = CeilDiv(s.out_w, pieces);
    if (plan.ring_rows * plan.row_bytes() <= budget || plan.strip <= min_strip) break;
  }
  if (plan.tables && plan.tables->least_row_blocks > 0) {
    const size_t block_bytes = plan.blocks.front().vectors * vector_bytes;
    plan.by_rows = s.kernel_h > 1 && plan.taps_per_row * plan.tap_groups >= kLeastRowGroups &&
                   static_cast<int>(plan.blocks.size()) >= plan.tables->least_row_blocks &&
                   plan.ring_rows * plan.row_bytes() + block_bytes > caches.level1;
  }
  return plan;
}

namespace {

// Nanoseconds on one thread (docs/performance.md).
struct Costs {
  double dot, single_dot;  // of a group and a vector of 16 filters; with one vector of them
  double output;           // of a vector
  double far_byte;         // of weights beyond the second-level cache
  double prepare;          // of a byte of activations, copied or made to tables
};

Costs CostsOf(const DensePlan& plan, Core core) {
  const int added = plan.added_groups();
  if (core == Core::kIntel) {
    if (!plan.tables) return {0.259, 0.267, 1.6, 0.036, 0.0029};
    // Of pairs as Zen 4's fell, not timed here.
    if (!plan.wide()) return {0.340, 0.340, 1.7, 0.038, plan.tables->paired() ? 0.11 : 0.17};
    const double lookup = added == 4 ? 0.109 : 0.151;
    return {lookup, lookup, 1.7, 0.038, 0.17};
  }
  if (core == Core::kZen5) {  // two dot products or look-ups a cycle
    if (!plan.tables) return {0.114, 0.128, 1.05, 0, 0.0037};
    const double table = 0.4 + 0.125 * plan.tables->terms();
    const double prepare = table / plan.group_channels();
    if (plan.wide()) {
      const double lookup = added == 4 ? 0.059 : 0.063;
      return {lookup, lookup, 0.95, 0.010, prepare};
    }
    const double lookup = added > 1 ? 0.162 : 0.180;
    return {lookup, lookup, 1.2, 0.010, prepare};
  }
  if (!plan.tables) return {0.290, 0.320, 2.3, 0, 0.0037};  // Zen 4: one dot product a cycle
  if (plan.wide()) {
    const double lookup = added == 4 ? 0.119 : 0.165;
    const double table = 0.62 + 0.19 * plan.tables->terms();
    return {lookup, lookup, 2.5, 0, table / plan.group_channels()};
  }
  const double prepare = plan.tables->paired() ? 0.06 : 0.1;
  if (added == 4) return {0.375, 0.400, 2.2, 0, prepare};
  const double lookup = added == 2 ? 0.385 : 0.425;
  return {lookup, lookup, 2.2, 0, prepare};
}

// What a background adds to look-ups: a slower output stage of a vector, window sums of a pixel.
struct BackgroundCosts {
  double output, pixel;
};

// Zen 4's, measured; the others fell with them, but have not been timed since.
BackgroundCosts BackgroundCostsOf(Core core) {
  if (core == Core::kIntel) return {0.6, 2.6};
  if (core == Core::kZen5) return {0.27, 1.2};
  return {0.7, 1.3};
}

}  // namespace

double DenseCostNs(const ConvProblem& problem, const DensePlan& plan) {
  Costs costs = CostsOf(plan, problem.target.core);
  double pixel_ns = 0;
  if (plan.tables && problem.filters->has_background()) {
    const BackgroundCosts background = BackgroundCostsOf(problem.target.core);
    costs.output += background.output;
    pixel_ns = background.pixel;
  }
  constexpr int kLeastDots = 8;  // fewer at a time wait for one another
  const double least_row_ns = problem.target.core == Core::kZen5 ? 75 : 40;
  const ConvShape& s = plan.shape;
  const double rows = static_cast<double>(s.batch) * s.out_h * plan.strips();
  const double groups = static_cast<double>(plan.taps) * plan.tap_groups;
  double row_ns = least_row_ns;
  for (const DenseBlock& block : plan.blocks) {
    const double dot_ns = block.vectors == 1 ? costs.single_dot : costs.dot;
    for (const DenseRun& run : SplitDensePixels(plan, block.vectors, plan.StripWidth(0))) {
      row_ns += std::max(run.pixels * block.vectors, kLeastDots) * groups * dot_ns;
    }
    row_ns += plan.StripWidth(0) * block.vectors * costs.output;
  }
  row_ns += plan.StripWidth(0) * pixel_ns;
  // Every panel walks all rows.
  const double panels = plan.tables ? static_cast<double>(plan.panels.size()) - 1 : 1;
  const double bytes = static_cast<double>(s.batch) * s.in_h * s.in_w * s.in_c * panels;
  const bool far = plan.weight_bytes > problem.target.caches.level2_streamed();
  const double far_bytes = far ? static_cast<double>(plan.weight_bytes) : 0;
  return rows * row_ns + (plan.direct ? 0 : bytes * costs.prepare) + far_bytes * costs.far_byte;
}

}  // namespace tf_signbin

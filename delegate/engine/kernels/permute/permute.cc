// Register-permute convolution: filters in lanes, look-up tables in registers.
//
// For each input pixel and group of M input channels a table holds the sum of every channel subset
// of the layer's dictionary. A microkernel looks a group up for 32 (int8) or 16 (float32) filters
// with one permutation and adds it to accumulators that stay in registers. This file prepares a
// layer (recipe, parameters) and walks its tiles; the vector code is in permute_avx512.cc and
// permute_kernels_avx512.S.
#include "engine/kernels/permute/permute.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/aligned.h"
#include "engine/cpu.h"
#include "engine/kernels/permute/permute_kernels.h"
#include "engine/kernels/permute/permute_ops.h"
#include "engine/kernels/permute/permute_plan.h"
#include "engine/kernels/rescale.h"
#include "engine/stopwatch.h"

namespace tf_signbin {
namespace {

constexpr int kMinPartRows = 14;
constexpr int kMaxCallVectors = 24;  // largest P * F of any microkernel

PermuteKernelFn FindPermuteKernel(const PermutePlan& plan, int shared_taps, int pixels,
                                  int vectors) {
#define TF_SIGNBIN_BYTE_CASE(regs, taps, width, count)                    \
  if (shared_taps == taps && pixels == width && vectors == count) {       \
    return tf_signbin_permute_i8b_r##regs##_t##taps##_p##width##f##count; \
  }
  if (plan.byte_indices) {
    TF_SIGNBIN_PERMUTE_SHAPES(TF_SIGNBIN_BYTE_CASE, 1)
    return nullptr;
  }
#undef TF_SIGNBIN_BYTE_CASE
#define TF_SIGNBIN_CASE(regs, taps, width, count)                               \
  if (plan.table_registers == regs && shared_taps == taps && pixels == width && \
      vectors == count) {                                                       \
    if (plan.type == DataType::kFloat32) {                                      \
      return tf_signbin_permute_f32_r##regs##_t##taps##_p##width##f##count;     \
    }                                                                           \
    return CurrentCore() == Core::kGeneric                                      \
               ? tf_signbin_permute_i8_r##regs##_t##taps##_p##width##f##count   \
               : tf_signbin_permute_i8s_r##regs##_t##taps##_p##width##f##count; \
  }
  TF_SIGNBIN_PERMUTE_KERNELS(TF_SIGNBIN_CASE)
#undef TF_SIGNBIN_CASE
  return nullptr;
}

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

TableRecipe MakeRecipe(const PermutePlan& plan) {
  const Dictionary& dictionary = plan.dictionary;
  const bool int8 = plan.type == DataType::kInt8;
  TableRecipe recipe;
  recipe.full = dictionary.full;
  recipe.folded = plan.fold == 2;
  recipe.channels = dictionary.channels * plan.fold;
  recipe.registers = plan.table_registers;
  if (dictionary.full) {
    FillSubsetSteps(dictionary.channels, &recipe);
    return recipe;
  }
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
        const Pattern pattern = dictionary.entries[entry];
        for (int c = 0; c < dictionary.channels; ++c) {
          const int lane = group * dictionary.channels + c;
          if (pattern.plus >> c & 1) lanes[terms++] = lane;
          if (pattern.minus >> c & 1) lanes[terms++] = negative_lane + lane;
          recipe.negatives |= (pattern.minus >> c & 1) != 0;
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
    TableUnit unit{plan.groups[g].channel, 0, g, 0};
    const int region = plan.groups[g].region;
    do {
      unit.count += plan.groups[g].count;
      ++unit.groups;
      ++g;
    } while (unit.groups < unit_groups && g < groups && plan.groups[g].region == region &&
             !starts[g]);
    units.push_back(unit);
  }
  return units;
}

// Per-filter parameters, padded to whole vectors, in lane order. T is int32_t or float.
template <typename T>
struct Parameters {
  Aligned<T> difference;  // b - a, [region][padded]
  Aligned<T> background;  // a, [region][padded]
  Aligned<T> bias;
  Rescale rescale;  // int8
  bool has_background = false;
};

struct FilterValues {
  float a, b;  // exact for int8 too
};

FilterValues ValuesOf(const PackedFilters& filters, int filter, int region) {
  const int per_region = filters.values_per_region();
  const size_t first = (static_cast<size_t>(filter) * filters.regions + region) * per_region;
  const auto value = [&](size_t i) {
    return filters.values_i8.empty() ? filters.values_f32[i]
                                     : static_cast<float>(filters.values_i8[i]);
  };
  return {per_region == 2 ? value(first) : 0.0f, value(first + per_region - 1)};
}

// The multiply-add that widens 16-bit sums multiplies the other half of a 32-bit lane, another
// filter's sum, by 0; where the layer is folded it is the rest of the same filter's.
void SetDifference(const Parameters<int32_t>& p, size_t lane, int filter, int fold,
                   int difference) {
  const uint32_t low = static_cast<uint16_t>(difference), high = low << 16;
  p.difference[lane] = static_cast<int32_t>(fold == 2 ? low | high : filter % 8 < 4 ? low : high);
}

Parameters<int32_t> MakeParameters(const PackedFilters& filters, const OutputStage& output,
                                   int padded, int fold, int32_t) {
  Parameters<int32_t> p;
  const int regions = filters.regions;
  p.difference = Aligned<int32_t>(static_cast<size_t>(regions) * padded);
  p.background = Aligned<int32_t>(static_cast<size_t>(regions) * padded);
  p.bias = Aligned<int32_t>(padded);
  std::vector<int> lanes;
  std::vector<FilterSums> sums;
  const int taps = filters.kernel_h * filters.kernel_w;
  const std::vector<ChannelGroup> groups = MakeGroups(filters, 16);
  for (int f = 0; f < filters.out_c; ++f) {
    const int lane = fold == 2 ? f : f / 32 * 32 + ParameterIndexI8(f % 32);
    // Tables hold raw activations; padding holds the zero point, so the correction is constant.
    int64_t weight_sum = 0, plus = 0, minus = 0;
    for (const ChannelGroup& group : groups) {
      const FilterValues v = ValuesOf(filters, f, group.region);
      int group_plus = 0, group_minus = 0;
      for (int tap = 0; tap < taps; ++tap) {
        const Pattern pattern = PatternOf(filters, f, tap, group);
        group_plus += __builtin_popcount(pattern.plus);
        group_minus += __builtin_popcount(pattern.minus);
      }
      const int background = group.count * taps - group_plus - group_minus;  // weights of value a
      weight_sum +=
          static_cast<int>(v.b) * (group_plus - group_minus) + static_cast<int>(v.a) * background;
      plus += group_plus;
      minus += group_minus;
    }
    for (int r = 0; r < regions; ++r) {
      const FilterValues v = ValuesOf(filters, f, r);
      SetDifference(p, static_cast<size_t>(r) * padded + lane, f, fold,
                    static_cast<int>(v.b - v.a));
      p.background[static_cast<size_t>(r) * padded + lane] = static_cast<int32_t>(v.a);
      p.has_background |= v.a != 0;
    }
    const int64_t bias =
        (output.bias_i32.empty() ? 0 : output.bias_i32[f]) - output.input_zero_point * weight_sum;
    p.bias[lane] = static_cast<int32_t>(bias);
    const int b = static_cast<int>(ValuesOf(filters, f, 0).b);
    if (b < 0) std::swap(plus, minus);  // the sum is of -x then
    sums.push_back(
        {std::max(std::abs(b), 1), bias, -128 * plus - 127 * minus, 127 * plus + 128 * minus});
    lanes.push_back(lane);
  }
  if (regions > 1 || p.has_background) sums.clear();
  p.rescale = Rescale(output, padded, lanes, sums);
  if (p.rescale.takes_sums()) {
    for (int f = 0; f < filters.out_c; ++f) {
      const float b = ValuesOf(filters, f, 0).b;
      SetDifference(p, lanes[f], f, fold, b > 0 ? 1 : b < 0 ? -1 : 0);
    }
  }
  return p;
}

Parameters<float> MakeParameters(const PackedFilters& filters, const OutputStage& output,
                                 int padded, int, float) {
  Parameters<float> p;
  p.difference = Aligned<float>(static_cast<size_t>(filters.regions) * padded);
  p.background = Aligned<float>(static_cast<size_t>(filters.regions) * padded);
  p.bias = Aligned<float>(padded);
  for (int f = 0; f < filters.out_c; ++f) {
    for (int r = 0; r < filters.regions; ++r) {
      const FilterValues v = ValuesOf(filters, f, r);
      p.difference[static_cast<size_t>(r) * padded + f] = v.b - v.a;
      p.background[static_cast<size_t>(r) * padded + f] = v.a;
      p.has_background |= v.a != 0;
    }
    p.bias[f] = output.bias_f32.empty() ? 0.0f : output.bias_f32[f];
  }
  return p;
}

PermuteOps ChooseOps(const PermutePlan& plan) {
  if (plan.type == DataType::kFloat32) return PermuteOpsF32();
  PermuteOps ops = PermuteOpsI8();
  if (plan.dot_tables) ops.build_tables = BuildDotTables;
  if (plan.fold == 2) ops.flush = FlushFoldedI8;
  return ops;
}

// Activation is int8_t with Sum int32_t, or float with Sum float.
template <typename Activation, typename Sum>
class PermuteConv : public ConvKernel {
 public:
  PermuteConv(const ConvProblem& problem, PermutePlan plan, const PlanOptions& options, int threads)
      : plan_(std::move(plan)),
        recipe_(MakeRecipe(plan_)),
        units_(MakeUnits(plan_)),
        padded_(plan_.vectors * plan_.lanes),
        parameters_(MakeParameters(*problem.filters, *problem.output, padded_, plan_.fold, Sum())),
        index_bytes_(plan_.indices.size()),
        // The last groups' loads reach a few bytes further than their vectors.
        indices_(index_bytes_ + 64),
        padding_(plan_.shape.in_c + 64),
        ops_(ChooseOps(plan_)),
        profile_(options.profile) {
    std::copy(plan_.indices.begin(), plan_.indices.end(), indices_.get());
    plan_.indices = {};
    const bool int8 = plan_.type == DataType::kInt8;
    const int zero_point = int8 ? problem.output->input_zero_point : 0;
    std::fill_n(padding_.get(), plan_.shape.in_c, static_cast<Activation>(zero_point));
    for (const bool last : {false, true}) {
      for (const BlockRange& range : BlockRanges()) {
        const FilterBlock& block = plan_.blocks[range.first];
        for (const PixelRun& run : SplitPixels(block, last ? LastStrip() : plan_.strip)) {
          calls_[last].push_back({range, run, FindKernel(plan_, block, run.width)});
        }
      }
    }
    for (const Segment& segment : plan_.segments) {
      segments_.push_back(PrepareSegment(segment, *problem.output));
    }
    MakeTasks(threads);
    for (int t = 0; t < threads; ++t) workspaces_.push_back(MakeWorkspace());
  }

  void Run(const void* input, void* output, ThreadPool& pool) override {
    for (Workspace& workspace : workspaces_) workspace.times = StageTimes();
    pool.ParallelFor(static_cast<int>(tasks_.size()), [&](int task, int thread) {
      RunTask(tasks_[task], static_cast<const Activation*>(input), static_cast<Activation*>(output),
              &workspaces_[thread]);
    });
  }

  std::string name() const override {
    const FilterBlock& block = plan_.blocks.front();
    return std::string("permute_avx512") + (plan_.dot_tables ? "vnni" : "") +
           (plan_.type != DataType::kInt8 ? "_f32"
            : plan_.byte_indices          ? "_i8b"
                                          : "_i8") +
           "_m" + std::to_string(plan_.dictionary.channels) + (plan_.fold == 2 ? "x2" : "") + "r" +
           std::to_string(plan_.table_registers) + "_t" + std::to_string(block.shared_taps) + "p" +
           std::to_string(calls_[0].front().run.width) + "f" + std::to_string(block.vectors);
  }

  size_t prepared_weight_bytes() const override { return index_bytes_; }

  size_t workspace_bytes(int threads) const override {
    const Workspace& w = workspaces_.front();
    return threads * (w.ring.bytes() + w.accumulators.bytes() + w.column_sums.bytes() +
                      w.box.bytes() + w.sums.bytes());
  }

  StageTimes stage_times() const override {
    StageTimes times;
    for (const Workspace& workspace : workspaces_) times += workspace.times;
    return times;
  }

 private:
  // Adjacent filter blocks [first, end) of one shape: they see the same pixel runs, and the tables
  // of a run stay in cache for all of them.
  struct BlockRange {
    int first, end;
  };
  struct Call {
    BlockRange blocks;
    PixelRun run;
    PermuteKernelFn kernel;
  };
  struct Tap {
    int kernel_row;
    size_t offset;  // bytes from the row's first column to the tap's table
  };
  // What is the same for every call of a segment.
  struct SegmentCalls {
    PermuteTask task{};
    Flush flush{};
    int first_unit = 0, units = 0;    // tables of the segment
    std::vector<Tap> single, shared;  // taps for microkernels that share none or three
  };
  // Output rows [first_row, end_row) of one strip of one image, filter blocks [first, end).
  struct Task {
    int image, strip, first_row, end_row, first_block, end_block;
  };
  struct Workspace {
    Aligned<char> ring;
    Aligned<Sum> accumulators;  // [strip pixel][padded filters]
    Aligned<Sum> column_sums;   // [ring row][column][region]
    Aligned<Sum> box;           // [strip pixel][region]
    Aligned<char> sums;         // registers of one microkernel call
    std::vector<const char*> taps;
    std::vector<int> slots;  // ring row of each kernel row
    StageTimes times;
  };

  static PermuteKernelFn FindKernel(const PermutePlan& plan, const FilterBlock& block, int pixels) {
    return FindPermuteKernel(plan, block.shared_taps, pixels, block.vectors);
  }

  std::vector<BlockRange> BlockRanges() const {
    std::vector<BlockRange> ranges;
    const auto same = [&](int a, int b) {
      return plan_.blocks[a].vectors == plan_.blocks[b].vectors &&
             plan_.blocks[a].shared_taps == plan_.blocks[b].shared_taps;
    };
    const int blocks = static_cast<int>(plan_.blocks.size());
    for (int first = 0, end; first < blocks; first = end) {
      for (end = first + 1; end < blocks && same(first, end);) ++end;
      ranges.push_back({first, end});
    }
    return ranges;
  }

  int StripCount() const { return (plan_.shape.out_w + plan_.strip - 1) / plan_.strip; }
  int LastStrip() const { return plan_.shape.out_w - (StripCount() - 1) * plan_.strip; }
  size_t RowBytes() const { return plan_.columns * plan_.column_bytes(); }

  SegmentCalls PrepareSegment(const Segment& segment, const OutputStage& output) const {
    const ConvShape& s = plan_.shape;
    SegmentCalls calls;
    const int table_group = plan_.tables_per_segment ? 0 : segment.first_group;
    for (const int shared : {1, 3}) {
      std::vector<Tap>& taps = shared == 1 ? calls.single : calls.shared;
      for (int row = segment.first_row; row < segment.first_row + segment.rows; ++row) {
        for (int dx = 0; dx < s.kernel_w; dx += shared) {
          taps.push_back({row, dx * plan_.tap_step() * plan_.column_bytes() +
                                   static_cast<size_t>(table_group) * plan_.table_bytes()});
        }
      }
    }
    PermuteTask& task = calls.task;
    task.blocks = segment.groups / plan_.word_groups;
    task.tail_groups = segment.groups % plan_.word_groups;
    task.column_bytes = static_cast<int64_t>(plan_.pixel_step() * plan_.column_bytes());

    Flush& flush = calls.flush;
    flush.filters = s.out_c;
    flush.first = &segment == &plan_.segments.front();
    flush.last = &segment == &plan_.segments.back();
    flush.padded_filters = padded_;
    flush.difference = &parameters_.difference[static_cast<size_t>(segment.region) * padded_];
    flush.regions = parameters_.has_background ? plan_.regions : 0;
    flush.background = parameters_.background.get();
    flush.bias = parameters_.bias.get();
    flush.rescale = parameters_.rescale.view();
    flush.clamp_min = output.clamp_min_i8;
    flush.clamp_max = output.clamp_max_i8;
    flush.clamp_min_f32 = output.clamp_min_f32;
    flush.clamp_max_f32 = output.clamp_max_f32;
    flush.out_pixel = s.out_c;

    calls.units = static_cast<int>(units_.size());
    if (plan_.tables_per_segment) {
      const auto first_at = [&](int group) {
        return static_cast<int>(
            std::find_if(units_.begin(), units_.end(),
                         [&](const TableUnit& unit) { return unit.first_group >= group; }) -
            units_.begin());
      };
      calls.first_unit = first_at(segment.first_group);
      calls.units = first_at(segment.first_group + segment.groups) - calls.first_unit;
    }
    return calls;
  }

  Workspace MakeWorkspace() const {
    Workspace w;
    const int max_width = plan_.strip + 8;
    w.ring = Aligned<char>(plan_.ring_bytes());
    w.accumulators = Aligned<Sum>(static_cast<size_t>(max_width) * padded_);
    w.column_sums =
        Aligned<Sum>(static_cast<size_t>(plan_.ring_rows) * plan_.columns * plan_.regions);
    w.box = Aligned<Sum>(static_cast<size_t>(max_width) * plan_.regions);
    w.sums = Aligned<char>(kMaxCallVectors * 64);
    w.taps.resize(static_cast<size_t>(plan_.shape.kernel_h) * plan_.shape.kernel_w);
    w.slots.resize(plan_.shape.kernel_h);
    return w;
  }

  // Splits the work evenly: by image and strip first, then by rows, or by filters where rows are
  // too few to divide well.
  void MakeTasks(int threads) {
    const ConvShape& s = plan_.shape;
    const int strips = StripCount(), blocks = static_cast<int>(plan_.blocks.size());
    int row_parts = 1, block_parts = 1;
    if (s.batch * strips % threads != 0) {
      const bool even_rows = s.out_h >= 10 * threads || s.out_h % threads == 0;
      if (!even_rows && blocks >= threads) {
        block_parts = threads;
      } else {
        row_parts = std::min(threads, s.out_h);
        // Smaller parts, so that a thread that comes late leaves less to wait for; each part builds
        // the rows of tables that it shares with the one before anew.
        while (row_parts < 4 * threads && s.out_h >= 2 * row_parts * kMinPartRows) row_parts *= 2;
      }
    }
    for (int image = 0; image < s.batch; ++image) {
      for (int strip = 0; strip < strips; ++strip) {
        for (int row = 0; row < row_parts; ++row) {
          for (int block = 0; block < block_parts; ++block) {
            tasks_.push_back({image, strip, s.out_h * row / row_parts,
                              s.out_h * (row + 1) / row_parts, blocks * block / block_parts,
                              blocks * (block + 1) / block_parts});
          }
        }
      }
    }
  }

  int Slot(int in_y) const {
    const int slot = in_y % plan_.ring_rows;
    return slot < 0 ? slot + plan_.ring_rows : slot;
  }

  void RunTask(const Task& task, const Activation* input, Activation* output, Workspace* w) const {
    const ConvShape& s = plan_.shape;
    const int x0 = task.strip * plan_.strip;
    const bool last_strip = task.strip == StripCount() - 1;
    const int width = last_strip ? LastStrip() : plan_.strip;
    const Activation* image = input + static_cast<size_t>(task.image) * s.in_h * s.in_w * s.in_c;
    output += (static_cast<size_t>(task.image) * s.out_h * s.out_w + x0) * s.out_c;

    TableRow row{};
    row.recipe = &recipe_;
    row.units = units_.data();
    row.unit_count = static_cast<int>(units_.size());
    row.padding = padding_.get();
    row.input_end = input + static_cast<size_t>(s.batch) * s.in_h * s.in_w * s.in_c;
    row.first_x = x0 * s.stride_w - s.pad_left;
    row.step = plan_.column_step;
    row.in_w = s.in_w;
    row.in_c = s.in_c;
    row.columns = plan_.ColumnsFor(width);
    row.column_bytes = plan_.column_bytes();

    int next_row = std::numeric_limits<int>::min();  // first input row not yet in the ring
    for (int y = task.first_row; y < task.end_row; ++y) {
      Stopwatch watch(profile_);
      const int top = y * s.stride_h - s.pad_top;
      for (int dy = 0; dy < s.kernel_h; ++dy) {
        const int in_y = top + dy * s.dilation_h;
        w->slots[dy] = Slot(in_y);
        if (in_y < next_row && !NewToRing(in_y, y, task.first_row)) continue;
        const bool inside = in_y >= 0 && in_y < s.in_h;
        row.row = inside ? image + static_cast<size_t>(in_y) * s.in_w * s.in_c : nullptr;
        if (!plan_.tables_per_segment) {
          row.tables = w->ring.get() + w->slots[dy] * RowBytes();
          ops_.build_tables(row);
        }
        if (parameters_.has_background) {
          ops_.column_sums({row.row, padding_.get(), row.first_x, row.step, s.in_w, s.in_c,
                            row.columns, plan_.regions, ColumnSumsOf(*w, w->slots[dy])});
        }
      }
      next_row = top + (s.kernel_h - 1) * s.dilation_h + 1;
      if (parameters_.has_background) WindowSums(width, w);
      watch.Lap(&w->times.tables_ns);
      Activation* out_row = output + static_cast<size_t>(y) * s.out_w * s.out_c;
      for (size_t i = 0; i < segments_.size(); ++i) {
        if (plan_.tables_per_segment) {
          Stopwatch build_watch(profile_);
          row.tables = w->ring.get();
          row.units = units_.data() + segments_[i].first_unit;
          row.unit_count = segments_[i].units;
          ops_.build_tables(row);
          build_watch.Lap(&w->times.tables_ns);
        }
        RunSegment(task, i, calls_[last_strip], out_row, w);
      }
    }
  }

  // Whether input row `in_y`, above the last row's window end, was in no window of this task's
  // earlier output rows (a dilated kernel leaves gaps).
  bool NewToRing(int in_y, int y, int first_row) const {
    const ConvShape& s = plan_.shape;
    for (int earlier = y - 1; earlier >= first_row; --earlier) {
      const int distance = in_y - (earlier * s.stride_h - s.pad_top);
      if (distance >= plan_.ring_rows) break;
      if (distance % s.dilation_h == 0) return false;
    }
    return true;
  }

  Sum* ColumnSumsOf(const Workspace& w, int slot) const {
    return &w.column_sums[static_cast<size_t>(slot) * plan_.columns * plan_.regions];
  }

  // box[pixel][region]: the window's sum over all channels of the region.
  void WindowSums(int width, Workspace* w) const {
    const ConvShape& s = plan_.shape;
    const int regions = plan_.regions;
    Sum* box = w->box.get();
    std::fill_n(box, width * regions, Sum(0));
    for (int dy = 0; dy < s.kernel_h; ++dy) {
      const Sum* sums = ColumnSumsOf(*w, w->slots[dy]);
      for (int dx = 0; dx < s.kernel_w; ++dx) {
        const Sum* column = sums + static_cast<size_t>(dx) * plan_.tap_step() * regions;
        const int step = plan_.pixel_step();
        if (step == 1) {
          for (int i = 0; i < width * regions; ++i) box[i] += column[i];
        } else {
          for (int i = 0; i < width * regions; ++i) {
            box[i] += column[i / regions * step * regions + i % regions];
          }
        }
      }
    }
  }

  void RunSegment(const Task& task, size_t index, const std::vector<Call>& calls,
                  Activation* out_row, Workspace* w) const {
    const SegmentCalls& segment = segments_[index];
    PermuteTask kernel_task = segment.task;
    kernel_task.taps = w->taps.data();
    kernel_task.out = w->sums.get();
    Flush flush = segment.flush;
    flush.sums = w->sums.get();
    const size_t row_bytes = RowBytes();
    for (const Call& call : calls) {
      const int first = std::max(call.blocks.first, task.first_block);
      const int end = std::min(call.blocks.end, task.end_block);
      if (first >= end) continue;
      const FilterBlock& shape = plan_.blocks[first];
      const std::vector<Tap>& taps = shape.shared_taps == 1 ? segment.single : segment.shared;
      const char* run_tables = w->ring.get() + call.run.first * segment.task.column_bytes;
      for (size_t t = 0; t < taps.size(); ++t) {
        w->taps[t] = run_tables + w->slots[taps[t].kernel_row] * row_bytes + taps[t].offset;
      }
      kernel_task.tap_count = static_cast<int64_t>(taps.size());
      flush.vectors = shape.vectors;
      flush.pixels = call.run.pixels;
      flush.accumulators = &w->accumulators[static_cast<size_t>(call.run.first) * padded_];
      flush.box = &w->box[static_cast<size_t>(call.run.first) * plan_.regions];
      flush.out = out_row + static_cast<size_t>(call.run.first) * plan_.shape.out_c;
      for (int b = first; b < end; ++b) {
        kernel_task.indices = &indices_[plan_.index_offset[b * segments_.size() + index]];
        flush.first_filter = plan_.blocks[b].first_vector * plan_.lanes;
        if (profile_) {
          TimedCall(call.kernel, kernel_task, flush, w);
        } else {
          call.kernel(&kernel_task);
          ops_.flush(flush);
        }
      }
    }
  }

  void TimedCall(PermuteKernelFn kernel, const PermuteTask& task, const Flush& flush,
                 Workspace* w) const {
    Stopwatch watch(/*on=*/true);
    kernel(&task);
    watch.Lap(&w->times.lookup_ns);
    ops_.flush(flush);
    watch.Lap(&w->times.output_ns);
  }

  PermutePlan plan_;
  const TableRecipe recipe_;
  const std::vector<TableUnit> units_;
  const int padded_;  // filters, rounded up to whole vectors
  const Parameters<Sum> parameters_;
  const size_t index_bytes_;
  const Aligned<uint8_t> indices_;     // the plan's, aligned for vector loads
  const Aligned<Activation> padding_;  // one pixel
  const PermuteOps ops_;
  const bool profile_;
  std::vector<Call> calls_[2];  // of a strip, of the last strip
  std::vector<SegmentCalls> segments_;
  std::vector<Task> tasks_;
  std::vector<Workspace> workspaces_;
};

}  // namespace

std::unique_ptr<ConvKernel> MakePermuteKernel(const ConvProblem& problem, PermutePlan plan,
                                              const PlanOptions& options, int threads) {
  if (problem.type == DataType::kInt8) {
    return std::make_unique<PermuteConv<int8_t, int32_t>>(problem, std::move(plan), options,
                                                          threads);
  }
  return std::make_unique<PermuteConv<float, float>>(problem, std::move(plan), options, threads);
}

}  // namespace tf_signbin

// Register-permute convolution: filters in lanes, look-up tables in registers.
//
// For each input pixel and group of M input channels a table holds the sum of every channel subset
// of the layer's dictionary. A microkernel looks a group up for 32 (int8) or 16 (float32) filters
// with one permutation and adds it to accumulators that stay in registers. This file walks a
// layer's tiles; the vector code is in the files named for an instruction set.
#include "engine/kernels/permute/permute.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/aligned.h"
#include "engine/kernels/output/window_sums.h"
#include "engine/kernels/permute/filter_parameters.h"
#include "engine/kernels/permute/permute_kernels.h"
#include "engine/kernels/permute/permute_ops.h"
#include "engine/kernels/permute/permute_plan.h"
#include "engine/kernels/permute/recipe.h"
#include "engine/stopwatch.h"
#include "engine/strip_tasks.h"

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
#define TF_SIGNBIN_CASE(regs, taps, width, count)                                               \
  if (plan.table_registers == regs && shared_taps == taps && pixels == width &&                 \
      vectors == count) {                                                                       \
    if (plan.type == DataType::kFloat32) {                                                      \
      return tf_signbin_permute_f32_r##regs##_t##taps##_p##width##f##count;                     \
    }                                                                                           \
    return plan.saturating_adds ? tf_signbin_permute_i8s_r##regs##_t##taps##_p##width##f##count \
                                : tf_signbin_permute_i8_r##regs##_t##taps##_p##width##f##count; \
  }
  TF_SIGNBIN_PERMUTE_KERNELS(TF_SIGNBIN_CASE)
#undef TF_SIGNBIN_CASE
  return nullptr;
}

PermuteOps ChooseOps(const PermutePlan& plan) {
  if (plan.type == DataType::kFloat32) return {BuildTablesF32, ColumnSumsF32, FlushF32};
  return {plan.dot_tables ? BuildDotTables : BuildTablesI8, ColumnSumsI8,
          plan.folded ? FlushFoldedI8 : FlushI8};
}

// Activation is int8_t with Sum int32_t, or float with Sum float.
template <typename Activation, typename Sum>
class PermuteConv : public ConvKernel {
 public:
  PermuteConv(const ConvProblem& problem, PermutePlan plan, bool profile, int threads)
      : plan_(std::move(plan)),
        recipe_(MakeRecipe(plan_)),
        units_(MakeUnits(plan_)),
        padded_(plan_.padded_filters()),
        parameters_(*problem.filters, *problem.output, plan_),
        index_bytes_(plan_.indices.size()),
        // The last groups' loads reach a few bytes further than their vectors.
        indices_(index_bytes_ + 64),
        padding_(plan_.shape.in_c + 64),
        ops_(ChooseOps(plan_)),
        profile_(profile) {
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
    StripWork work;
    work.images = plan_.shape.batch;
    work.strips = StripCount();
    work.rows = plan_.shape.out_h;
    work.blocks = static_cast<int>(plan_.blocks.size());
    work.min_part_rows = kMinPartRows;
    tasks_ = DivideWork(work, threads);
    for (int t = 0; t < threads; ++t) workspaces_.push_back(MakeWorkspace());
  }

  void Run(const void* input, void* output, ThreadPool& pool) override {
    ResetTimes(&workspaces_);
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
           "_m" + std::to_string(plan_.dictionary.channels) + (plan_.folded ? "x2" : "") + "r" +
           std::to_string(plan_.table_registers) + "_t" + std::to_string(block.shared_taps) + "p" +
           std::to_string(calls_[0].front().run.width) + "f" + std::to_string(block.vectors);
  }

  size_t prepared_weight_bytes() const override { return index_bytes_; }

  size_t workspace_bytes(int threads) const override {
    const Workspace& w = workspaces_.front();
    return threads * (w.ring.bytes() + w.accumulators.bytes() + w.column_sums.bytes() +
                      w.box.bytes() + w.sums.bytes());
  }

  StageTimes stage_times() const override { return SumOfTimes(workspaces_); }

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
  struct Workspace {
    Aligned<char> ring;
    Aligned<Sum> accumulators;  // [strip pixel][padded filters]
    Aligned<Sum> column_sums;   // [ring row][column][region]
    std::vector<const Sum*> window_rows;
    Aligned<Sum> box;    // [strip pixel][region]
    Aligned<char> sums;  // registers of one microkernel call
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
    w.window_rows.resize(plan_.shape.kernel_h);
    w.box = Aligned<Sum>(static_cast<size_t>(max_width) * plan_.regions);
    w.sums = Aligned<char>(kMaxCallVectors * 64);
    w.taps.resize(static_cast<size_t>(plan_.shape.kernel_h) * plan_.shape.kernel_w);
    w.slots.resize(plan_.shape.kernel_h);
    return w;
  }

  int Slot(int in_y) const {
    const int slot = in_y % plan_.ring_rows;
    return slot < 0 ? slot + plan_.ring_rows : slot;
  }

  void RunTask(const StripTask& task, const Activation* input, Activation* output,
               Workspace* w) const {
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
      if (parameters_.has_background) SumWindows(width, w);
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
  void SumWindows(int width, Workspace* w) const {
    const ConvShape& s = plan_.shape;
    const int regions = plan_.regions;
    for (int dy = 0; dy < s.kernel_h; ++dy) w->window_rows[dy] = ColumnSumsOf(*w, w->slots[dy]);
    WindowSums<Sum> windows{};
    windows.columns = w->window_rows.data();
    windows.rows = s.kernel_h;
    windows.taps = s.kernel_w;
    windows.tap_step = plan_.tap_step() * regions;
    windows.pixel_step = plan_.pixel_step() * regions;
    windows.pixels = width;
    windows.total_step = regions;
    for (int region = 0; region < regions; ++region) {
      windows.totals = w->box.get() + region;
      AddWindows(windows);
      for (const Sum*& row : w->window_rows) ++row;
    }
  }

  void RunSegment(const StripTask& task, size_t index, const std::vector<Call>& calls,
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
  const FilterParameters<Sum> parameters_;
  const size_t index_bytes_;
  const Aligned<uint8_t> indices_;     // the plan's, aligned for vector loads
  const Aligned<Activation> padding_;  // one pixel
  const PermuteOps ops_;
  const bool profile_;
  std::vector<Call> calls_[2];  // of a strip, of the last strip
  std::vector<SegmentCalls> segments_;
  std::vector<StripTask> tasks_;
  std::vector<Workspace> workspaces_;
};

}  // namespace

std::unique_ptr<ConvKernel> MakePermuteKernel(const ConvProblem& problem, PermutePlan plan,
                                              bool profile, int threads) {
  if (problem.type == DataType::kInt8) {
    return std::make_unique<PermuteConv<int8_t, int32_t>>(problem, std::move(plan), profile,
                                                          threads);
  }
  return std::make_unique<PermuteConv<float, float>>(problem, std::move(plan), profile, threads);
}

}  // namespace tf_signbin

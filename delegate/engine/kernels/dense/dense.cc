// Dense int8 convolution: filters in lanes, four channels a dot product, no im2col. With inputs of
// few bits a dot product adds four looked-up sums instead, each of four channels.
//
// Taps are plain addresses: in the input itself where a layer has whole groups of channels and no
// padding, else in a small ring into which input rows are copied (or made to tables) once, with
// padding around them.
// Weights of a panel of filters stay in the second-level cache for all rows. This file prepares a
// layer and walks its tiles; the vector code is in dense_avx512vnni.cc and
// dense_kernels_avx512vnni.S.
#include "engine/kernels/dense/dense.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "engine/aligned.h"
#include "engine/channel_groups.h"
#include "engine/dictionary.h"
#include "engine/kernels/dense/dense_filters.h"
#include "engine/kernels/dense/dense_kernels.h"
#include "engine/kernels/dense/dense_ops.h"
#include "engine/kernels/dense/dense_plan.h"
#include "engine/kernels/dense/dense_rows.h"
#include "engine/kernels/output/window_sums.h"
#include "engine/stopwatch.h"
#include "engine/strip_tasks.h"

namespace tf_signbin {
namespace {

constexpr int kNoRow = std::numeric_limits<int>::min();
// Calls of microkernels whose sums become outputs together.
constexpr size_t kFlushedCalls = 4;

// What the plan's microkernels are called (dense_kernels.h).
std::string FormName(const DensePlan& plan) {
  if (!plan.tables) return "i8";
  const int added = plan.added_groups();
  return (plan.wide() ? "i8w" : "i8b") + (added == 1 ? "" : std::to_string(added));
}

DenseKernelFn FindDenseKernel(const DensePlan& plan, int pixels, int vectors) {
  const std::string form = FormName(plan);
#define TF_SIGNBIN_CASE(type, width, count)                   \
  if (form == #type && pixels == width && vectors == count) { \
    return tf_signbin_dense_##type##_p##width##f##count;      \
  }
#define TF_SIGNBIN_CASES(width, count) \
  TF_SIGNBIN_CASE(i8, width, count) TF_SIGNBIN_CASE(i8b, width, count)
  TF_SIGNBIN_DENSE_KERNELS(TF_SIGNBIN_CASES)
  TF_SIGNBIN_WIDE_DENSE_KERNELS(TF_SIGNBIN_CASES)
#undef TF_SIGNBIN_CASES
#define TF_SIGNBIN_CASES(width, count) \
  TF_SIGNBIN_CASE(i8b2, width, count) TF_SIGNBIN_CASE(i8b4, width, count)
  TF_SIGNBIN_DENSE_KERNELS(TF_SIGNBIN_CASES)
#undef TF_SIGNBIN_CASES
#define TF_SIGNBIN_CASES(width, count) \
  TF_SIGNBIN_CASE(i8w2, width, count) TF_SIGNBIN_CASE(i8w4, width, count)
  TF_SIGNBIN_DENSE_64_FILTER_KERNELS(TF_SIGNBIN_CASES)
#undef TF_SIGNBIN_CASES
#undef TF_SIGNBIN_CASE
  return nullptr;
}

static_assert(kMostTerms == Dictionary::kMostTerms, "a recipe has room for any entry");

DenseTableRecipe MakeTableRecipe(const DenseTables& tables) {
  const Dictionary& dictionary = tables.dictionary;
  DenseTableRecipe recipe;
  recipe.channels = tables.count * dictionary.channels;
  recipe.paired = tables.paired();
  recipe.terms = tables.terms();
  for (int table = 0; table < tables.count; ++table) {
    const int first = table * dictionary.channels;
    for (size_t entry = 0; entry < dictionary.entries.size(); ++entry) {
      const size_t place = table * tables.entries() + entry;
      int term = 0;
      const auto add = [&](int source) {
        recipe.place[term][place] = static_cast<uint8_t>(source);
        recipe.used[term++] |= uint64_t{1} << place;
      };
      const uint32_t subset = dictionary.entries[entry].plus;
      for (int c = 0; c < dictionary.channels; ++c) {
        if (recipe.paired && c % 2 == 0 && (subset >> c & 3) == 3) {
          add(kPairedChannels + first + c++);
        } else if (subset >> c & 1) {
          add(first + c);
        }
      }
    }
  }
  return recipe;
}

class DenseConv final : public ConvKernel {
 public:
  DenseConv(const ConvProblem& problem, DensePlan plan, bool profile, int threads)
      : plan_(std::move(plan)),
        output_(*problem.output),
        profile_(profile),
        weights_(plan_.weight_bytes),
        filters_(plan_.tables ? PackIndices(problem) : PackWeights(*problem.filters)),
        row_bytes_(plan_.row_bytes()),
        tap_bytes_(plan_.tap_step() * plan_.pixel_bytes()),
        pixel_bytes_(plan_.pixel_step() * plan_.pixel_bytes()),
        recipe_(plan_.tables ? MakeTableRecipe(*plan_.tables) : DenseTableRecipe()) {
    for (const DenseBlock& block : plan_.blocks) {
      BlockCalls calls;
      calls.flush = MakeFlush(block);
      for (const bool last : {false, true}) {
        const int width = plan_.StripWidth(last ? plan_.strips() - 1 : 0);
        for (const DenseRun& run : SplitDensePixels(plan_, block.vectors, width)) {
          calls.runs[last].push_back({run, FindDenseKernel(plan_, run.pixels, block.vectors)});
        }
      }
      calls_.push_back(std::move(calls));
    }
    StripWork work;
    work.images = plan_.shape.batch;
    work.strips = plan_.strips();
    work.rows = plan_.shape.out_h;
    work.blocks = static_cast<int>(plan_.blocks.size());
    work.enough_tasks = 4 * threads;
    tasks_ = DivideWork(work, threads);
    for (int t = 0; t < threads; ++t) workspaces_.push_back(MakeWorkspace());
  }

  void Run(const void* input, void* output, ThreadPool& pool) override {
    ResetTimes(&workspaces_);
    pool.ParallelFor(static_cast<int>(tasks_.size()), [&](int task, int thread) {
      RunTask(tasks_[task], static_cast<const int8_t*>(input), static_cast<int8_t*>(output),
              &workspaces_[thread]);
    });
  }

  std::string name() const override {
    const std::string channels =
        plan_.tables ? "m" + std::to_string(plan_.tables->dictionary.channels) + "_" : "";
    return "dense_avx512vnni_" + FormName(plan_) + "_" + channels + "p" +
           std::to_string(calls_[0].runs[0][0].run.pixels) + "f" +
           std::to_string(plan_.blocks[0].vectors) + (plan_.by_rows ? "_rows" : "");
  }

  bool needs_nonnegative() const override { return plan_.tables.has_value(); }

  size_t prepared_weight_bytes() const override { return weights_.bytes(); }

  size_t workspace_bytes(int threads) const override {
    const Workspace& w = workspaces_.front();
    return threads * (w.ring.bytes() + w.column_sums.bytes() + w.box.bytes() + w.sums.bytes() +
                      w.partial.bytes());
  }

  StageTimes stage_times() const override { return SumOfTimes(workspaces_); }

 private:
  struct Call {
    DenseRun run;
    DenseKernelFn kernel;
  };
  struct BlockCalls {
    std::vector<Call> runs[2];  // of a strip, of the last strip
    DenseFlush flush;           // what all calls' have in common
  };
  struct Workspace {
    Aligned<int8_t> ring;
    std::vector<int> ring_row;            // input row that each slot holds
    std::vector<const int8_t*> taps;      // of pixel 0 of the strip
    std::vector<const int8_t*> run_taps;  // of a run's first pixel
    Aligned<int32_t> column_sums;         // of each slot's columns, where filters have a background
    std::vector<const int32_t*> window_rows;
    Aligned<int32_t> box;      // window sums of a strip's pixels
    Aligned<int32_t> sums;     // registers of microkernel calls
    Aligned<int32_t> partial;  // of all blocks' calls, between passes
    StageTimes times;
  };

  int Filters() const {
    const DenseBlock& last = plan_.blocks.back();
    return last.first_filter + last.vectors * kDenseLanes;
  }

  // [filter]
  std::vector<int> Lanes() const {
    std::vector<int> lanes(plan_.shape.out_c);
    for (const DenseBlock& block : plan_.blocks) {
      for (int lane = 0; lane < block.vectors * kDenseLanes; ++lane) {
        const int filter = block.first_filter +
                           DenseLaneFilter(block.vectors, lane / kDenseLanes, lane % kDenseLanes);
        if (filter < plan_.shape.out_c) lanes[filter] = block.first_filter + lane;
      }
    }
    return lanes;
  }

  // For each block, tap, group, vector: 16 filters x 4 channels.
  DenseFilters PackWeights(const PackedFilters& filters) const {
    const std::vector<int> lanes = Lanes();
    return PrepareFilters(filters, output_, lanes, Filters(), kDenseOffset,
                          Beginning::kInAccumulators,
                          [&](const std::vector<int8_t>& weights, int filter) {
                            const FilterWeights groups = WeightsOf(lanes[filter]);
                            for (size_t k = 0; k < weights.size(); ++k) {
                              groups.Of(GroupOf(k))[PlaceOf(k) % kDenseChannels] = weights[k];
                            }
                          });
  }

  // For each block, tap, group, vector: 16 filters x 4 tables, the place of the filter's subset.
  DenseFilters PackIndices(const ConvProblem& problem) const {
    const PackedFilters& filters = *problem.filters;
    const DenseTables& tables = *plan_.tables;
    const Dictionary& dictionary = tables.dictionary;
    const std::vector<ChannelGroup> subsets = MakeChannelGroups(filters, dictionary.channels);
    const std::vector<int> lanes = Lanes();
    for (int filter = 0; filter < filters.out_c; ++filter) {
      const FilterWeights groups = WeightsOf(lanes[filter]);
      for (int tap = 0; tap < filters.kernel_h * filters.kernel_w; ++tap) {
        for (size_t i = 0; i < subsets.size(); ++i) {
          const int entry = dictionary.Find(SubsetOf(filters, filter, tap, subsets[i]));
          const size_t group =
              GroupOf(static_cast<size_t>(tap) * filters.in_c + subsets[i].first_channel);
          const int table = static_cast<int>(i) % tables.count;
          groups.Of(group)[table] = static_cast<int8_t>(table * tables.entries() + entry);
        }
      }
    }
    return PrepareTableFilters(problem, lanes, Filters(), plan_.wide());
  }

  // Where a filter's bytes of each group are.
  struct FilterWeights {
    int8_t* first;
    size_t group_bytes;  // from group to group

    int8_t* Of(size_t group) const { return first + group * group_bytes; }
  };

  FilterWeights WeightsOf(int lane) const {
    const DenseBlock& block = *std::find_if(
        plan_.blocks.begin(), plan_.blocks.end(),
        [lane](const DenseBlock& b) { return lane < b.first_filter + b.vectors * kDenseLanes; });
    const int within = lane - block.first_filter, vector = within / kDenseLanes;
    // The sums of a look-up for 64 filters are widened to the vectors of every fourth.
    const size_t in_group = plan_.wide() ? within % kDenseLanes * block.vectors + vector
                                         : within * plan_.filter_bytes();
    return {&weights_[block.weights_offset + in_group],
            block.vectors * kDenseLanes * plan_.filter_bytes()};
  }

  // Weights that follow one another without padding: of a pixel, or of a row that groups run
  // through.
  size_t RunWeights() const {
    return static_cast<size_t>(plan_.shape.in_c) * (plan_.run_on ? plan_.shape.kernel_w : 1);
  }

  // The place of weight `k` of a filter in its run.
  size_t PlaceOf(size_t k) const { return k % RunWeights(); }

  // The group of weight `k` of a filter.
  size_t GroupOf(size_t k) const {
    const size_t channels = plan_.group_channels();
    const size_t run_groups = plan_.run_on ? plan_.tap_groups : plan_.padded_c / channels;
    return k / RunWeights() * run_groups + PlaceOf(k) / channels;
  }

  Workspace MakeWorkspace() const {
    Workspace w;
    if (!plan_.direct) {
      // Behind the last pixel a group may run on, to weights of 0.
      w.ring = Aligned<int8_t>(plan_.ring_rows * plan_.row_bytes() + kDenseChannels);
      w.ring_row.resize(plan_.ring_rows);
    }
    if (filters_.has_background) {
      const size_t columns = plan_.ColumnsFor(plan_.strip);
      w.column_sums = Aligned<int32_t>(plan_.ring_rows * columns);
      w.window_rows.resize(plan_.shape.kernel_h);
      w.box = Aligned<int32_t>(plan_.strip);
    }
    w.taps.resize(plan_.taps);
    w.run_taps.resize(plan_.taps);
    w.sums = Aligned<int32_t>(kFlushedCalls * kMaxDenseSums * kDenseLanes);
    if (plan_.passes() > 1) {
      w.partial = Aligned<int32_t>(static_cast<size_t>(Filters()) * plan_.strip);
    }
    return w;
  }

  void RunTask(const StripTask& task, const int8_t* input, int8_t* output, Workspace* w) const {
    const ConvShape& s = plan_.shape;
    const int x0 = task.strip * plan_.strip;
    const bool last_strip = task.strip == plan_.strips() - 1;
    const int8_t* image = input + static_cast<size_t>(task.image) * s.in_h * s.in_w * s.in_c;
    output += (static_cast<size_t>(task.image) * s.out_h * s.out_w + x0) * s.out_c;

    DenseRow row = PrepareRow(x0, plan_.StripWidth(task.strip));
    std::fill(w->ring_row.begin(), w->ring_row.end(), kNoRow);
    for (size_t panel = 0; panel + 1 < plan_.panels.size(); ++panel) {
      const int first = std::max(task.first_block, plan_.panels[panel]);
      const int end = std::min(task.end_block, plan_.panels[panel + 1]);
      if (first >= end) continue;
      for (int y = task.first_row; y < task.end_row; ++y) {
        Stopwatch watch(profile_);
        PointTaps(image, y, &row, w);
        if (filters_.has_background) SumWindows(y, plan_.StripWidth(task.strip), w);
        int8_t* out_row = output + static_cast<size_t>(y) * s.out_w * s.out_c;
        watch.Lap(&w->times.tables_ns);
        for (int pass = 0; pass + 1 < plan_.passes(); ++pass) {
          for (int block = first; block < end; ++block) RunPass(block, last_strip, pass, w);
        }
        watch.Lap(&w->times.lookup_ns);
        for (int block = first; block < end; ++block) RunBlock(block, last_strip, out_row, w);
      }
    }
  }

  DenseRow PrepareRow(int x0, int width) const {
    const ConvShape& s = plan_.shape;
    DenseRow row = MakeDenseRow(s, x0 * s.stride_w - s.pad_left, plan_.column_step,
                                plan_.ColumnsFor(width), plan_.padded_c, output_.input_zero_point);
    row.recipe = &recipe_;
    return row;
  }

  // Points the taps at the input rows of output row y, or at copies of them.
  void PointTaps(const int8_t* image, int y, DenseRow* row, Workspace* w) const {
    const ConvShape& s = plan_.shape;
    int in_y = y * s.stride_h - s.pad_top;
    for (int dy = 0; dy < s.kernel_h; ++dy, in_y += s.dilation_h) {
      const bool inside = in_y >= 0 && in_y < s.in_h;
      row->row = inside ? image + static_cast<size_t>(in_y) * s.in_w * s.in_c : nullptr;
      const int8_t* first_column = plan_.direct
                                       ? row->row + static_cast<size_t>(row->inside_x) * s.in_c
                                       : CopyOfRow(in_y, row, w);
      for (int tap = 0; tap < plan_.taps_per_row; ++tap) {
        w->taps[dy * plan_.taps_per_row + tap] = first_column + tap * tap_bytes_;
      }
    }
  }

  int Slot(int in_y) const {
    const int slot = in_y % plan_.ring_rows;
    return slot < 0 ? slot + plan_.ring_rows : slot;
  }

  int32_t* ColumnSums(int slot, const Workspace& w) const {
    if (!filters_.has_background) return nullptr;
    return w.column_sums.get() + static_cast<size_t>(slot) * plan_.ColumnsFor(plan_.strip);
  }

  const int8_t* CopyOfRow(int in_y, DenseRow* row, Workspace* w) const {
    const int slot = Slot(in_y);
    row->out = w->ring.get() + slot * row_bytes_;
    if (w->ring_row[slot] != in_y) {
      row->sums = ColumnSums(slot, *w);
      (plan_.tables ? DenseTableRow : DenseCopyRow)(*row);
      w->ring_row[slot] = in_y;
    }
    return row->out;
  }

  // The sums of all channels in the windows of output row y.
  void SumWindows(int y, int width, Workspace* w) const {
    const ConvShape& s = plan_.shape;
    for (int dy = 0; dy < s.kernel_h; ++dy) {
      w->window_rows[dy] = ColumnSums(Slot(y * s.stride_h - s.pad_top + dy * s.dilation_h), *w);
    }
    WindowSums<int32_t> windows{};
    windows.columns = w->window_rows.data();
    windows.rows = s.kernel_h;
    windows.taps = s.kernel_w;
    windows.tap_step = plan_.tap_step();
    windows.pixel_step = plan_.pixel_step();
    windows.pixels = width;
    windows.totals = w->box.get();
    windows.total_step = 1;
    AddWindows(windows);
    if (filters_.words.get() == nullptr) return;
    for (int pixel = 0; pixel < width; ++pixel) {
      w->box[pixel] = (w->box[pixel] - kBoxOffset) * (1 << 16);
    }
  }

  DenseFlush MakeFlush(const DenseBlock& block) const {
    const int out_c = plan_.shape.out_c;
    DenseFlush flush{};
    flush.vectors = block.vectors;
    flush.filters = std::min(block.vectors * kDenseLanes, out_c - block.first_filter);
    flush.first_lane = block.first_filter;
    flush.rescale = filters_.rescale.view();
    flush.background = filters_.background.get();
    flush.difference = filters_.difference.get();
    flush.words = filters_.words.get();
    flush.bias = filters_.bias.get();
    flush.clamp_min = output_.clamp_min_i8;
    flush.clamp_max = output_.clamp_max_i8;
    flush.out_pixel = out_c;
    return flush;
  }

  // A block's microkernel calls of one pass.
  DenseTask PrepareTask(const DenseBlock& block, int pass, const Workspace& w) const {
    const int first_tap = pass * plan_.pass_taps();
    DenseTask task{};
    task.taps = w.run_taps.data() + first_tap;
    task.tap_count = plan_.pass_taps();
    task.blocks = plan_.tap_groups / kDenseBlockGroups;
    task.tail_groups = plan_.tap_groups % kDenseBlockGroups;
    task.pixel_bytes = static_cast<int64_t>(pixel_bytes_);
    task.weights = &weights_[block.weights_offset + first_tap * plan_.tap_groups * block.vectors *
                                                        kDenseLanes * plan_.filter_bytes()];
    task.bias = &filters_.start[block.first_filter];
    if (plan_.tables) task.factors = &filters_.factors[block.first_filter];
    return task;
  }

  // Runs the microkernel with the taps of the pass.
  void RunCall(const Call& call, int pass, DenseTask* task, Workspace* w) const {
    const size_t first_byte = static_cast<size_t>(call.run.first) * task->pixel_bytes;
    for (int t = pass * plan_.pass_taps(); t < (pass + 1) * plan_.pass_taps(); ++t) {
      w->run_taps[t] = w->taps[t] + first_byte;
    }
    call.kernel(task);
  }

  // Sums that a pass leaves of a block's first pixel.
  int32_t* Partial(const DenseBlock& block, Workspace* w) const {
    return &w->partial[static_cast<size_t>(block.first_filter) * plan_.strip];
  }

  void RunPass(int index, bool last_strip, int pass, Workspace* w) const {
    const DenseBlock& block = plan_.blocks[index];
    DenseTask task = PrepareTask(block, pass, *w);
    task.unfinished = 1;
    for (const Call& call : calls_[index].runs[last_strip]) {
      task.sums = Partial(block, w) + call.run.first * block.vectors * kDenseLanes;
      task.partial = pass == 0 ? nullptr : task.sums;
      RunCall(call, pass, &task, w);
    }
  }

  // The last pass, and the outputs.
  void RunBlock(int index, bool last_strip, int8_t* out_row, Workspace* w) const {
    const DenseBlock& block = plan_.blocks[index];
    const int out_c = plan_.shape.out_c, pass = plan_.passes() - 1;
    DenseTask task = PrepareTask(block, pass, *w);
    DenseFlush flush = calls_[index].flush;
    flush.sums = w->sums.get();
    const std::vector<Call>& calls = calls_[index].runs[last_strip];
    for (size_t i = 0; i < calls.size();) {
      const int first = calls[i].run.first;
      flush.pixels = 0;
      Stopwatch watch(profile_);
      for (const size_t end = std::min(i + kFlushedCalls, calls.size()); i < end; ++i) {
        task.sums = &w->sums[flush.pixels * block.vectors * kDenseLanes];
        if (pass > 0) {
          task.partial = Partial(block, w) + calls[i].run.first * block.vectors * kDenseLanes;
        }
        RunCall(calls[i], pass, &task, w);
        flush.pixels += calls[i].run.pixels;
      }
      watch.Lap(&w->times.lookup_ns);
      if (filters_.has_background) flush.box = &w->box[first];
      flush.row_outputs = flush.row_pixels = flush.pixels;
      flush.out = out_row + static_cast<size_t>(first) * out_c + block.first_filter;
      DenseFlushSums(flush);
      watch.Lap(&w->times.output_ns);
    }
  }

  const DensePlan plan_;
  const OutputStage& output_;
  const bool profile_;
  const Aligned<int8_t> weights_;
  const DenseFilters filters_;
  const size_t row_bytes_;    // of the ring
  const size_t tap_bytes_;    // from a tap of a kernel row to the next one
  const size_t pixel_bytes_;  // from an output pixel's first column to the next one's
  const DenseTableRecipe recipe_;
  std::vector<BlockCalls> calls_;  // [block]
  std::vector<StripTask> tasks_;
  std::vector<Workspace> workspaces_;
};

}  // namespace

std::unique_ptr<ConvKernel> MakeDenseKernel(const ConvProblem& problem, DensePlan plan,
                                            bool profile, int threads) {
  return std::make_unique<DenseConv>(problem, std::move(plan), profile, threads);
}

}  // namespace tf_signbin

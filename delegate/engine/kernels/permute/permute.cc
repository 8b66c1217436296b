// Register-permute convolution: filters in lanes, look-up tables in registers.
//
// For each input pixel and group of M input channels a table holds the sum of every channel subset
// of the layer's dictionary. A microkernel looks a group up for 32 (int8) or 16 (float32) filters
// with one permutation and adds it to accumulators that stay in registers. This file prepares a
// layer (recipe, parameters) and walks its tiles; the vector code is in permute_avx512.cc and
// permute_kernels_avx512.S.
#include "engine/kernels/permute/permute.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "engine/kernels/permute/permute_kernels.h"
#include "engine/kernels/permute/permute_ops.h"
#include "engine/kernels/permute/permute_plan.h"

namespace tf_signbin {
namespace {

constexpr int kMaxCallVectors = 24;  // largest P * F of any microkernel

double NowNs() {
  return std::chrono::duration<double, std::nano>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct FreeDelete {
  void operator()(void* p) const { std::free(p); }
};

// Zeroed storage aligned for vector loads.
template <typename T>
class Aligned {
 public:
  Aligned() = default;
  explicit Aligned(size_t count) : bytes_((count * sizeof(T) + 127) / 64 * 64) {
    data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes_)));
    if (!data_) throw std::bad_alloc();
    std::memset(static_cast<void*>(data_.get()), 0, bytes_);
  }
  T* get() const { return data_.get(); }
  T& operator[](size_t i) const { return data_.get()[i]; }
  size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<T, FreeDelete> data_;
  size_t bytes_ = 0;
};

PermuteKernelFn FindKernel(DataType type, int shared_taps, int pixels, int vectors) {
#define TF_SIGNBIN_CASE(taps, width, count)                                                 \
  if (shared_taps == taps && pixels == width && vectors == count) {                        \
    return type == DataType::kInt8 ? tf_signbin_permute_i8_t##taps##_p##width##f##count    \
                                   : tf_signbin_permute_f32_t##taps##_p##width##f##count;  \
  }
  TF_SIGNBIN_PERMUTE_KERNELS(TF_SIGNBIN_CASE)
#undef TF_SIGNBIN_CASE
  return nullptr;
}

TableRecipe MakeRecipe(const PermutePlan& plan) {
  const Dictionary& dictionary = plan.dictionary;
  const bool int8 = plan.type == DataType::kInt8;
  TableRecipe recipe;
  recipe.full = dictionary.full;
  recipe.channels = dictionary.channels;
  if (dictionary.full) return recipe;
  const int half_entries = int8 ? 32 : 16;
  const int zero_lane = int8 ? kZeroLaneI8 : kZeroLaneF32;
  const int negative_lane = int8 ? kNegativeLaneI8 : kNegativeLaneF32;
  const int groups = int8 ? kUnitGroupsI8 : kUnitGroupsF32;
  recipe.terms = dictionary.terms;
  recipe.halves = static_cast<int>(dictionary.entries.size()) > half_entries ? 2 : 1;
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
      for (int t = 0; t < kMaxTableTerms; ++t) {
        const int half = entry / half_entries, lane = entry % half_entries;
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
  const int unit_groups = plan.type == DataType::kInt8 ? kUnitGroupsI8 : kUnitGroupsF32;
  std::vector<TableUnit> units;
  const int groups = static_cast<int>(plan.groups.size());
  for (int g = 0; g < groups;) {
    TableUnit unit{plan.groups[g].channel, 0, g, 0};
    const int region = plan.groups[g].region;
    while (unit.groups < unit_groups && g < groups && plan.groups[g].region == region) {
      unit.count += plan.groups[g].count;
      ++unit.groups;
      ++g;
    }
    units.push_back(unit);
  }
  return units;
}

// Per-filter parameters, padded to whole vectors. T is int32_t or float.
template <typename T>
struct Parameters {
  Aligned<T> difference;  // b - a, [region][padded]
  Aligned<T> background;  // a, [region][padded]; empty when no filter has one
  Aligned<T> bias;
  Aligned<int32_t> multiplier, left_shift, right_shift, rounding, rounds;  // int8
  bool has_background = false;
  bool has_left_shift = false;
};

template <typename T, typename Value>
void FillValues(const PackedFilters& filters, const Value* values, int padded, Parameters<T>* out) {
  const int regions = filters.regions, per_region = filters.values_per_region();
  out->difference = Aligned<T>(static_cast<size_t>(regions) * padded);
  out->background = Aligned<T>(static_cast<size_t>(regions) * padded);
  for (int f = 0; f < filters.out_c; ++f) {
    for (int r = 0; r < regions; ++r) {
      const Value* v = values + (static_cast<size_t>(f) * regions + r) * per_region;
      const T a = per_region == 2 ? static_cast<T>(v[0]) : T(0);
      const T b = static_cast<T>(v[per_region - 1]);
      out->difference[static_cast<size_t>(r) * padded + f] = b - a;
      out->background[static_cast<size_t>(r) * padded + f] = a;
      out->has_background |= a != T(0);
    }
  }
}

Parameters<int32_t> MakeParameters(const PackedFilters& filters, const OutputStage& output,
                                   int padded, int32_t) {
  Parameters<int32_t> p;
  FillValues(filters, filters.values_i8.data(), padded, &p);
  p.bias = Aligned<int32_t>(padded);
  p.multiplier = Aligned<int32_t>(padded);
  p.left_shift = Aligned<int32_t>(padded);
  p.right_shift = Aligned<int32_t>(padded);
  p.rounding = Aligned<int32_t>(padded);
  p.rounds = Aligned<int32_t>(padded);
  const size_t weights = filters.weights_per_filter();
  const int region_channels = filters.in_c / filters.regions;
  for (int f = 0; f < filters.out_c; ++f) {
    // Tables hold raw activations; padding holds the zero point, so the correction is constant.
    int64_t weight_sum = 0;
    for (size_t k = 0; k < weights; ++k) {
      const int region = static_cast<int>(k % filters.in_c) / region_channels;
      const int32_t b_minus_a = p.difference[static_cast<size_t>(region) * padded + f];
      weight_sum += p.background[static_cast<size_t>(region) * padded + f];
      if (filters.bit(0, f, k)) weight_sum += b_minus_a;
      if (filters.planes() == 2 && filters.bit(1, f, k)) weight_sum -= b_minus_a;
    }
    const int64_t bias = output.bias_i32.empty() ? 0 : output.bias_i32[f];
    p.bias[f] = static_cast<int32_t>(bias - output.input_zero_point * weight_sum);
    p.multiplier[f] = output.multiplier[f];
    const int32_t shift = output.shift[f];
    p.left_shift[f] = std::max(shift, 0);
    p.right_shift[f] = std::max(-shift, 0);
    p.rounding[f] = shift < 0 ? 1 << (-shift - 1) : 0;
    p.rounds[f] = shift < 0 ? -1 : 0;
    p.has_left_shift |= shift > 0;
  }
  return p;
}

Parameters<float> MakeParameters(const PackedFilters& filters, const OutputStage& output,
                                 int padded, float) {
  Parameters<float> p;
  FillValues(filters, filters.values_f32.data(), padded, &p);
  p.bias = Aligned<float>(padded);
  for (int f = 0; f < filters.out_c; ++f) {
    p.bias[f] = output.bias_f32.empty() ? 0.0f : output.bias_f32[f];
  }
  return p;
}

// Activation is int8_t with Sum int32_t, or float with Sum float.
template <typename Activation, typename Sum>
class PermuteConv : public ConvKernel {
 public:
  PermuteConv(const ConvProblem& problem, PermutePlan plan, const PlanOptions& options,
              int threads)
      : plan_(std::move(plan)),
        output_(*problem.output),
        recipe_(MakeRecipe(plan_)),
        units_(MakeUnits(plan_)),
        padded_(plan_.vectors * plan_.lanes),
        parameters_(MakeParameters(*problem.filters, output_, padded_, Sum())),
        indices_(plan_.indices.size()),
        padding_(plan_.shape.in_c + 64),
        ops_(plan_.type == DataType::kInt8 ? PermuteOpsI8() : PermuteOpsF32()),
        profile_(options.profile) {
    std::copy(plan_.indices.begin(), plan_.indices.end(), indices_.get());
    plan_.indices = {};
    const Activation pad =
        plan_.type == DataType::kInt8 ? static_cast<Activation>(output_.input_zero_point) : 0;
    std::fill_n(padding_.get(), plan_.shape.in_c, pad);
    for (const FilterBlock& block : plan_.blocks) {
      std::vector<Call> calls[2];
      for (int last = 0; last < 2; ++last) {
        const int width = last ? LastStrip() : plan_.strip;
        for (const PixelRun& run : SplitPixels(block, width)) {
          calls[last].push_back({run, FindKernel(plan_.type, block.shared_taps, run.width,
                                                 block.vectors)});
        }
      }
      full_calls_.push_back(calls[0]);
      last_calls_.push_back(calls[1]);
    }
    // Units of each segment, for tables built segment by segment.
    for (const Segment& segment : plan_.segments) {
      const auto begin =
          std::find_if(units_.begin(), units_.end(), [&](const TableUnit& unit) {
            return unit.first_group >= segment.first_group;
          });
      const auto end = std::find_if(begin, units_.end(), [&](const TableUnit& unit) {
        return unit.first_group >= segment.first_group + segment.groups;
      });
      segment_units_.push_back({static_cast<int>(begin - units_.begin()),
                                static_cast<int>(end - begin)});
    }
    MakeTasks(threads);
    for (int t = 0; t < threads; ++t) workspaces_.push_back(MakeWorkspace());
  }

  void Run(const void* input, void* output, ThreadPool& pool) override {
    times_ = StageTimes();
    for (Workspace& workspace : workspaces_) workspace.times = StageTimes();
    pool.ParallelFor(static_cast<int>(tasks_.size()), [&](int task, int thread) {
      RunTask(tasks_[task], static_cast<const Activation*>(input),
              static_cast<Activation*>(output), &workspaces_[thread]);
    });
    for (const Workspace& workspace : workspaces_) {
      times_.tables_ns += workspace.times.tables_ns;
      times_.lookup_ns += workspace.times.lookup_ns;
      times_.output_ns += workspace.times.output_ns;
    }
  }

  std::string name() const override {
    const FilterBlock& block = plan_.blocks.front();
    return std::string("permute_avx512_") + (plan_.type == DataType::kInt8 ? "i8" : "f32") + "_m" +
           std::to_string(plan_.dictionary.channels) + "_t" + std::to_string(block.shared_taps) +
           "p" + std::to_string(full_calls_.front().front().run.width) + "f" +
           std::to_string(block.vectors);
  }

  size_t prepared_weight_bytes() const override {
    return indices_.bytes();
  }

  size_t workspace_bytes(int threads) const override {
    const Workspace& w = workspaces_.front();
    return threads * (w.ring.bytes() + w.accumulators.bytes() + w.column_sums.bytes() +
                      w.box.bytes() + w.sums.bytes());
  }

  StageTimes stage_times() const override { return times_; }

 private:
  struct Call {
    PixelRun run;
    PermuteKernelFn kernel;
  };
  struct UnitRange {
    int first, count;
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
    StageTimes times;
  };

  int StripCount() const { return (plan_.shape.out_w + plan_.strip - 1) / plan_.strip; }
  int LastStrip() const { return plan_.shape.out_w - (StripCount() - 1) * plan_.strip; }

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
    return w;
  }

  // Splits the work evenly: by image, strip and rows first, by filters where there are too few.
  void MakeTasks(int threads) {
    const ConvShape& s = plan_.shape;
    const int strips = StripCount(), blocks = static_cast<int>(plan_.blocks.size());
    const int units = s.batch * strips;
    int row_parts = 1, block_parts = 1;
    if (threads > 1 && units % threads != 0) {
      // Rows when they divide well enough, filters otherwise.
      const int parts = std::min(threads, s.out_h);
      const int largest = (s.out_h + parts - 1) / parts;
      const double row_balance = static_cast<double>(s.out_h) / (static_cast<double>(largest) * threads);
      if (blocks >= threads && (row_balance < 0.95 && blocks % threads == 0)) {
        block_parts = threads;
      } else if (blocks >= threads && s.out_h < threads) {
        block_parts = threads;
      } else {
        row_parts = parts;
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

  char* RingRow(const Workspace& w, int y) const {
    const int slot = (y % plan_.ring_rows + plan_.ring_rows) % plan_.ring_rows;
    return w.ring.get() + slot * (plan_.columns * plan_.column_bytes());
  }

  void RunTask(const Task& task, const Activation* input, Activation* output,
               Workspace* w) const {
    const ConvShape& s = plan_.shape;
    const int x0 = task.strip * plan_.strip;
    const bool last_strip = task.strip == StripCount() - 1;
    const int width = last_strip ? LastStrip() : plan_.strip;
    const auto& calls = last_strip ? last_calls_ : full_calls_;
    input += static_cast<size_t>(task.image) * s.in_h * s.in_w * s.in_c;
    output += (static_cast<size_t>(task.image) * s.out_h * s.out_w + x0) * s.out_c;

    TableRow row{};
    row.recipe = &recipe_;
    row.padding = padding_.get();
    row.first_x = x0 * s.stride_w - s.pad_left;
    row.step = plan_.column_step;
    row.in_w = s.in_w;
    row.in_c = s.in_c;
    row.columns =
        (width - 1) * plan_.pixel_step() + (s.kernel_w - 1) * plan_.tap_step() + 1;
    row.column_bytes = plan_.column_bytes();

    int next_row = std::numeric_limits<int>::min();  // first input row not yet in the ring
    for (int y = task.first_row; y < task.end_row; ++y) {
      const int top = y * s.stride_h - s.pad_top;
      double start = profile_ ? NowNs() : 0;
      const int bottom = top + (s.kernel_h - 1) * s.dilation_h;
      for (int in_y = std::max(top, next_row); in_y <= bottom; ++in_y) {
        if ((in_y - top) % s.dilation_h != 0 && s.stride_h % s.dilation_h == 0) continue;
        const bool inside = in_y >= 0 && in_y < s.in_h;
        row.row = inside ? input + static_cast<size_t>(in_y) * s.in_w * s.in_c : nullptr;
        if (!plan_.tables_per_segment) {
          row.tables = RingRow(*w, in_y);
          row.units = units_.data();
          row.unit_count = static_cast<int>(units_.size());
          ops_.build_tables(row);
        }
        if (parameters_.has_background) {
          const int slot = (in_y % plan_.ring_rows + plan_.ring_rows) % plan_.ring_rows;
          ops_.column_sums({row.row, padding_.get(), row.first_x, row.step, s.in_w, s.in_c,
                            row.columns, plan_.regions,
                            &w->column_sums[static_cast<size_t>(slot) * plan_.columns *
                                            plan_.regions]});
        }
      }
      next_row = std::max(next_row, bottom + 1);
      if (parameters_.has_background) WindowSums(top, width, w);
      if (profile_) w->times.tables_ns += NowNs() - start;
      Activation* out_row = output + static_cast<size_t>(y) * s.out_w * s.out_c;
      for (size_t segment = 0; segment < plan_.segments.size(); ++segment) {
        if (plan_.tables_per_segment) {
          if (profile_) start = NowNs();
          row.tables = w->ring.get();
          row.units = units_.data() + segment_units_[segment].first;
          row.unit_count = segment_units_[segment].count;
          ops_.build_tables(row);
          if (profile_) w->times.tables_ns += NowNs() - start;
        }
        RunSegment(task, segment, top, calls, out_row, w);
      }
    }
  }

  // box[pixel][region]: the window's sum over all channels of the region.
  void WindowSums(int top, int width, Workspace* w) const {
    const ConvShape& s = plan_.shape;
    for (int x = 0; x < width; ++x) {
      for (int region = 0; region < plan_.regions; ++region) {
        Sum sum = 0;
        for (int dy = 0; dy < s.kernel_h; ++dy) {
          const int in_y = top + dy * s.dilation_h;
          const int slot = (in_y % plan_.ring_rows + plan_.ring_rows) % plan_.ring_rows;
          const Sum* sums =
              &w->column_sums[static_cast<size_t>(slot) * plan_.columns * plan_.regions];
          for (int dx = 0; dx < s.kernel_w; ++dx) {
            sum += sums[static_cast<size_t>(x * plan_.pixel_step() + dx * plan_.tap_step()) *
                            plan_.regions + region];
          }
        }
        w->box[static_cast<size_t>(x) * plan_.regions + region] = sum;
      }
    }
  }

  void RunSegment(const Task& task, size_t segment_index, int top,
                  const std::vector<std::vector<Call>>& calls, Activation* out_row,
                  Workspace* w) const {
    const ConvShape& s = plan_.shape;
    const Segment& segment = plan_.segments[segment_index];
    const size_t column_bytes = plan_.column_bytes();
    const int group = plan_.tables_per_segment ? 0 : segment.first_group;

    PermuteTask call{};
    call.taps = w->taps.data();
    call.blocks = segment.groups / plan_.word_groups;
    call.tail_groups = segment.groups % plan_.word_groups;
    call.column_bytes = static_cast<int64_t>(plan_.pixel_step() * column_bytes);
    call.out = w->sums.get();

    Flush flush{};
    flush.sums = w->sums.get();
    flush.filters = s.out_c;
    flush.first = segment_index == 0;
    flush.last = segment_index + 1 == plan_.segments.size();
    flush.padded_filters = padded_;
    flush.difference = &parameters_.difference[static_cast<size_t>(segment.region) * padded_];
    flush.regions = parameters_.has_background ? plan_.regions : 0;
    flush.background = parameters_.background.get();
    flush.bias = parameters_.bias.get();
    flush.multiplier = parameters_.multiplier.get();
    flush.left_shift = parameters_.has_left_shift ? parameters_.left_shift.get() : nullptr;
    flush.right_shift = parameters_.right_shift.get();
    flush.rounding = parameters_.rounding.get();
    flush.rounds = parameters_.rounds.get();
    flush.zero_point = output_.output_zero_point;
    flush.clamp_min = output_.clamp_min_i8;
    flush.clamp_max = output_.clamp_max_i8;
    flush.clamp_min_f32 = output_.clamp_min_f32;
    flush.clamp_max_f32 = output_.clamp_max_f32;
    flush.out_pixel = s.out_c;

    // Blocks of one width see the same pixel runs; tables of a run stay in cache for all of them.
    for (int first = task.first_block; first < task.end_block;) {
      int end = first + 1;
      while (end < task.end_block && SameRuns(plan_.blocks[first], plan_.blocks[end])) ++end;
      const FilterBlock& shape = plan_.blocks[first];
      const int taps_per_row = s.kernel_w / shape.shared_taps;
      call.tap_count = segment.rows * taps_per_row;
      flush.vectors = shape.vectors;
      for (size_t r = 0; r < calls[first].size(); ++r) {
        const PixelRun& run = calls[first][r].run;
        const PermuteKernelFn kernel = calls[first][r].kernel;
        for (int tap = 0; tap < call.tap_count; ++tap) {
          const int dy = segment.first_row + tap / taps_per_row;
          const int dx = tap % taps_per_row * shape.shared_taps;
          const int column = run.first * plan_.pixel_step() + dx * plan_.tap_step();
          w->taps[tap] = RingRow(*w, top + dy * s.dilation_h) + column * column_bytes +
                         static_cast<size_t>(group) * kTableBytes;
        }
        flush.pixels = run.pixels;
        flush.accumulators = &w->accumulators[static_cast<size_t>(run.first) * padded_];
        flush.box = &w->box[static_cast<size_t>(run.first) * plan_.regions];
        flush.out = out_row + static_cast<size_t>(run.first) * s.out_c;
        for (int b = first; b < end; ++b) {
          call.indices =
              &indices_[plan_.index_offset[b * plan_.segments.size() + segment_index]];
          const double start = profile_ ? NowNs() : 0;
          kernel(&call);
          const double middle = profile_ ? NowNs() : 0;
          flush.first_filter = plan_.blocks[b].first_vector * plan_.lanes;
          ops_.flush(flush);
          if (profile_) {
            w->times.lookup_ns += middle - start;
            w->times.output_ns += NowNs() - middle;
          }
        }
      }
      first = end;
    }
  }

  static bool SameRuns(const FilterBlock& a, const FilterBlock& b) {
    return a.vectors == b.vectors && a.shared_taps == b.shared_taps;
  }

  PermutePlan plan_;
  const OutputStage& output_;
  const TableRecipe recipe_;
  const std::vector<TableUnit> units_;
  const int padded_;  // filters, rounded up to whole vectors
  const Parameters<Sum> parameters_;
  const Aligned<uint16_t> indices_;    // the plan's, aligned for vector loads
  const Aligned<Activation> padding_;  // one pixel
  const PermuteOps& ops_;
  const bool profile_;
  std::vector<std::vector<Call>> full_calls_, last_calls_;  // [block][run]
  std::vector<UnitRange> segment_units_;
  std::vector<Task> tasks_;
  std::vector<Workspace> workspaces_;
  StageTimes times_;
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

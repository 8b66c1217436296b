// A tile of output pixels at a time: their windows are copied side by side, unless they lie so;
// every panel of filters is multiplied with them; the microkernels that have filters in lanes write
// the outputs, for the others the output stage of pixels in lanes does.
#include "engine/kernels/gemm/gemm.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "engine/aligned.h"
#include "engine/ceil_div.h"
#include "engine/kernels/gemm/windows.h"
#include "engine/kernels/output/filter_lanes.h"
#include "engine/kernels/output/folding.h"
#include "engine/kernels/output/pixel_lanes.h"
#include "engine/kernels/output/tflite_rules.h"
#include "engine/stopwatch.h"
#include "engine/unpack.h"

namespace tf_signbin {
namespace gemm {
namespace {

constexpr int kFiltersAtATime = 64;  // whose sums wait for the output stage

class GemmConv final : public ConvKernel {
 public:
  GemmConv(const ConvProblem& problem, const GemmOps& ops, bool profile, int threads)
      : ops_(ops),
        write_(output::PixelLanesOpsFor(ops.isa)),
        profile_(profile),
        shape_(problem.shape),
        output_(*problem.output),
        depth_(ops.PaddedDepth(static_cast<int>(problem.filters->weights_per_filter()))),
        panels_(CeilDiv(shape_.out_c, ops.filters)),
        pixels_(shape_.batch * shape_.out_h * shape_.out_w),
        tiles_(CeilDiv(pixels_, kTilePixels)),
        windows_(shape_, output_.input_zero_point, depth_),
        writes_(Writes(shape_, ops)),
        in_place_(TakesInPlace(shape_, ops)),
        weights_(panels_ * panel_bytes()) {
    PackWeights(*problem.filters);
    // Too few tiles to divide well: the filters are divided, at the price of copying twice.
    parts_ = tiles_ >= 4 * threads ? 1 : std::min(threads, panels_);
    for (int t = 0; t < threads; ++t) workspaces_.push_back(MakeWorkspace());
  }

  void Run(const void* input, void* output, ThreadPool& pool) override {
    ResetTimes(&workspaces_);
    pool.ParallelFor(tiles_ * parts_, [&](int task, int thread) {
      RunTask(task / parts_, task % parts_, static_cast<const int8_t*>(input),
              static_cast<int8_t*>(output), &workspaces_[thread]);
    });
  }

  std::string name() const override {
    return std::string("gemm_") + IsaName(ops_.isa) + "_i8_p" + std::to_string(ops_.pixels) + "f" +
           std::to_string(ops_.filters);
  }

  size_t prepared_weight_bytes() const override {
    return weights_.bytes() + biases_.bytes() + params_.size() * sizeof(params_[0]);
  }

  size_t workspace_bytes(int threads) const override {
    const Workspace& w = workspaces_.front();
    return threads * (w.rows.bytes() + w.wide_rows.bytes() + w.sums.bytes());
  }

  StageTimes stage_times() const override { return SumOfTimes(workspaces_); }

 private:
  struct Workspace {
    Aligned<int8_t> rows;        // [kTilePixels, depth]
    Aligned<int16_t> wide_rows;  // the same, for GemmOps::widen
    Aligned<int32_t> sums;       // [kFiltersAtATime, kTilePixels]
    std::vector<int8_t*> outputs;
    StageTimes times;
  };

  size_t panel_bytes() const { return ops_.element_bytes() * ops_.filters * depth_; }

  void PackWeights(const PackedFilters& filters) {
    const int count = static_cast<int>(filters.weights_per_filter());
    std::vector<int8_t> weights(count);
    if (writes_) {
      MakeRescale(filters);
    } else {
      params_.resize(filters.out_c);
    }
    const int largest_input =
        std::max(128 + output_.input_zero_point, 127 - output_.input_zero_point);
    for (int filter = 0; filter < filters.out_c; ++filter) {
      UnpackFilter(filters, filters.values_i8, filter, weights.data());
      int8_t* panel = &weights_[filter / ops_.filters * panel_bytes()];
      const int d = rescale_.takes_sums() ? output::CommonMagnitude(weights) : 1;
      for (int k = 0; k < count; ++k) {
        const size_t at = ops_.PackedIndex(depth_, filter % ops_.filters, k);
        if (ops_.widen == nullptr) {
          panel[at] = static_cast<int8_t>(weights[k] / d);
        } else {
          reinterpret_cast<int16_t*>(panel)[at] = weights[k];
        }
      }
      const WeightTotals totals = TotalsOf(filters, filter);
      const int64_t bias = output::FoldedBias(output_, filter, totals);
      if (writes_) {
        const int64_t start = ops_.offset() * totals.sum() / d;
        biases_[filter] = static_cast<int32_t>((rescale_.takes_sums() ? 0 : bias) - start);
        continue;
      }
      output::ParamsI8& p = params_[filter];
      p.bias = static_cast<int32_t>(bias);
      output::SetMultiplier(output_, filter, &p);
      fast_ &= output::AllowsFast(output_, filter, totals.magnitude(), largest_input);
    }
  }

  void MakeRescale(const PackedFilters& filters) {
    std::vector<int> lanes(filters.out_c);
    std::iota(lanes.begin(), lanes.end(), 0);
    std::vector<FilterSums> sums;
    std::vector<int8_t> weights(filters.weights_per_filter());
    for (int filter = 0; ops_.rescales_sums && filter < filters.out_c; ++filter) {
      UnpackFilter(filters, filters.values_i8, filter, weights.data());
      const WeightTotals totals = TotalsOf(filters, filter);
      sums.push_back(output::SumsOf(totals, output::CommonMagnitude(weights),
                                    output::FoldedBias(output_, filter, totals), -128, 127));
    }
    const int padded = (panels_ - 1) * ops_.filters + kWriteFilters;
    rescale_ = Rescale(output_, padded, lanes, sums);
    biases_ = Aligned<int32_t>(padded);
  }

  Workspace MakeWorkspace() const {
    Workspace w;
    if (!in_place_ || ops_.to_unsigned != nullptr) {
      w.rows = Aligned<int8_t>(static_cast<size_t>(kTilePixels) * depth_);
    }
    if (ops_.widen != nullptr) {
      w.wide_rows = Aligned<int16_t>(static_cast<size_t>(kTilePixels) * depth_);
    }
    if (!writes_) {
      w.sums = Aligned<int32_t>(static_cast<size_t>(kFiltersAtATime) * kTilePixels);
      w.outputs.resize(kTilePixels);
    }
    return w;
  }

  void RunTask(int tile, int part, const int8_t* input, int8_t* output, Workspace* w) const {
    const int first_pixel = tile * kTilePixels;
    const int pixels = std::min(kTilePixels, pixels_ - first_pixel);
    Stopwatch watch(profile_);
    if (!in_place_) windows_.Copy(first_pixel, pixels, input, w->rows.get());
    const int8_t* rows =
        in_place_ ? input + static_cast<size_t>(first_pixel) * depth_ : w->rows.get();
    if (ops_.to_unsigned != nullptr) {
      ops_.to_unsigned(rows, static_cast<size_t>(pixels) * depth_, w->rows.get());
      rows = w->rows.get();
    }
    const int end = panels_ * (part + 1) / parts_;
    if (writes_) {
      watch.Lap(&w->times.tables_ns);
      WritePanels(rows, first_pixel, pixels, panels_ * part / parts_, end, output);
      watch.Lap(&w->times.lookup_ns);
      return;
    }
    PanelArgs args;
    args.rows = rows;
    args.row_bytes = depth_ * ops_.element_bytes();
    if (ops_.widen != nullptr) {
      ops_.widen(w->rows.get(), static_cast<size_t>(pixels) * depth_, w->wide_rows.get());
      args.rows = w->wide_rows.get();
    }
    watch.Lap(&w->times.tables_ns);

    const bool row = pixels == 1 && ops_.row != nullptr;
    args.depth = depth_;
    args.pixels = pixels;
    const int step = kFiltersAtATime / ops_.filters;
    for (int first = panels_ * part / parts_; first < end; first += step) {
      args.sums = w->sums.get();
      for (int panel = first; panel < std::min(first + step, end); ++panel) {
        args.weights = &weights_[panel * panel_bytes()];
        (row ? ops_.row : ops_.panel)(args);
        args.sums += ops_.filters * (row ? 1 : kTilePixels);
      }
      watch.Lap(&w->times.lookup_ns);
      const int first_filter = first * ops_.filters;
      const int filters = std::min(std::min(first + step, end) * ops_.filters, shape_.out_c);
      if (row) {
        WriteRow(first_pixel, first_filter, filters - first_filter, output, *w);
      } else {
        WriteOutput(first_pixel, pixels, first_filter, filters - first_filter, output, w);
      }
      watch.Lap(&w->times.output_ns);
    }
  }

  // Panels [first, end) of the rows of pixels, by GemmOps::write.
  void WritePanels(const int8_t* rows, int first_pixel, int pixels, int first, int end,
                   int8_t* output) const {
    OutputArgs args;
    args.rows = rows;
    args.row_bytes = args.depth = depth_;
    args.weights = &weights_[first * panel_bytes()];
    args.pixels = pixels;
    args.first_lane = first * ops_.filters;
    args.filters = std::min(end * ops_.filters, shape_.out_c) - args.first_lane;
    args.biases = &biases_[args.first_lane];
    args.rescale = rescale_.view();
    args.least = static_cast<int8_t>(output_.clamp_min_i8);
    args.most = static_cast<int8_t>(output_.clamp_max_i8);
    args.out = output + static_cast<size_t>(first_pixel) * shape_.out_c + args.first_lane;
    args.out_row_bytes = shape_.out_c;
    ops_.write(args);
  }

  // The row whose sum is in that lane once the output stage has put the lanes in order.
  int RowOfLane(int lane) const {
    const int split = write_.split_lanes;
    if (split == 0) return lane;
    const int in_split = lane % split;
    return lane - in_split + in_split % 2 * (split / 2) + in_split / 2;
  }

  void WriteOutput(int first_pixel, int pixels, int first_filter, int filters, int8_t* output,
                   Workspace* w) const {
    output += static_cast<size_t>(first_pixel) * shape_.out_c + first_filter;
    for (int lane = 0; lane < kTilePixels; ++lane) {
      const int row = RowOfLane(lane);
      w->outputs[lane] = row < pixels ? output + static_cast<size_t>(row) * shape_.out_c : nullptr;
    }
    output::ArgsI8 args = output::MakeArgs(output_, params_, fast_, first_filter, filters);
    args.total = w->sums.get();
    args.lanes = kTilePixels;
    args.pixels = w->outputs.data();
    write_.i8(args);
  }

  // Of one pixel, whose filters are not in lanes. Writing bytes may change any number that is not
  // a local one, as far as compilers know.
  void WriteRow(int pixel, int first_filter, int filters, int8_t* output,
                const Workspace& w) const {
    output += static_cast<size_t>(pixel) * shape_.out_c + first_filter;
    const int32_t* sums = w.sums.get();
    const output::ParamsI8* params = &params_[first_filter];
    const int32_t zero_point = output_.output_zero_point;
    const int32_t least = output_.clamp_min_i8, most = output_.clamp_max_i8;
    const auto write = [=](const auto& rescale) {
      for (int i = 0; i < filters; ++i) {
        const int32_t scaled = rescale(AddZeroPoint(sums[i], params[i].bias), i);
        const int32_t y = AddZeroPoint(scaled, zero_point);
        output[i] = static_cast<int8_t>(std::min(std::max(y, least), most));
      }
    };
    if (output_.real_multiplier.empty()) {
      const int32_t* multipliers = &output_.multiplier[first_filter];
      const int32_t* shifts = &output_.shift[first_filter];
      write([=](int32_t x, int i) {
        return MultiplyByQuantizedMultiplier(x, multipliers[i], shifts[i]);
      });
    } else {
      const double* multipliers = &output_.real_multiplier[first_filter];
      write([=](int32_t x, int i) { return MultiplyByRealMultiplier(x, multipliers[i]); });
    }
  }

  const GemmOps& ops_;
  const output::PixelLanesOps& write_;
  const bool profile_;
  const ConvShape shape_;
  const OutputStage& output_;
  const int depth_;  // weights of a filter, padded
  const int panels_, pixels_;
  const int tiles_;
  const Windows windows_;
  const bool writes_;              // the microkernels do
  const bool in_place_;            // rows of windows are those of the input
  int parts_ = 1;                  // of the filters
  const Aligned<int8_t> weights_;  // [panels]
  // For GemmOps::write:
  Rescale rescale_;
  Aligned<int32_t> biases_;  // [filters, padded]
  // Else:
  std::vector<output::ParamsI8> params_;
  bool fast_ = true;  // output::ArgsI8
  std::vector<Workspace> workspaces_;
};

}  // namespace

bool Supports(const ConvProblem& problem, const GemmOps& ops) {
  const std::vector<int8_t>& values = problem.filters->values_i8;
  return ops.takes_least || std::find(values.begin(), values.end(), -128) == values.end();
}

bool Writes(const ConvShape& s, const GemmOps& ops) {
  return ops.write != nullptr && (ops.panel == nullptr || s.batch * s.out_h * s.out_w == 1);
}

bool TakesInPlace(const ConvShape& s, const GemmOps& ops) {
  return Writes(s, ops) && s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 &&
         s.stride_w == 1 && s.out_h == s.in_h && s.out_w == s.in_w && s.pad_top == 0 &&
         s.pad_left == 0 && s.in_c % ops.in_place_unit() == 0;
}

std::unique_ptr<ConvKernel> MakeGemmConv(const ConvProblem& problem, const GemmOps& ops,
                                         bool profile, int threads) {
  return std::make_unique<GemmConv>(problem, ops, profile, threads);
}

}  // namespace gemm
}  // namespace tf_signbin

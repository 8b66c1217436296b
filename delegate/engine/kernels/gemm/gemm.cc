// A tile of output pixels at a time: their windows are copied side by side (im2col), so that depth
// is padded once for a window instead of once for each of its taps; every panel of filters is
// multiplied with them; the output stage of pixels in lanes writes the
// results.
#include "engine/kernels/gemm/gemm.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "engine/aligned.h"
#include "engine/ceil_div.h"
#include "engine/kernels/output/folding.h"
#include "engine/kernels/output/pixel_lanes.h"
#include "engine/kernels/output/tflite_rules.h"
#include "engine/stopwatch.h"
#include "engine/unpack.h"

namespace tf_signbin {
namespace gemm {
namespace {

constexpr int kFiltersAtATime = 64;  // whose sums wait for the output stage
constexpr int64_t kLargestSum = std::numeric_limits<int32_t>::max();

// Copies `count` runs of `bytes` >= kChunk that lie `step` apart, in chunks of which the last
// overlaps the one before; two of them without `kMany`.
template <int kChunk, bool kMany>
void CopyRuns(const int8_t* from, size_t step, int count, int bytes, int8_t* to) {
  const int last = bytes - kChunk;
  for (int i = 0; i < count; ++i, from += step, to += bytes) {
    std::memcpy(to, from, kChunk);
    for (int k = kChunk; kMany && k < last; k += kChunk) std::memcpy(to + k, from + k, kChunk);
    std::memcpy(to + last, from + last, kChunk);
  }
}

using CopyRunsFn = void (*)(const int8_t* from, size_t step, int count, int bytes, int8_t* to);

// The function for runs of that many bytes: none calls memcpy.
CopyRunsFn FindCopyRuns(int bytes) {
  if (bytes > 32) return CopyRuns<16, true>;
  if (bytes > 16) return CopyRuns<16, false>;
  if (bytes > 8) return CopyRuns<8, false>;
  if (bytes > 4) return CopyRuns<4, false>;
  return CopyRuns<1, true>;
}

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
        copy_runs_(FindCopyRuns(shape_.kernel_w * shape_.in_c)),
        weights_(panels_ * panel_bytes()) {
    PackWeights(*problem.filters);
    // The output columns whose windows have all their columns inside the image.
    const int last = (shape_.kernel_w - 1) * shape_.dilation_w;
    inside_begin_ = std::min(CeilDiv(shape_.pad_left, shape_.stride_w), shape_.out_w);
    const int right = shape_.in_w - 1 - last + shape_.pad_left;  // of the last such window
    inside_end_ = right < 0 ? 0 : std::min(right / shape_.stride_w + 1, shape_.out_w);
    // Too few tiles to divide well: the filters are divided, at the price of copying twice.
    parts_ = tiles_ >= 4 * threads ? 1 : std::min(threads, panels_);
    for (int t = 0; t < threads; ++t) workspaces_.push_back(MakeWorkspace());
  }

  void Run(const void* input, void* output, ThreadPool& pool) override {
    for (Workspace& workspace : workspaces_) workspace.times = StageTimes();
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
    return weights_.bytes() + params_.size() * sizeof(params_[0]);
  }

  size_t workspace_bytes(int threads) const override {
    const Workspace& w = workspaces_.front();
    return threads * (w.rows.bytes() + w.wide_rows.bytes() + w.sums.bytes());
  }

  StageTimes stage_times() const override {
    StageTimes times;
    for (const Workspace& workspace : workspaces_) times += workspace.times;
    return times;
  }

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
    params_.resize(filters.out_c);
    for (int filter = 0; filter < filters.out_c; ++filter) {
      UnpackFilter(filters, filters.values_i8, filter, weights.data());
      int8_t* panel = &weights_[filter / ops_.filters * panel_bytes()];
      const int largest_input =
          std::max(128 + output_.input_zero_point, 127 - output_.input_zero_point);
      for (int k = 0; k < count; ++k) {
        const size_t at = ops_.PackedIndex(depth_, filter % ops_.filters, k);
        if (ops_.widen == nullptr) {
          panel[at] = weights[k];
        } else {
          reinterpret_cast<int16_t*>(panel)[at] = weights[k];
        }
      }
      const WeightTotals totals = TotalsOf(filters, filter);
      output::ParamsI8& p = params_[filter];
      const int64_t bias =
          output::FoldedBias(output_, filter, totals) - ops_.offset() * totals.sum();
      p.bias = static_cast<int32_t>(bias);
      output::SetMultiplier(output_, filter, &p);
      fast_ &= output::AllowsFast(output_, filter, totals.magnitude(), largest_input);
      // The fast rule adds the bias in 64 bits, and so bears no sum that wrapped.
      fast_ &= ops_.offset() == 0 || std::abs(bias) + 255 * totals.magnitude() <= kLargestSum;
    }
  }

  Workspace MakeWorkspace() const {
    Workspace w;
    w.rows = Aligned<int8_t>(static_cast<size_t>(kTilePixels) * depth_);
    if (ops_.widen != nullptr) {
      w.wide_rows = Aligned<int16_t>(static_cast<size_t>(kTilePixels) * depth_);
    }
    w.sums = Aligned<int32_t>(static_cast<size_t>(kFiltersAtATime) * kTilePixels);
    w.outputs.resize(kTilePixels);
    return w;
  }

  void RunTask(int tile, int part, const int8_t* input, int8_t* output, Workspace* w) const {
    const int first_pixel = tile * kTilePixels;
    const int pixels = std::min(kTilePixels, pixels_ - first_pixel);
    Stopwatch watch(profile_);
    CopyWindows(first_pixel, pixels, input, w->rows.get());
    PanelArgs args;
    args.rows = w->rows.get();
    args.row_bytes = depth_ * ops_.element_bytes();
    if (ops_.widen != nullptr) {
      ops_.widen(w->rows.get(), static_cast<size_t>(pixels) * depth_, w->wide_rows.get());
      args.rows = w->wide_rows.get();
    } else if (ops_.to_unsigned != nullptr) {
      ops_.to_unsigned(w->rows.get(), static_cast<size_t>(pixels) * depth_);
    }
    watch.Lap(&w->times.tables_ns);

    const bool row = pixels == 1 && ops_.row != nullptr;
    args.depth = depth_;
    args.pixels = pixels;
    const int end = panels_ * (part + 1) / parts_;
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

  // The windows of consecutive output pixels, to rows of depth_.
  void CopyWindows(int first_pixel, int pixels, const int8_t* input, int8_t* rows) const {
    const ConvShape& s = shape_;
    const size_t image_bytes = static_cast<size_t>(s.in_h) * s.in_w * s.in_c;
    int x = first_pixel % s.out_w, y = first_pixel / s.out_w % s.out_h;
    const int8_t* image = input + first_pixel / s.out_w / s.out_h * image_bytes;
    while (pixels > 0) {
      const int count = std::min(pixels, s.out_w - x);
      CopyRowOfWindows(image, y, x, x + count, rows);
      rows += static_cast<size_t>(count) * depth_;
      pixels -= count;
      x = 0;
      if (++y < s.out_h) continue;
      y = 0;
      image += image_bytes;
    }
  }

  // Those of the pixels [x, end) of output row y.
  void CopyRowOfWindows(const int8_t* image, int y, int x, int end, int8_t* to) const {
    const ConvShape& s = shape_;
    const size_t in_row_bytes = static_cast<size_t>(s.in_w) * s.in_c;
    const int first_y = y * s.stride_h - s.pad_top;
    const bool inside =
        s.dilation_w == 1 && first_y >= 0 && first_y + (s.kernel_h - 1) * s.dilation_h < s.in_h;
    const int inside_end = inside ? std::min(inside_end_, end) : 0;
    for (; x < (inside_end > inside_begin_ ? std::min(inside_begin_, end) : end); ++x) {
      CopyWindow(image, first_y, x * s.stride_w - s.pad_left, to);
      to += depth_;
    }
    const int8_t* from = image + static_cast<ptrdiff_t>(first_y * in_row_bytes) +
                         static_cast<ptrdiff_t>(x * s.stride_w - s.pad_left) * s.in_c;
    for (; x < inside_end; ++x, from += s.stride_w * s.in_c, to += depth_) {
      copy_runs_(from, s.dilation_h * in_row_bytes, s.kernel_h, s.kernel_w * s.in_c, to);
    }
    for (; x < end; ++x, to += depth_) {
      CopyWindow(image, first_y, x * s.stride_w - s.pad_left, to);
    }
  }

  // One window, which may reach beyond the image.
  void CopyWindow(const int8_t* image, int first_y, int first_x, int8_t* to) const {
    const ConvShape& s = shape_;
    const int8_t padding = static_cast<int8_t>(output_.input_zero_point);
    const auto pad = [&](int columns) {
      std::memset(to, padding, static_cast<size_t>(columns) * s.in_c);
      to += columns * s.in_c;
    };
    // Columns that one copy takes.
    const int width = s.dilation_w == 1 ? s.kernel_w : 1;
    int in_y = first_y;
    for (int dy = 0; dy < s.kernel_h; ++dy, in_y += s.dilation_h) {
      int in_x = first_x;
      for (int dx = 0; dx < s.kernel_w; dx += width, in_x += s.dilation_w) {
        const int left = std::min(std::max(-in_x, 0), width);
        const int right = std::max(std::min(s.in_w - in_x, width), left);
        if (in_y < 0 || in_y >= s.in_h || left == right) {
          pad(width);
          continue;
        }
        pad(left);
        const size_t pixel = static_cast<size_t>(in_y) * s.in_w + in_x + left;
        std::memcpy(to, image + pixel * s.in_c, static_cast<size_t>(right - left) * s.in_c);
        to += (right - left) * s.in_c;
        pad(width - right);
      }
    }
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
  const CopyRunsFn copy_runs_;
  int inside_begin_ = 0, inside_end_ = 0;
  int parts_ = 1;                  // of the filters
  const Aligned<int8_t> weights_;  // [panels]
  std::vector<output::ParamsI8> params_;
  bool fast_ = true;  // output::ArgsI8
  std::vector<Workspace> workspaces_;
};

}  // namespace

bool Supports(const ConvProblem& problem, const GemmOps& ops) {
  const std::vector<int8_t>& values = problem.filters->values_i8;
  return ops.takes_least || std::find(values.begin(), values.end(), -128) == values.end();
}

std::unique_ptr<ConvKernel> MakeGemmConv(const ConvProblem& problem, const GemmOps& ops,
                                         bool profile, int threads) {
  return std::make_unique<GemmConv>(problem, ops, profile, threads);
}

}  // namespace gemm
}  // namespace tf_signbin

// Prepares a layer for matrix tiles and walks its blocks; the tiles are in tiles_amx.cc, copying
// and output stage are the dense family's.
#include "engine/kernels/dense/tiles.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "engine/aligned.h"
#include "engine/kernels/dense/dense_filters.h"
#include "engine/kernels/dense/dense_ops.h"
#include "engine/stopwatch.h"
#include "engine/strip_tasks.h"

namespace tf_signbin {
namespace {

constexpr int kVectors = kTileFilters / kDenseLanes;

class TilesConv final : public ConvKernel {
 public:
  TilesConv(const ConvProblem& problem, TilesPlan plan, bool profile, int threads)
      : plan_(std::move(plan)),
        output_(*problem.output),
        profile_(profile),
        weights_(plan_.blocks() * plan_.block_bytes()),
        filters_(Prepare(*problem.filters)) {
    for (const TileChunk& chunk : plan_.chunks) offsets_.push_back(plan_.offset(chunk));
    StripWork work;
    work.images = plan_.shape.batch;
    work.strips = plan_.bands();
    work.blocks = plan_.blocks();
    tasks_ = DivideWork(work, threads);
    for (int t = 0; t < threads; ++t) {
      Workspace w;
      if (!plan_.direct) w.copy = Aligned<int8_t>(plan_.phases.size() * plan_.phase_bytes());
      w.sums = Aligned<int32_t>(static_cast<size_t>(kTilePositions) * kTileFilters);
      workspaces_.push_back(std::move(w));
    }
  }

  void Run(const void* input, void* output, ThreadPool& pool) override {
    for (Workspace& workspace : workspaces_) workspace.times = StageTimes();
    pool.ParallelFor(static_cast<int>(tasks_.size()), [&](int task, int thread) {
      RunTask(tasks_[task], static_cast<const int8_t*>(input), static_cast<int8_t*>(output),
              &workspaces_[thread]);
    });
  }

  std::string name() const override { return "dense_amx_i8_p32f2"; }

  size_t prepared_weight_bytes() const override { return weights_.bytes(); }

  size_t workspace_bytes(int threads) const override {
    const Workspace& w = workspaces_.front();
    return threads * (w.copy.bytes() + w.sums.bytes());
  }

  StageTimes stage_times() const override {
    StageTimes times;
    for (const Workspace& workspace : workspaces_) times += workspace.times;
    return times;
  }

 private:
  struct Workspace {
    Aligned<int8_t> copy;  // of a band, one phase behind the other
    Aligned<int32_t> sums;
    StageTimes times;
  };

  DenseFilters Prepare(const PackedFilters& filters) const {
    const int padded = plan_.blocks() * kTileFilters;
    std::vector<int> lanes(filters.out_c);
    for (int lane = 0; lane < padded; ++lane) {
      const int in_block = lane % kTileFilters;
      const int filter = lane - in_block +
                         DenseLaneFilter(kVectors, in_block / kDenseLanes, in_block % kDenseLanes);
      if (filter < filters.out_c) lanes[filter] = lane;
    }
    return PrepareFilters(filters, output_, lanes, padded, /*offset=*/0,
                          [&](const std::vector<int8_t>& weights, int filter) {
                            PackFilter(weights, lanes[filter]);
                          });
  }

  // For each block and chunk two tiles: 16 groups of 4 weights of each of 16 filters.
  void PackFilter(const std::vector<int8_t>& weights, int lane) const {
    constexpr int kGroup = 4;
    const int in_block = lane % kTileFilters;
    int8_t* tile = &weights_[lane / kTileFilters * plan_.block_bytes()] +
                   in_block / kDenseLanes * kTileRows * kTileBytes +
                   in_block % kDenseLanes * kGroup;
    for (const TileChunk& chunk : plan_.chunks) {
      for (int i = 0; i < chunk.weights; ++i) {
        tile[i / kGroup * kTileBytes + i % kGroup] = weights[chunk.first_weight + i];
      }
      tile += kTileFilters * kTileBytes;
    }
  }

  void RunTask(const StripTask& task, const int8_t* input, int8_t* output, Workspace* w) const {
    const ConvShape& s = plan_.shape;
    const int first_row = task.strip * plan_.band_rows;
    const int rows = std::min(plan_.band_rows, s.out_h - first_row);
    input += static_cast<size_t>(task.image) * s.in_h * s.in_w * s.in_c;
    output += (static_cast<size_t>(task.image) * s.out_h + first_row) * s.out_w * s.out_c;

    Stopwatch watch(profile_);
    const int8_t* band = input + static_cast<size_t>(first_row) * s.in_w * s.in_c;
    if (!plan_.direct) {
      CopyBand(input, first_row, rows, w->copy.get());
      band = w->copy.get();
    }
    watch.Lap(&w->times.tables_ns);

    // All whole blocks first: the last one has a configuration of its own.
    const int positions = plan_.Positions(rows), rest = positions % kTilePositions;
    TilesConfigure(kTilePositions);
    for (int block = task.first_block; block < task.end_block; ++block) {
      for (int first = 0; first + kTilePositions <= positions; first += kTilePositions) {
        RunBlock(block, first, kTilePositions, band, output, w, &watch);
      }
    }
    if (rest > 0) {
      TilesConfigure(rest);
      for (int block = task.first_block; block < task.end_block; ++block) {
        RunBlock(block, positions - rest, rest, band, output, w, &watch);
      }
    }
    TilesRelease();
  }

  void CopyBand(const int8_t* image, int first_row, int rows, int8_t* copy) const {
    const ConvShape& s = plan_.shape;
    for (size_t phase = 0; phase < plan_.phases.size(); ++phase) {
      const TilePhase& p = plan_.phases[phase];
      int8_t* out = copy + phase * plan_.phase_bytes();
      const size_t row_bytes = static_cast<size_t>(plan_.columns) * s.in_c;
      const int first_x = p.column - s.pad_left;
      DenseRow row{};
      row.in_c = row.padded_c = s.in_c;
      row.columns = plan_.columns;
      row.step = s.stride_w;
      row.padding = static_cast<int8_t>(output_.input_zero_point);
      const auto columns_before = [&](int x) {
        const int columns = x > first_x ? CeilDiv(x - first_x, s.stride_w) : 0;
        return std::min(columns, row.columns);
      };
      row.inside = columns_before(0);
      row.right = columns_before(s.in_w);
      row.inside_x = first_x + row.inside * row.step;
      int in_y = first_row * s.stride_h + p.row - s.pad_top;
      if (s.in_w == plan_.columns && row.inside == 0 && s.stride_h == 1 && in_y >= 0 &&
          in_y + rows + plan_.more_rows <= s.in_h) {
        std::memcpy(out, image + in_y * row_bytes, (rows + plan_.more_rows) * row_bytes);
        continue;
      }
      for (int r = 0; r < rows + plan_.more_rows; ++r, in_y += s.stride_h, out += row_bytes) {
        const bool inside = in_y >= 0 && in_y < s.in_h;
        row.row = inside ? image + static_cast<size_t>(in_y) * s.in_w * s.in_c : nullptr;
        row.out = out;
        DenseCopyRow(row);
      }
    }
  }

  void RunBlock(int block, int first, int count, const int8_t* band, int8_t* output, Workspace* w,
                Stopwatch* watch) const {
    const ConvShape& s = plan_.shape;
    TileBlock tiles{};
    tiles.input = band + static_cast<size_t>(first) * s.in_c;
    tiles.offsets = offsets_.data();
    tiles.chunks = static_cast<int>(offsets_.size());
    tiles.position_bytes = s.in_c;
    tiles.weights = &weights_[block * plan_.block_bytes()];
    tiles.start = &filters_.start[block * kTileFilters];
    tiles.sums = w->sums.get();
    count > kTileRows ? TilesMultiplyTwo(tiles) : TilesMultiplyOne(tiles);
    watch->Lap(&w->times.lookup_ns);

    DenseFlush flush{};
    flush.vectors = kVectors;
    flush.first_lane = block * kTileFilters;
    flush.filters = std::min(kTileFilters, s.out_c - flush.first_lane);
    flush.rescale = filters_.rescale.view();
    flush.clamp_min = output_.clamp_min_i8;
    flush.clamp_max = output_.clamp_max_i8;
    flush.out_pixel = s.out_c;
    for (int position = first; position < first + count;) {
      const int y = position / plan_.columns, x = position % plan_.columns;
      const int end = std::min(first + count, (y + 1) * plan_.columns);
      flush.pixels = std::min(end, y * plan_.columns + s.out_w) - position;
      if (flush.pixels > 0) {
        flush.sums = w->sums.get() + static_cast<size_t>(position - first) * kTileFilters;
        flush.out = output + (static_cast<size_t>(y) * s.out_w + x) * s.out_c + flush.first_lane;
        DenseFlushSums(flush);
      }
      position = end;
    }
    watch->Lap(&w->times.output_ns);
  }

  const TilesPlan plan_;
  const OutputStage& output_;
  const bool profile_;
  const Aligned<int8_t> weights_;
  const DenseFilters filters_;
  std::vector<ptrdiff_t> offsets_;
  std::vector<StripTask> tasks_;
  std::vector<Workspace> workspaces_;
};

}  // namespace

std::unique_ptr<ConvKernel> MakeTilesKernel(const ConvProblem& problem, TilesPlan plan,
                                            bool profile, int threads) {
  return std::make_unique<TilesConv>(problem, std::move(plan), profile, threads);
}

}  // namespace tf_signbin

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
#include "engine/kernels/dense/dense_rows.h"
#include "engine/kernels/dense/tile_weights.h"
#include "engine/stopwatch.h"
#include "engine/strip_tasks.h"

namespace tf_signbin {
namespace {

class TilesConv final : public ConvKernel {
 public:
  TilesConv(const ConvProblem& problem, TilesPlan plan, bool profile, int threads)
      : plan_(std::move(plan)),
        output_(*problem.output),
        profile_(profile),
        weights_(plan_),
        filters_(Prepare(*problem.filters)) {
    for (const TileChunk& chunk : plan_.chunks) offsets_.push_back(plan_.offset(chunk));
    StripWork work;
    work.images = plan_.shape.batch;
    work.rows = plan_.shape.out_h;
    work.blocks = plan_.groups();
    tasks_ = DivideWork(work, threads);
    for (int t = 0; t < threads; ++t) {
      Workspace w;
      if (!plan_.direct) w.copy = Aligned<int8_t>(plan_.phases.size() * plan_.phase_bytes());
      w.weights = Aligned<int8_t>(weights_.ring_bytes());
      w.sums = Aligned<int32_t>(static_cast<size_t>(kMostPositionTiles) * kTileRows *
                                plan_.group_filters());
      w.scratch = Aligned<int8_t>(kTileRows * kTileBytes);
      workspaces_.push_back(std::move(w));
    }
  }

  void Run(const void* input, void* output, ThreadPool& pool) override {
    ResetTimes(&workspaces_);
    pool.ParallelFor(static_cast<int>(tasks_.size()), [&](int task, int thread) {
      RunTask(tasks_[task], static_cast<const int8_t*>(input), static_cast<int8_t*>(output),
              &workspaces_[thread]);
    });
  }

  std::string name() const override { return plan_.bits ? "dense_amx_i1" : "dense_amx_i8"; }

  size_t prepared_weight_bytes() const override { return weights_.bytes(); }

  size_t workspace_bytes(int threads) const override {
    const Workspace& w = workspaces_.front();
    return threads * (w.copy.bytes() + w.weights.bytes() + w.sums.bytes() + w.scratch.bytes());
  }

  StageTimes stage_times() const override { return SumOfTimes(workspaces_); }

 private:
  struct Workspace {
    Aligned<int8_t> copy;     // of a band, one phase behind the other
    Aligned<int8_t> weights;  // TileExpansion's ring
    Aligned<int32_t> sums;    // [a block's positions][a group's filters]
    Aligned<int8_t> scratch;  // a tile
    StageTimes times;
  };

  DenseFilters Prepare(const PackedFilters& filters) {
    const int padded = plan_.filter_tiles() * kTileFilters;
    std::vector<int> lanes(filters.out_c);
    for (int lane = 0; lane < padded; ++lane) {
      const int group = lane / plan_.group_filters(), in_group = lane % plan_.group_filters();
      const int filter =
          group * plan_.group_filters() +
          DenseLaneFilter(plan_.GroupTiles(group), in_group / kDenseLanes, in_group % kDenseLanes);
      if (filter < filters.out_c) lanes[filter] = lane;
    }
    return PrepareFilters(filters, output_, lanes, padded, /*offset=*/0,
                          Beginning::kInOutputsIfPossible,
                          [&](const std::vector<int8_t>& weights, int filter) {
                            weights_.Pack(filters, weights, filter, lanes[filter]);
                          });
  }

  void RunTask(const StripTask& task, const int8_t* input, int8_t* output, Workspace* w) const {
    const ConvShape& s = plan_.shape;
    input += static_cast<size_t>(task.image) * s.in_h * s.in_w * s.in_c;
    output += static_cast<size_t>(task.image) * s.out_h * s.out_w * s.out_c;
    for (int row = task.first_row; row < task.end_row; row += plan_.band_rows) {
      const int rows = std::min(plan_.band_rows, task.end_row - row);
      RunBand(task, row, rows, input, output + static_cast<size_t>(row) * s.out_w * s.out_c, w);
    }
    TilesRelease();
  }

  void RunBand(const StripTask& task, int first_row, int rows, const int8_t* image, int8_t* output,
               Workspace* w) const {
    const ConvShape& s = plan_.shape;
    Stopwatch watch(profile_);
    const int8_t* band =
        plan_.direct ? image + static_cast<size_t>(first_row) * s.in_w * s.in_c : w->copy.get();
    int copied_rows = 0;
    const int positions = plan_.Positions(rows);
    const int tiles = CeilDiv(positions, kTileRows);
    TilesConfigure(positions);
    TileWeightsReader weights(weights_, task.first_block, task.end_block, positions,
                              w->weights.get());
    const int most_tiles = weights.once() ? tiles : 2;
    // The sums of one block become outputs while the next one's products are made.
    DenseFlush flush{};
    for (int group = task.first_block; group < task.end_block; ++group) {
      weights.BeginGroup(group, CeilDiv(tiles, most_tiles));
      for (int tile = 0; tile < tiles; tile += most_tiles) {
        Block block = MakeBlock(group, tile, std::min(tiles - tile, most_tiles), positions);
        TileBlock& t = block.tiles;
        if (const int needed = RowsOf(block); !plan_.direct && needed > copied_rows) {
          // Not all at once: while products are made, rows come from far.
          watch.Lap(&w->times.lookup_ns);
          CopyRows(image, first_row, copied_rows, needed, w->copy.get());
          copied_rows = needed;
          watch.Lap(&w->times.tables_ns);
        }
        t.input = band + static_cast<size_t>(block.first) * plan_.pixel_bytes;
        t.scratch = w->scratch.get();
        for (int vector = 0; vector < plan_.GroupTiles(group); vector += t.filter_tiles) {
          weights.PointTo(vector, &t);
          PointToSums(group, vector, *w, &t);
          if (vector > 0 || flush.pixels == 0) {
            TilesMultiply(t);
          } else if (TilesFlushToo(t, flush)) {
            TilesMultiplyAndFlush(t, flush);
          } else {
            TilesMultiply(t);
            DenseFlushSums(flush);
          }
          TilesStore(t);
        }
        flush = Flush(group, block, output, *w);
      }
    }
    watch.Lap(&w->times.lookup_ns);
    DenseFlushSums(flush);
    watch.Lap(&w->times.output_ns);
  }

  void PointToSums(int group, int vector, const Workspace& w, TileBlock* t) const {
    if (filters_.start.get() != nullptr) {
      t->start = &filters_.start[plan_.FilterTile(group, vector) * kTileFilters];
    }
    t->sums = &w.sums[vector * kTileFilters];
  }

  struct Block {
    int first = 0, positions = 0;
    TileBlock tiles{};
  };

  // The last block ends with the last position; some of its positions may be another block's, too.
  Block MakeBlock(int group, int first_tile, int tiles, int positions) const {
    Block block;
    block.first = std::max(std::min(first_tile * kTileRows, positions - tiles * kTileRows), 0);
    block.positions = std::min(positions - block.first, tiles * kTileRows);
    TileBlock& t = block.tiles;
    t.position_tiles = tiles;
    t.offsets = offsets_.data();
    t.chunks = static_cast<int>(offsets_.size());
    t.position_bytes = plan_.pixel_bytes;
    t.last_tile = std::max(block.positions - kTileRows, 0);
    t.sums_bytes = static_cast<ptrdiff_t>(plan_.GroupTiles(group) * kTileFilters * sizeof(int32_t));
    return block;
  }

  DenseFlush Flush(int group, const Block& block, int8_t* output, const Workspace& w) const {
    const ConvShape& s = plan_.shape;
    const int positions = block.positions;
    const int y = block.first / plan_.columns, x = block.first % plan_.columns;
    DenseFlush flush{};
    flush.sums = w.sums.get();
    flush.pixels = positions;
    flush.vectors = plan_.GroupTiles(group);
    const bool adjacent = plan_.columns == s.out_w;
    flush.first_column = adjacent ? 0 : x;
    flush.row_outputs = adjacent ? positions : s.out_w;
    flush.row_pixels = adjacent ? positions : plan_.columns;
    flush.first_lane = group * plan_.group_filters();
    flush.filters = std::min(plan_.group_filters(), s.out_c - flush.first_lane);
    flush.rescale = filters_.rescale.view();
    flush.clamp_min = output_.clamp_min_i8;
    flush.clamp_max = output_.clamp_max_i8;
    flush.out = output + (static_cast<size_t>(y) * s.out_w + std::min(x, s.out_w)) * s.out_c +
                flush.first_lane;
    flush.out_pixel = s.out_c;
    return flush;
  }

  // Rows of a phase that the block's positions and those before need.
  int RowsOf(const Block& block) const {
    return (block.first + block.positions - 1) / plan_.columns + 1 + plan_.more_rows;
  }

  // Rows [begin, end) of the phases of the band whose first output row is `first_row`.
  void CopyRows(const int8_t* image, int first_row, int begin, int end, int8_t* copy) const {
    const ConvShape& s = plan_.shape;
    const size_t row_bytes = static_cast<size_t>(plan_.columns) * plan_.pixel_bytes;
    for (size_t phase = 0; phase < plan_.phases.size(); ++phase) {
      const TilePhase& p = plan_.phases[phase];
      int8_t* out = copy + phase * plan_.phase_bytes() + begin * row_bytes;
      DenseRow row = MakeDenseRow(s, p.column - s.pad_left, s.stride_w, plan_.columns,
                                  plan_.pixel_bytes, output_.input_zero_point);
      int in_y = (first_row + begin) * s.stride_h + p.row - s.pad_top;
      if (plan_.pixel_bytes == s.in_c && s.in_w == plan_.columns && row.inside == 0 &&
          s.stride_h == 1 && in_y >= 0 && in_y + end - begin <= s.in_h) {
        std::memcpy(out, image + in_y * row_bytes, (end - begin) * row_bytes);
        continue;
      }
      for (int r = begin; r < end; ++r, in_y += s.stride_h, out += row_bytes) {
        const bool inside = in_y >= 0 && in_y < s.in_h;
        row.row = inside ? image + static_cast<size_t>(in_y) * s.in_w * s.in_c : nullptr;
        row.out = out;
        DenseCopyRow(row);
      }
    }
  }

  const TilesPlan plan_;
  const OutputStage& output_;
  const bool profile_;
  TileWeights weights_;
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

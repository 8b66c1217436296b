// For each piece of a row, at most kMostGroups groups of one region: its tables, and with them the
// sums of every block of filters, times what the region's effectual weights are above its
// background. Ternary filters look up twice, those of the second plane are subtracted.
#include "engine/kernels/row/row.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "engine/aligned.h"
#include "engine/ceil_div.h"
#include "engine/channel_groups.h"
#include "engine/kernels/output/folding.h"
#include "engine/kernels/output/tflite_rules.h"
#include "engine/stopwatch.h"

namespace tf_signbin {
namespace row {
namespace {

// Channels of a region whose tables exist at the same time.
struct Piece {
  int region = 0, first_channel = 0, channels = 0;
  int groups = 0;         // padded to whole steps
  int groups_before = 0;  // of the pieces in front
};

int Padded(int channels) { return CeilDiv(CeilDiv(channels, kGroup), kStepGroups) * kStepGroups; }

std::vector<Piece> MakePieces(const PackedFilters& filters) {
  std::vector<Piece> pieces;
  const int per_region = filters.in_c / filters.regions;
  int before = 0;
  for (int region = 0; region < filters.regions; ++region) {
    for (int at = 0; at < per_region; at += kMostGroups * kGroup) {
      Piece piece;
      piece.region = region;
      piece.first_channel = region * per_region + at;
      piece.channels = std::min(kMostGroups * kGroup, per_region - at);
      piece.groups = Padded(piece.channels);
      piece.groups_before = before;
      before += piece.groups;
      pieces.push_back(piece);
    }
  }
  return pieces;
}

class RowConv final : public ConvKernel {
 public:
  RowConv(const ConvProblem& problem, const RowOps& ops, Isa isa, bool profile, int threads)
      : ops_(ops),
        isa_(isa),
        profile_(profile),
        shape_(problem.shape),
        output_(*problem.output),
        pieces_(MakePieces(*problem.filters)),
        planes_(problem.filters->planes()),
        regions_(problem.filters->regions),
        blocks_(CeilDiv(shape_.out_c, kBlockFilters)),
        groups_(pieces_.back().groups_before + pieces_.back().groups),
        parts_(std::min(threads, blocks_)),
        indices_(static_cast<size_t>(planes_) * blocks_ * groups_ * kIndexBytesPerGroup),
        biases_(padded_filters()),
        differences_(static_cast<size_t>(planes_) * regions_ * padded_filters()),
        backgrounds_(static_cast<size_t>(regions_) * padded_filters()),
        has_background_(problem.filters->has_background()) {
    for (int filter = 0; filter < shape_.out_c; ++filter) Prepare(*problem.filters, filter);
    if (!output_.real_multiplier.empty()) {
      multipliers_ = Aligned<double>(padded_filters());
      std::copy(output_.real_multiplier.begin(), output_.real_multiplier.end(), multipliers_.get());
    }
    for (int t = 0; t < threads; ++t) workspaces_.push_back(MakeWorkspace());
  }

  void Run(const void* input, void* output, ThreadPool& pool) override {
    ResetTimes(&workspaces_);
    pool.ParallelFor(Rows(shape_) * parts_, [&](int task, int thread) {
      const size_t row = task / parts_, part = task % parts_;
      RunRow(static_cast<const int8_t*>(input) + row * shape_.in_c,
             static_cast<int>(blocks_ * part / parts_),
             static_cast<int>(blocks_ * (part + 1) / parts_),
             static_cast<int8_t*>(output) + row * shape_.out_c, &workspaces_[thread]);
    });
  }

  std::string name() const override {
    return std::string("row_") + IsaName(isa_) + "_i8_m" + std::to_string(kGroup);
  }

  size_t prepared_weight_bytes() const override {
    return indices_.bytes() + biases_.bytes() + differences_.bytes() + backgrounds_.bytes() +
           multipliers_.bytes();
  }

  size_t workspace_bytes(int threads) const override {
    const Workspace& w = workspaces_.front();
    return threads * (w.activations.bytes() + w.tables.bytes() + w.sums.bytes() + w.acc.bytes());
  }

  StageTimes stage_times() const override { return SumOfTimes(workspaces_); }

 private:
  struct Workspace {
    Aligned<int8_t> activations;  // of a piece's padded groups; what is behind its channels is 0
    Aligned<uint8_t> tables;
    Aligned<int32_t> sums, acc;  // of all filters
    StageTimes times;
  };

  size_t padded_filters() const { return static_cast<size_t>(blocks_) * kBlockFilters; }

  uint8_t* IndicesOf(int plane, int block, const Piece& piece) const {
    const size_t row = (static_cast<size_t>(plane) * blocks_ + block) * groups_;
    return &indices_[(row + piece.groups_before) * kIndexBytesPerGroup];
  }

  void Prepare(const PackedFilters& filters, int filter) {
    int64_t bias = output::FoldedBias(output_, filter, TotalsOf(filters, filter));
    const bool ternary = filters.kind == WeightKind::kTernary;
    for (int region = 0; region < regions_; ++region) {
      const int8_t* values = &filters.values_i8[(static_cast<size_t>(filter) * regions_ + region) *
                                                filters.values_per_region()];
      for (int plane = 0; plane < planes_; ++plane) {
        const int difference =
            ternary ? (plane == 0 ? values[0] : -values[0]) : values[1] - values[0];
        DifferencesOf(plane, region)[filter] = static_cast<int16_t>(difference);
      }
      if (!ternary) backgrounds_[region * padded_filters() + filter] = values[0];
    }
    for (int plane = 0; plane < planes_; ++plane) {
      const MaskRow mask(filters, plane, filter);
      for (const Piece& piece : pieces_) {
        uint8_t* indices = IndicesOf(plane, filter / kBlockFilters, piece);
        for (int at = 0; at < piece.channels; at += kGroup) {
          const int channels = std::min(kGroup, piece.channels - at);
          const int group = at / kGroup;
          indices[group / 2 * kBlockFilters + ByteOf(filter % kBlockFilters)] |=
              static_cast<uint8_t>(mask.Bits(piece.first_channel + at, channels) << group % 2 * 4);
        }
        bias -= int64_t{kOffset} * DifferencesOf(plane, piece.region)[filter] *
                mask.Count(piece.first_channel, piece.channels);
      }
    }
    biases_[filter] = static_cast<int32_t>(bias);
  }

  int16_t* DifferencesOf(int plane, int region) const {
    return &differences_[(static_cast<size_t>(plane) * regions_ + region) * padded_filters()];
  }

  Workspace MakeWorkspace() const {
    int groups = 0;
    for (const Piece& piece : pieces_) groups = std::max(groups, piece.groups);
    Workspace w;
    w.activations = Aligned<int8_t>(static_cast<size_t>(groups) * kGroup);
    w.tables = Aligned<uint8_t>(static_cast<size_t>(groups) * kTableBytes);
    w.sums = Aligned<int32_t>(padded_filters());
    w.acc = Aligned<int32_t>(padded_filters());
    return w;
  }

  // Filters of blocks [first, end) of one row.
  void RunRow(const int8_t* input, int first, int end, int8_t* output, Workspace* w) const {
    const int first_filter = first * kBlockFilters, filters = (end - first) * kBlockFilters;
    Stopwatch watch(profile_);
    std::memcpy(&w->acc[first_filter], &biases_[first_filter], filters * sizeof(int32_t));
    for (const Piece& piece : pieces_) {
      const int8_t* activations = input + piece.first_channel;
      int32_t box = 0;
      if (has_background_) {
        for (int c = 0; c < piece.channels; ++c) box += activations[c];
      }
      // Indices of padding are 0; but what is read must be there.
      if (piece.channels < piece.groups * kGroup) {
        std::memcpy(w->activations.get(), activations, piece.channels);
        activations = w->activations.get();
      }
      ops_.make_tables(activations, piece.groups, w->tables.get());
      watch.Lap(&w->times.tables_ns);
      for (int plane = 0; plane < planes_; ++plane) {
        for (int block = first; block < end; ++block) {
          ops_.look_up(w->tables.get(), IndicesOf(plane, block, piece), piece.groups,
                       &w->sums[block * kBlockFilters]);
        }
        AddArgs args;
        args.sums = &w->sums[first_filter];
        args.difference = DifferencesOf(plane, piece.region) + first_filter;
        args.background = has_background_
                              ? &backgrounds_[piece.region * padded_filters() + first_filter]
                              : nullptr;
        args.box = box;
        args.filters = filters;
        args.acc = &w->acc[first_filter];
        ops_.add(args);
      }
      watch.Lap(&w->times.lookup_ns);
    }
    const int out_filters = std::min(filters, shape_.out_c - first_filter);
    Write(&w->acc[first_filter], first_filter, out_filters, output + first_filter);
    watch.Lap(&w->times.output_ns);
  }

  void Write(const int32_t* acc, int first_filter, int filters, int8_t* out) const {
    const int32_t least = output_.clamp_min_i8, most = output_.clamp_max_i8;
    if (!output_.real_multiplier.empty()) {
      ops_.write(
          {acc, &multipliers_[first_filter], filters, output_.output_zero_point, least, most, out});
      return;
    }
    // Convolutions, which have more pixels as a rule, and so other kernels.
    const int32_t* multipliers = &output_.multiplier[first_filter];
    const int32_t* shifts = &output_.shift[first_filter];
    for (int i = 0; i < filters; ++i) {
      const int32_t scaled = MultiplyByQuantizedMultiplier(acc[i], multipliers[i], shifts[i]);
      const int32_t y = AddZeroPoint(scaled, output_.output_zero_point);
      out[i] = static_cast<int8_t>(std::min(std::max(y, least), most));
    }
  }

  const RowOps& ops_;
  const Isa isa_;
  const bool profile_;
  const ConvShape shape_;
  const OutputStage& output_;
  const std::vector<Piece> pieces_;
  const int planes_, regions_;
  const int blocks_;  // of filters
  const int groups_;  // of all pieces
  const int parts_;   // of the blocks
  // Zeros stand for padded channels and filters.
  const Aligned<uint8_t> indices_;      // [planes, blocks, groups, kIndexBytesPerGroup]
  const Aligned<int32_t> biases_;       // [padded filters]
  const Aligned<int16_t> differences_;  // [planes, regions, padded filters]
  const Aligned<int16_t> backgrounds_;  // [regions, padded filters]
  const bool has_background_;
  Aligned<double> multipliers_;  // [padded filters], where the stage has them
  std::vector<Workspace> workspaces_;
};

}  // namespace

bool Takes(const ConvProblem& problem) {
  const ConvShape& s = problem.shape;
  const bool one_pixel = s.in_h * s.in_w == 1 && s.out_h * s.out_w == 1 && s.kernel_h == 1 &&
                         s.kernel_w == 1 && s.pad_top == 0 && s.pad_left == 0;
  return problem.type == DataType::kInt8 && problem.filters->kind != WeightKind::kDense &&
         one_pixel;
}

int Rows(const ConvShape& shape) { return shape.batch; }

int PaddedGroups(const PackedFilters& filters) {
  const std::vector<Piece> pieces = MakePieces(filters);
  return filters.planes() * (pieces.back().groups_before + pieces.back().groups);
}

std::unique_ptr<ConvKernel> MakeRowConv(const ConvProblem& problem, const RowOps& ops, Isa isa,
                                        bool profile, int threads) {
  return std::make_unique<RowConv>(problem, ops, isa, profile, threads);
}

}  // namespace row
}  // namespace tf_signbin

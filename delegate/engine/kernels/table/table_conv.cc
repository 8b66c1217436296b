#include "engine/kernels/table/table_conv.h"

#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/aligned.h"
#include "engine/kernels/output/pixel_lanes.h"
#include "engine/kernels/table/filter_values.h"
#include "engine/stopwatch.h"

namespace tf_signbin {
namespace table {
namespace {

// Planes of this many channels are loaded at a time (a cache line of an int8 pixel).
constexpr int kPlaneChannels = 64;

size_t RoundUp(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// A block of memory cut into aligned arrays: reserve all, allocate, then fetch.
class Layout {
 public:
  template <typename T>
  size_t Reserve(size_t count) {
    const size_t at = size_;
    size_ += RoundUp(count * sizeof(T), kAlignment);
    return at;
  }
  size_t size() const { return size_; }

 private:
  size_t size_ = 0;
};

// One thread's arrays.
struct Workspace {
  Aligned<char> memory;
  StageTimes times;

  template <typename T>
  T* at(size_t offset) const {
    return reinterpret_cast<T*>(memory.get() + offset);
  }
};

// What one activation adds to a sum.
template <typename Element>
ElementRange RangeOf(const ConvProblem& problem) {
  constexpr int kSumBytes = sizeof(typename ElementTraits<Element>::Accumulator);
  if (std::is_same<Element, float>::value) return {sizeof(Element), kSumBytes, 0, 0};
  return {sizeof(Element), kSumBytes, problem.least_input(), problem.most_input()};
}

// Bits that values up to `most` take.
int BitsOf(int most) {
  int bits = 0;
  while (most >> bits != 0) ++bits;
  return bits;
}

template <typename Element>
class TableConv : public ConvKernel {
  using Traits = ElementTraits<Element>;
  using Activation = typename Traits::Activation;
  using Accumulator = typename Traits::Accumulator;
  using Sum = typename Traits::Sum;
  static constexpr bool kBytes = sizeof(Element) == 1;

 public:
  TableConv(const ConvProblem& problem, const TableOps& ops, const TableConfig& config,
            bool profile, int threads)
      : isa_(ops.isa),
        vector_bytes_(ops.vector_bytes),
        ops_(ops.Of<Element>()),
        write_(output::PixelLanesOpsFor(ops.isa)),
        config_(config),
        profile_(profile),
        shape_(problem.shape),
        output_(*problem.output),
        geometry_(config.MakeGeometry(problem.shape,
                                      ops.vector_bytes / static_cast<int>(sizeof(Element)))),
        streams_(*problem.filters, geometry_, WithLists(config.stream, ops_),
                 RangeOf<Element>(problem)),
        subtracts_(problem.filters->kind == WeightKind::kTernary),
        byte_sums_(kBytes ? TableConfig::ByteSums(config.stream, problem.most_input(), ops) : 0),
        values_(problem, streams_.segments(), write_.takes_floats),
        zero_pixel_(RoundUp(shape_.in_c, 64), static_cast<Activation>(zero_point())) {
    for (const ShiftGroup& group : geometry_.shift_groups()) {
      shifts_.push_back(group.shift);
      for (const Tap& tap : group.taps) {
        box_offsets_.push_back(tap.offset + group.total);
      }
    }
    LayOutWorkspace();
    Reserve(threads);
  }

  void Run(const void* input, void* output, ThreadPool& pool) override {
    Reserve(pool.threads());
    ResetTimes(&workspaces_);
    const int blocks = streams_.filter_blocks();
    pool.ParallelFor(geometry_.tiles() * blocks, [&](int task, int thread) {
      RunTask(task / blocks, task % blocks, static_cast<const char*>(input),
              static_cast<char*>(output), thread);
    });
  }

  std::string name() const override {
    const std::string bits = kBytes ? "b" + std::to_string(BitsOf(127 - zero_point())) : "";
    return std::string("table_") + IsaName(isa_) + "_" + Traits::kName + bits + "_" +
           config_.ToString();
  }

  size_t prepared_weight_bytes() const override { return streams_.bytes() + values_.bytes(); }

  size_t workspace_bytes(int threads) const override { return layout_.size() * threads; }

  bool needs_nonnegative() const override { return kBytes; }

  StageTimes stage_times() const override { return SumOfTimes(workspaces_); }

 private:
  static StreamOptions WithLists(StreamOptions options, const ElementOps<Element>& ops) {
    options.list_multiple = ops.list_multiple;
    return options;
  }

  int zero_point() const {
    return std::is_same<Activation, float>::value ? 0 : output_.input_zero_point;
  }

  void LayOutWorkspace() {
    const size_t lanes = geometry_.entry_lanes(), tile = geometry_.tile_lanes();
    int filters = 0;  // of the largest block
    for (int b = 0; b < streams_.filter_blocks(); ++b) {
      filters =
          std::max(filters, streams_.block_first_filter(b + 1) - streams_.block_first_filter(b));
    }
    int groups = 0, channels = 0;  // of the largest chunk
    for (const Chunk& chunk : streams_.chunks()) {
      const ChannelGroup& last = streams_.groups()[chunk.first_group + chunk.groups - 1];
      groups = std::max(groups, chunk.groups);
      channels = std::max(channels, last.first_channel + last.channels -
                                        streams_.groups()[chunk.first_group].first_channel);
    }
    const SubsetTable& subsets = streams_.subsets();
    direct_ = subsets.group() == 1 && !subsets.zero_entry();
    plane_channels_ = direct_ ? channels : std::max(channels, kPlaneChannels);
    const size_t two_vectors = 2 * vector_bytes_ / sizeof(Element);
    inputs_at_ = layout_.Reserve<const char*>(RoundUp(lanes, two_vectors));
    outputs_at_ = layout_.Reserve<char*>(tile);
    pixels_at_ = layout_.Reserve<char*>(RoundUp(tile, two_vectors));
    // A group that is shorter than the table's reads, and never uses, planes behind the last.
    const size_t plane_lanes = (plane_channels_ + subsets.group()) * lanes;
    const size_t behind = kBytes ? geometry_.max_shift() : 0;  // the last entry, and never used
    const size_t zeros = streams_.zero_lanes();
    if (direct_) {
      table_at_ = layout_.Reserve<Element>(zeros + plane_lanes + behind);
      planes_at_ = table_at_ + zeros * sizeof(Element);
    } else {
      planes_at_ = layout_.Reserve<Element>(plane_lanes);
      table_at_ = layout_.Reserve<Element>(
          zeros + static_cast<size_t>(groups) * subsets.entries() * lanes + behind);
    }
    acc_at_ = layout_.Reserve<Accumulator>(filters * tile);
    if (values_.has_totals) total_at_ = layout_.Reserve<Sum>(filters * tile);
    if (values_.has_box) {
      channel_sum_at_ = layout_.Reserve<Sum>(lanes + geometry_.max_shift() + kAlignment);
      box_at_ = layout_.Reserve<Sum>(tile);
    }
  }

  // Memory is zeroed: what lies in front of the tables and behind the channel sums stays so.
  void Reserve(int threads) {
    while (static_cast<int>(workspaces_.size()) < threads) {
      workspaces_.push_back({Aligned<char>(layout_.size()), StageTimes()});
    }
  }

  void RunTask(int tile, int block, const char* input, char* output, int thread) {
    Workspace& w = workspaces_[thread];
    StageTimes& times = w.times;
    Stopwatch watch(profile_);

    const size_t lanes = geometry_.entry_lanes();
    const char** inputs = w.at<const char*>(inputs_at_);
    const char* zero = reinterpret_cast<const char*>(zero_pixel_.data());
    geometry_.InputPixels(tile, input, shape_.in_c * sizeof(Activation), zero, inputs);
    const size_t padded = RoundUp(lanes, 2 * vector_bytes_ / sizeof(Element));
    std::fill(inputs + lanes, inputs + padded, zero);
    Element* planes = w.at<Element>(planes_at_);
    Element* table = w.at<Element>(table_at_);
    auto* acc = w.at<Accumulator>(acc_at_);
    const int first_filter = streams_.block_first_filter(block);
    const int filters = streams_.block_first_filter(block + 1) - first_filter;

    int planes_begin = 0, planes_end = 0;  // channels whose planes are there
    size_t next_pass = 0;
    for (size_t c = 0; c < streams_.chunks().size(); ++c) {
      const Chunk& chunk = streams_.chunks()[c];
      const ChannelGroup* groups = &streams_.groups()[chunk.first_group];
      const ChannelGroup& last = groups[chunk.groups - 1];
      // (Direct tables begin right behind the zeros.)
      if (direct_ || last.first_channel + last.channels > planes_end) {
        planes_begin = groups[0].first_channel;
        planes_end = std::min(shape_.in_c, planes_begin + plane_channels_);
        LoadPlanes(inputs, planes_begin, planes_end, planes);
      }
      for (int g = 0; g < chunk.groups; ++g) {
        const Element* x = planes + (groups[g].first_channel - planes_begin) * lanes;
        if (values_.has_box) AddToChannelSum(x, groups[g], w);
        if (!direct_) {
          BuildTable(x, groups[g],
                     table + streams_.zero_lanes() + g * streams_.subsets().entries() * lanes);
        }
      }
      watch.Lap(&times.tables_ns);
      for (; next_pass < streams_.passes().size(); ++next_pass) {
        const Pass& pass = streams_.passes()[next_pass];
        if (pass.chunk != static_cast<int>(c)) break;
        LookUp(pass, block, filters, table, acc);
        if (pass.ends_segment && values_.has_totals) Spill(pass.segment, first_filter, filters, w);
      }
      watch.Lap(&times.lookup_ns);
    }
    char** outputs = w.at<char*>(outputs_at_);
    geometry_.OutputPixels(tile, output, shape_.out_c * sizeof(Activation), outputs);
    WriteOutput(first_filter, filters, outputs, w);
    watch.Lap(&times.output_ns);
  }

  void LookUp(const Pass& pass, int block, int filters, const Element* table,
              Accumulator* acc) const {
    LookupArgs<Element> args;
    args.table = table;
    args.filters = filters;
    args.shift_groups = static_cast<int>(shifts_.size());
    args.shifts = shifts_.data();
    args.subtract = subtracts_;
    args.accumulate = !pass.begins_segment;
    args.byte_sums = byte_sums_;
    args.finish = pass.ends_segment;
    args.lengths = streams_.lengths() + pass.lengths_begin[block];
    args.stream = streams_.offsets() + pass.offsets_begin[block];
    args.acc = acc;
    ops_.lookup[geometry_.vectors()](args);
  }

  void LoadPlanes(const char** inputs, int begin, int end, Element* planes) const {
    const int lanes = geometry_.entry_lanes();
    const auto* pixels = reinterpret_cast<const Activation* const*>(inputs);
    // The functions take pixels at their first channel.
    const int available = shape_.in_c - begin;
    ops_.planes(pixels, begin, lanes, end - begin, available, zero_point(), planes, lanes);
  }

  void BuildTable(const Element* planes, const ChannelGroup& group, Element* table) const {
    const int lanes = geometry_.entry_lanes();
    const SubsetTable& d = streams_.subsets();
    if (d.full()) {
      ops_.build_full(planes, lanes, group.channels, d.zero_entry(), lanes, table);
    } else if (d.few() && ops_.build_few != nullptr) {
      ops_.build_few(planes, lanes, d.group(), d.limit(), d.zero_entry(), lanes, table);
    } else {
      ops_.build_list(planes, lanes, d.entries(), d.parent().data(), d.channel().data(), lanes,
                      table);
    }
  }

  void AddToChannelSum(const Element* planes, const ChannelGroup& group, const Workspace& w) const {
    const int lanes = geometry_.entry_lanes();
    const int per_region = shape_.in_c / values_.regions;
    const bool accumulate = group.first_channel != group.region * per_region;
    ops_.channel_sum(planes, lanes, group.channels, lanes, accumulate, w.at<Sum>(channel_sum_at_));
  }

  // The window sums of the region whose channel sums are complete.
  const Sum* MakeBox(const Workspace& w) const {
    const Sum* sum = w.at<Sum>(channel_sum_at_);
    Sum* box = w.at<Sum>(box_at_);
    const int taps = static_cast<int>(box_offsets_.size());
    ops_.window_sum(sum, box_offsets_.data(), taps, geometry_.tile_lanes(), box);
    return box;
  }

  // Adds the finished segment's sums, times its region's scale, to the totals.
  void Spill(int segment_index, int first_filter, int filters, const Workspace& w) const {
    const std::vector<SumSegment>& segments = streams_.segments();
    const SumSegment& segment = segments[segment_index];
    const int regions = values_.regions;
    const bool last_of_region = segment_index + 1 == static_cast<int>(segments.size()) ||
                                segments[segment_index + 1].region != segment.region;
    const Sum* box = values_.has_box && regions > 1 && last_of_region ? MakeBox(w) : nullptr;
    const int lanes = geometry_.tile_lanes();
    const auto* acc = w.at<Accumulator>(acc_at_);
    Sum* total = w.at<Sum>(total_at_);
    for (int i = 0; i < filters; ++i, acc += lanes, total += lanes) {
      const size_t f = static_cast<size_t>(first_filter) + i;
      const size_t in_region = f * regions + segment.region;
      const Sum scale =
          regions > 1 ? values_.region_scale[in_region] : Sum{values_.params[f].scale};
      const Sum background = regions > 1 ? values_.region_background[in_region] : Sum{0};
      const auto center =
          segment.center.empty() ? Accumulator{0} : static_cast<Accumulator>(segment.center[f]);
      ops_.spill(acc, center, scale, background, box, lanes, segment_index > 0, total);
    }
  }

  // The lane of a tile whose pixel an accumulator is.
  int PixelOf(int accumulator) const {
    const int split = ops_.split_accumulators;
    if (split == 0) return accumulator;
    const int i = accumulator % split, half = split / 2;
    return accumulator - i + (i < half ? 2 * i : 2 * (i - half) + 1);
  }

  void WriteOutput(int first_filter, int filters, char** outputs, const Workspace& w) const {
    char** pixels = w.at<char*>(pixels_at_);
    for (int lane = 0; lane < geometry_.tile_lanes(); ++lane) {
      char* output = outputs[PixelOf(lane)];
      pixels[lane] = output == nullptr ? nullptr : output + first_filter * sizeof(Activation);
    }
    auto args =
        output::MakeArgs(output_, values_.params, values_.fast_output, first_filter, filters);
    args.acc = values_.has_totals ? nullptr : w.at<Accumulator>(acc_at_);
    args.total = values_.has_totals ? w.at<Sum>(total_at_) : nullptr;
    args.box = values_.has_box && values_.regions == 1 ? MakeBox(w) : nullptr;
    args.lanes = geometry_.tile_lanes();
    args.pixels = reinterpret_cast<Activation* const*>(pixels);
    if constexpr (std::is_same<Activation, float>::value) {
      write_.f32(args);
    } else {
      if (!values_.floats.empty()) args.floats = &values_.floats[first_filter];
      write_.i8(args);
    }
  }

  const Isa isa_;
  const int vector_bytes_;
  const ElementOps<Element>& ops_;
  const output::PixelLanesOps& write_;
  const TableConfig config_;
  const bool profile_;
  const ConvShape shape_;
  const OutputStage& output_;
  const Geometry geometry_;
  const Streams streams_;
  const bool subtracts_;  // ternary
  const int byte_sums_;   // LookupArgs
  const FilterValues<Element> values_;
  const std::vector<Activation> zero_pixel_;
  std::vector<int> shifts_;
  std::vector<int> box_offsets_;  // by tap, into the channel sums
  bool direct_ = false;           // tables of one channel: the planes themselves
  int plane_channels_ = 0;

  Layout layout_;
  size_t inputs_at_ = 0, outputs_at_ = 0, pixels_at_ = 0, planes_at_ = 0, table_at_ = 0,
         acc_at_ = 0, total_at_ = 0, channel_sum_at_ = 0, box_at_ = 0;
  std::vector<Workspace> workspaces_;  // one a thread
};

}  // namespace

std::unique_ptr<ConvKernel> MakeTableConv(const ConvProblem& problem, const TableOps& ops,
                                          const TableConfig& config, bool profile, int threads) {
  if (problem.type == DataType::kFloat32) {
    return std::make_unique<TableConv<float>>(problem, ops, config, profile, threads);
  }
  if (config.bytes) {
    return std::make_unique<TableConv<uint8_t>>(problem, ops, config, profile, threads);
  }
  ConvProblem any_input = problem;
  any_input.nonnegative = false;
  return std::make_unique<TableConv<int16_t>>(any_input, ops, config, profile, threads);
}

}  // namespace table
}  // namespace tf_signbin

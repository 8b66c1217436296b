#include "engine/kernels/table/table_conv.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/kernels/table/output_params.h"
#include "engine/stopwatch.h"

namespace tf_signbin {
namespace table {
namespace {

// Planes of this many channels are loaded at a time (a cache line of an int8 pixel).
constexpr int kPlaneChannels = 64;

size_t RoundUp(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

int32_t WrapMul(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b));
}
int32_t WrapAdd(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}

// A block of memory cut into aligned arrays: declare all, allocate, then fetch.
class Arena {
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

class Memory {
 public:
  explicit Memory(size_t bytes) : base_(static_cast<char*>(Allocate(bytes))) {
    if (base_ == nullptr) throw std::bad_alloc();
  }
  Memory(Memory&& other) noexcept : base_(other.base_) { other.base_ = nullptr; }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { std::free(base_); }
  template <typename T>
  T* at(size_t offset) const {
    return reinterpret_cast<T*>(base_ + offset);
  }

 private:
  static void* Allocate(size_t bytes) {
    void* p = nullptr;
    return posix_memalign(&p, kAlignment, std::max<size_t>(bytes, kAlignment)) == 0 ? p : nullptr;
  }
  char* base_;
};

// What differs between int8 and float activations.
template <typename Table>
struct Traits;
template <>
struct Traits<int16_t> {
  using Activation = int8_t;
  using Sum = int32_t;  // of spilled accumulators and boxes
  using OutputParams = OutputParamsI8;
};
template <>
struct Traits<float> {
  using Activation = float;
  using Sum = float;
  using OutputParams = OutputParamsF32;
};

template <typename Table>
class TableConv : public ConvKernel {
  using Activation = typename Traits<Table>::Activation;
  using Sum = typename Traits<Table>::Sum;
  using OutputParams = typename Traits<Table>::OutputParams;
  static constexpr bool kInt8 = std::is_same<Table, int16_t>::value;

 public:
  TableConv(const ConvProblem& problem, const TableOps& ops, const TableConfig& config,
            bool profile, int threads)
      : ops_(ops),
        config_(config),
        profile_(profile),
        shape_(problem.shape),
        output_(*problem.output),
        geometry_(
            config.MakeGeometry(problem.shape, ops.vector_bytes / static_cast<int>(sizeof(Table)))),
        streams_(*problem.filters, geometry_, WithLists(config.stream, ops), sizeof(Table),
                 kInt8 ? -128 - problem.output->input_zero_point : 0,
                 kInt8 ? 127 - problem.output->input_zero_point : 0),
        ternary_(problem.filters->kind == WeightKind::kTernary) {
    const int vectors = geometry_.vectors();
    if constexpr (kInt8) {
      lookup_ = ops.lookup_i16[vectors];
    } else {
      lookup_ = ops.lookup_f32[vectors];
    }
    for (const ShiftGroup& group : geometry_.shift_groups()) {
      shifts_.push_back(group.shift);
      for (const Tap& tap : group.taps) {
        box_offsets_.push_back(tap.offset + group.total);
        box_slack_ = std::max(box_slack_, group.total);
      }
    }
    PrepareValues(*problem.filters);
    zero_pixel_.assign(RoundUp(shape_.in_c, 64),
                       static_cast<Activation>(kInt8 ? output_.input_zero_point : 0));
    LayOutWorkspace();
    Reserve(threads);
  }

  void Run(const void* input, void* output, ThreadPool& pool) override {
    Reserve(pool.threads());
    if (profile_) times_.assign(workspaces_.size(), StageTimes());
    const int blocks = streams_.filter_blocks();
    pool.ParallelFor(geometry_.tiles() * blocks, [&](int task, int thread) {
      RunTask(task / blocks, task % blocks, static_cast<const char*>(input),
              static_cast<char*>(output), thread);
    });
  }

  std::string name() const override {
    return std::string("table_") + IsaName(ops_.isa) + (kInt8 ? "_i8_" : "_f32_") +
           config_.ToString();
  }

  size_t prepared_weight_bytes() const override {
    return streams_.bytes() + params_.size() * sizeof(OutputParams) +
           (region_scale_.size() + region_background_.size()) * sizeof(Sum);
  }

  size_t workspace_bytes(int threads) const override { return arena_.size() * threads; }

  StageTimes stage_times() const override {
    StageTimes sum;
    for (const StageTimes& times : times_) sum += times;
    return sum;
  }

 private:
  static StreamOptions WithLists(StreamOptions options, const TableOps& ops) {
    options.list_multiple = ops.list_multiple;
    return options;
  }

  // Per-filter constants of the output, per-region ones of the spills.
  void PrepareValues(const PackedFilters& filters) {
    const int regions = filters.regions;
    const size_t count = static_cast<size_t>(filters.out_c) * regions;
    std::vector<Sum> scale(count), background(count);
    for (size_t i = 0; i < count; ++i) {
      Sum a = 0, b;
      if constexpr (kInt8) {
        b = ternary_ ? filters.values_i8[i] : filters.values_i8[2 * i + 1];
        if (!ternary_) a = filters.values_i8[2 * i];
      } else {
        b = ternary_ ? filters.values_f32[i] : filters.values_f32[2 * i + 1];
        if (!ternary_) a = filters.values_f32[2 * i];
      }
      scale[i] = b - a;
      background[i] = a;
      has_box_ |= a != 0;
    }
    params_.resize(filters.out_c);
    for (int f = 0; f < filters.out_c; ++f) {
      OutputParams& p = params_[f];
      const size_t first = static_cast<size_t>(f) * regions;
      // (int8: both fit 16 bits.)
      p.scale = static_cast<decltype(p.scale)>(regions == 1 ? scale[first] : 1);
      p.background = static_cast<decltype(p.background)>(regions == 1 ? background[first] : 0);
      if constexpr (kInt8) {
        p.bias = output_.bias_i32.empty() ? 0 : output_.bias_i32[f];
        for (const Segment& segment : streams_.segments()) {
          p.bias = WrapAdd(p.bias, WrapMul(scale[first + segment.region], segment.center[f]));
        }
        SetMultiplier(output_, f, &p);
        p.center = static_cast<int16_t>(streams_.segments()[0].center[f]);
      } else {
        p.bias = output_.bias_f32.empty() ? 0 : output_.bias_f32[f];
      }
    }
    if constexpr (kInt8) {
      // Biases hold the centers too; the sums they are added to lie within 2^15 * |scale| of them.
      fast_ = true;
      for (int f = 0; fast_ && f < filters.out_c; ++f) {
        fast_ = AllowsFastOutput(output_, f, WeightMagnitude(filters, f));
      }
    }
    if (regions > 1) {
      region_scale_ = scale;
      region_background_ = background;
    }
    spills_ = regions > 1 || streams_.segments().size() > 1;
  }

  // The largest sum of |weight| of a filter, for bounds.
  static int64_t WeightMagnitude(const PackedFilters& filters, int f) {
    const int v = filters.values_per_region();
    const int64_t weights = static_cast<int64_t>(filters.weights_per_filter());
    int64_t effectual = 0;
    for (int plane = 0; plane < filters.planes(); ++plane) {
      const size_t row = static_cast<size_t>(plane) * filters.out_c + f;
      for (size_t i = 0; i < filters.mask_row_bytes(); ++i) {
        uint8_t byte = filters.masks[row * filters.mask_row_bytes() + i];
        for (; byte != 0; byte &= byte - 1) ++effectual;
      }
    }
    int64_t a = 0, b = 0;
    for (int region = 0; region < filters.regions; ++region) {
      const int8_t* values =
          &filters.values_i8[(static_cast<size_t>(f) * filters.regions + region) * v];
      b = std::max<int64_t>(b, std::abs(int{values[v - 1]}));
      if (v == 2) a = std::max<int64_t>(a, std::abs(int{values[0]}));
    }
    return effectual * std::max(a, b) + (weights - effectual) * a;
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
    const Dictionary& dictionary = streams_.dictionary();
    direct_ = dictionary.group() == 1 && !dictionary.zero_entry();
    plane_channels_ = direct_ ? channels : std::max(channels, kPlaneChannels);
    const size_t two_vectors = 2 * ops_.vector_bytes / sizeof(Table);
    inputs_at_ = arena_.Reserve<const char*>(RoundUp(lanes, two_vectors));
    outputs_at_ = arena_.Reserve<char*>(RoundUp(tile, two_vectors));
    // A group that is shorter than the dictionary's reads, and never uses, planes behind the last.
    const size_t plane_lanes = (plane_channels_ + dictionary.group()) * lanes;
    const size_t zeros = streams_.zero_lanes();
    if (direct_) {
      table_at_ = arena_.Reserve<Table>(zeros + plane_lanes);
      planes_at_ = table_at_ + zeros * sizeof(Table);
    } else {
      planes_at_ = arena_.Reserve<Table>(plane_lanes);
      table_at_ =
          arena_.Reserve<Table>(zeros + static_cast<size_t>(groups) * dictionary.entries() * lanes);
    }
    acc_at_ = arena_.Reserve<Table>(filters * tile);
    if (spills_) total_at_ = arena_.Reserve<Sum>(filters * tile);
    if (has_box_) {
      channel_sum_at_ = arena_.Reserve<Sum>(lanes + box_slack_ + kAlignment);
      box_at_ = arena_.Reserve<Sum>(tile);
    }
  }

  void Reserve(int threads) {
    while (static_cast<int>(workspaces_.size()) < threads) {
      workspaces_.emplace_back(arena_.size());
      Table* table = workspaces_.back().template at<Table>(table_at_);
      std::fill(table, table + streams_.zero_lanes(), Table{0});
      if (has_box_) {  // the slack after the sums stays zero
        Sum* sum = workspaces_.back().template at<Sum>(channel_sum_at_);
        std::fill(sum, sum + geometry_.entry_lanes() + box_slack_ + kAlignment, Sum{0});
      }
    }
  }

  void RunTask(int tile, int block, const char* input, char* output, int thread) {
    const Memory& memory = workspaces_[thread];
    StageTimes unused;
    StageTimes& times = profile_ ? times_[thread] : unused;
    Stopwatch watch(profile_);

    const size_t lanes = geometry_.entry_lanes();
    const char** inputs = memory.at<const char*>(inputs_at_);
    const char* zero = reinterpret_cast<const char*>(zero_pixel_.data());
    geometry_.InputPixels(tile, input, shape_.in_c * sizeof(Activation), zero, inputs);
    const size_t padded = RoundUp(lanes, 2 * ops_.vector_bytes / sizeof(Table));
    std::fill(inputs + lanes, inputs + padded, zero);
    Table* planes = memory.at<Table>(planes_at_);
    Table* table = memory.at<Table>(table_at_);
    Table* acc = memory.at<Table>(acc_at_);
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
        const Table* x = planes + (groups[g].first_channel - planes_begin) * lanes;
        if (has_box_) AddToChannelSum(x, groups[g], memory);
        if (!direct_) {
          BuildTable(x, groups[g],
                     table + streams_.zero_lanes() + g * streams_.dictionary().entries() * lanes);
        }
      }
      watch.Lap(&times.tables_ns);
      for (; next_pass < streams_.passes().size(); ++next_pass) {
        const Pass& pass = streams_.passes()[next_pass];
        if (pass.chunk != static_cast<int>(c)) break;
        LookUp(pass, block, filters, table, acc);
        if (pass.ends_segment && spills_) Spill(pass.segment, first_filter, filters, memory);
      }
      watch.Lap(&times.lookup_ns);
    }
    char** outputs = memory.at<char*>(outputs_at_);
    geometry_.OutputPixels(tile, output, shape_.out_c * sizeof(Activation), outputs);
    WriteOutput(first_filter, filters, outputs, memory);
    watch.Lap(&times.output_ns);
  }

  void LookUp(const Pass& pass, int block, int filters, const Table* table, Table* acc) const {
    LookupArgs<Table> args;
    args.table = table;
    args.filters = filters;
    args.shift_groups = static_cast<int>(shifts_.size());
    args.shifts = shifts_.data();
    args.subtract = ternary_;
    args.accumulate = !pass.begins_segment;
    args.lengths = streams_.lengths() + pass.lengths_begin[block];
    args.stream = streams_.offsets() + pass.offsets_begin[block];
    args.acc = acc;
    lookup_(args);
  }

  void LoadPlanes(const char** inputs, int begin, int end, Table* planes) const {
    const int lanes = geometry_.entry_lanes();
    const auto* pixels = reinterpret_cast<const Activation* const*>(inputs);
    // The functions take pixels at their first channel.
    const int available = shape_.in_c - begin;
    if constexpr (kInt8) {
      ops_.planes_i8(pixels, begin, lanes, end - begin, available, output_.input_zero_point, planes,
                     lanes);
    } else {
      ops_.planes_f32(pixels, begin, lanes, end - begin, available, planes, lanes);
    }
  }

  void BuildTable(const Table* planes, const ChannelGroup& group, Table* table) const {
    const int lanes = geometry_.entry_lanes();
    const Dictionary& d = streams_.dictionary();
    if constexpr (kInt8) {
      if (d.full()) {
        ops_.build_full_i16(planes, lanes, group.channels, d.zero_entry(), lanes, table);
      } else if (d.few() && ops_.build_few_i16 != nullptr) {
        ops_.build_few_i16(planes, lanes, d.group(), d.limit(), d.zero_entry(), lanes, table);
      } else {
        ops_.build_list_i16(planes, lanes, d.entries(), d.parent().data(), d.channel().data(),
                            lanes, table);
      }
    } else {
      if (d.full()) {
        ops_.build_full_f32(planes, lanes, group.channels, d.zero_entry(), lanes, table);
      } else if (d.few() && ops_.build_few_f32 != nullptr) {
        ops_.build_few_f32(planes, lanes, d.group(), d.limit(), d.zero_entry(), lanes, table);
      } else {
        ops_.build_list_f32(planes, lanes, d.entries(), d.parent().data(), d.channel().data(),
                            lanes, table);
      }
    }
  }

  void AddToChannelSum(const Table* planes, const ChannelGroup& group, const Memory& memory) const {
    const int lanes = geometry_.entry_lanes();
    const int per_region = shape_.in_c / std::max<int>(1, regions());
    const bool accumulate = group.first_channel != group.region * per_region;
    Sum* sum = memory.at<Sum>(channel_sum_at_);
    if constexpr (kInt8) {
      ops_.channel_sum_i16(planes, lanes, group.channels, lanes, accumulate, sum);
    } else {
      ops_.channel_sum_f32(planes, lanes, group.channels, lanes, accumulate, sum);
    }
  }

  int regions() const {
    return region_scale_.empty() ? 1 : static_cast<int>(region_scale_.size() / params_.size());
  }

  // The window sums of the region whose channel sums are complete.
  const Sum* MakeBox(const Memory& memory) const {
    const Sum* sum = memory.at<Sum>(channel_sum_at_);
    Sum* box = memory.at<Sum>(box_at_);
    const int taps = static_cast<int>(box_offsets_.size());
    if constexpr (kInt8) {
      ops_.window_sum_i32(sum, box_offsets_.data(), taps, geometry_.tile_lanes(), box);
    } else {
      ops_.window_sum_f32(sum, box_offsets_.data(), taps, geometry_.tile_lanes(), box);
    }
    return box;
  }

  // Adds the finished segment's sums, times its region's scale, to the totals.
  void Spill(int segment_index, int first_filter, int filters, const Memory& memory) const {
    const std::vector<Segment>& segments = streams_.segments();
    const Segment& segment = segments[segment_index];
    const int regions = this->regions();
    const bool last_of_region = segment_index + 1 == static_cast<int>(segments.size()) ||
                                segments[segment_index + 1].region != segment.region;
    const Sum* box = has_box_ && regions > 1 && last_of_region ? MakeBox(memory) : nullptr;
    const int lanes = geometry_.tile_lanes();
    const Table* acc = memory.at<Table>(acc_at_);
    Sum* total = memory.at<Sum>(total_at_);
    for (int i = 0; i < filters; ++i, acc += lanes, total += lanes) {
      const size_t f = static_cast<size_t>(first_filter) + i;
      const Sum scale =
          regions > 1 ? region_scale_[f * regions + segment.region] : Sum{params_[f].scale};
      const Sum background =
          regions > 1 ? region_background_[f * regions + segment.region] : Sum{0};
      if constexpr (kInt8) {
        ops_.spill_i16(acc, static_cast<int16_t>(segment.center[f]), scale, background, box, lanes,
                       segment_index > 0, total);
      } else {
        ops_.spill_f32(acc, scale, background, box, lanes, segment_index > 0, total);
      }
    }
  }

  void WriteOutput(int first_filter, int filters, char** outputs, const Memory& memory) const {
    const Sum* box = has_box_ && regions() == 1 ? MakeBox(memory) : nullptr;
    for (int lane = 0; lane < geometry_.tile_lanes(); ++lane) {
      if (outputs[lane] != nullptr) outputs[lane] += first_filter * sizeof(Activation);
    }
    if constexpr (kInt8) {
      OutputArgsI8 args = MakeOutputArgs(output_, params_, fast_, first_filter, filters);
      args.acc16 = memory.at<int16_t>(acc_at_);
      args.acc32 = spills_ ? memory.at<int32_t>(total_at_) : nullptr;
      args.box = box;
      args.lanes = geometry_.tile_lanes();
      args.pixels = reinterpret_cast<int8_t* const*>(outputs);
      ops_.output_i8(args);
    } else {
      OutputArgsF32 args;
      args.acc = spills_ ? memory.at<float>(total_at_) : memory.at<float>(acc_at_);
      args.box = box;
      args.params = params_.data() + first_filter;
      args.filters = filters;
      args.lanes = geometry_.tile_lanes();
      args.clamp_min = output_.clamp_min_f32;
      args.clamp_max = output_.clamp_max_f32;
      args.pixels = reinterpret_cast<float* const*>(outputs);
      ops_.output_f32(args);
    }
  }

  const TableOps& ops_;
  const TableConfig config_;
  const bool profile_;
  const ConvShape shape_;
  const OutputStage& output_;
  const Geometry geometry_;
  const Streams streams_;
  const bool ternary_;
  void (*lookup_)(const LookupArgs<Table>&) = nullptr;
  std::vector<int> shifts_;
  std::vector<int> box_offsets_;  // by tap, into the channel sums
  int box_slack_ = 0;             // lanes the box reads behind an entry
  bool fast_ = false;             // OutputArgsI8
  bool has_box_ = false;          // some background is not zero
  bool spills_ = false;           // accumulators are added up in totals
  bool direct_ = false;           // tables of one channel: the planes themselves
  int plane_channels_ = 0;
  std::vector<OutputParams> params_;                   // [filters]
  std::vector<Sum> region_scale_, region_background_;  // [filters, regions]; empty: one region
  std::vector<Activation> zero_pixel_;

  Arena arena_;
  size_t inputs_at_ = 0, outputs_at_ = 0, planes_at_ = 0, table_at_ = 0, acc_at_ = 0, total_at_ = 0,
         channel_sum_at_ = 0, box_at_ = 0;
  std::vector<Memory> workspaces_;  // one a thread
  std::vector<StageTimes> times_;
};

}  // namespace

std::unique_ptr<ConvKernel> MakeTableConv(const ConvProblem& problem, const TableOps& ops,
                                          const TableConfig& config, bool profile, int threads) {
  try {
    if (problem.type == DataType::kInt8) {
      return std::make_unique<TableConv<int16_t>>(problem, ops, config, profile, threads);
    }
    return std::make_unique<TableConv<float>>(problem, ops, config, profile, threads);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace table
}  // namespace tf_signbin

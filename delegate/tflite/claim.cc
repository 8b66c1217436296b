#include "tflite/claim.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <type_traits>

#include "engine/planner.h"
#include "engine/validate.h"
#include "tflite/tensor_access.h"

namespace tf_signbin {
namespace {

// Patterns the permute kernels know, most weights a look-up first.
struct Pattern {
  int n, m;
};
constexpr Pattern kInt8Patterns[] = {{2, 10}, {2, 9}, {2, 8}, {3, 7}};
constexpr Pattern kFloatPatterns[] = {{2, 7}, {2, 6}};

// A smaller region has more values than mask bytes.
constexpr int kMinRegionWeights = 8;

// Float weights that went through `w + stop_gradient(q - w)` come back from constant folding a few
// units in the last place off; values this close, relative to the larger one, are one value.
constexpr double kFloatTolerance = 1.0 / (1 << 20);

// The weights of one filter and region: `channels` of every `in_c`, once a tap.
template <typename T>
struct Region {
  const T* first;
  int taps, in_c, channels;

  // Calls visit(weight, index in the filter) until it returns false; returns whether it never did.
  template <typename Visit>
  bool All(const Visit& visit) const {
    for (int tap = 0; tap < taps; ++tap) {
      for (int channel = 0; channel < channels; ++channel) {
        const size_t k = static_cast<size_t>(tap) * in_c + channel;
        if (!visit(static_cast<double>(first[k]), k)) return false;
      }
    }
    return true;
  }
};

// Weights of one region that count as one value.
struct Cluster {
  double anchor = 0, offsets = 0;
  size_t count = 0;
  bool Add(double weight, double limit) {
    if (std::abs(weight - anchor) > limit) return false;
    offsets += weight - anchor;
    ++count;
    return true;
  }
  double value() const { return count == 0 ? anchor : anchor + offsets / count; }
};

struct RegionValues {
  double background = 0, effectual = 0;
  double anchor = 0, limit = 0;  // weights within `limit` of `anchor` have the effectual value
};

template <typename T>
bool Range(const Region<T>& region, double* low, double* high, double* limit) {
  *low = *high = static_cast<double>(region.first[0]);
  const bool finite = region.All([&](double weight, size_t) {
    *low = std::min(*low, weight);
    *high = std::max(*high, weight);
    return std::isfinite(weight);
  });
  const double tolerance = std::is_same<T, float>::value ? kFloatTolerance : 0;
  *limit = tolerance * std::max(std::abs(*low), std::abs(*high));
  return finite;
}

// A region with a zero has background 0. Otherwise the rarer value is the effectual one; at equal
// counts the one of larger magnitude, then the positive one.
template <typename T>
bool TwoValued(const Region<T>& region, RegionValues* values) {
  double low, high, limit;
  if (!Range(region, &low, &high, &limit)) return false;
  Cluster at_low{low}, at_high{high};
  if (!region.All([&](double weight, size_t) {
        return at_high.Add(weight, limit) || at_low.Add(weight, limit);
      })) {
    return false;
  }
  const bool constant = at_low.count == 0;
  const bool rarer = at_high.count < at_low.count ||
                     (at_high.count == at_low.count && std::abs(high) >= std::abs(low));
  const bool high_effectual = high != 0 && (constant || low == 0 || rarer);
  const Cluster& effectual = high_effectual ? at_high : at_low;
  const Cluster& background = high_effectual ? at_low : at_high;
  values->background = constant ? 0 : background.value();
  values->effectual = constant && high == 0 ? 0 : effectual.value();
  values->anchor = effectual.anchor;
  values->limit = constant && high == 0 ? -1 : limit;  // an all-zero region has no mask bit
  return true;
}

template <typename T>
bool Ternary(const Region<T>& region, RegionValues* values) {
  double low, high, limit;
  if (!Range(region, &low, &high, &limit)) return false;
  Cluster magnitude{std::max(std::abs(low), std::abs(high))}, zero{0};
  if (!region.All([&](double weight, size_t) {
        return zero.Add(weight, limit) || magnitude.Add(std::abs(weight), limit);
      })) {
    return false;
  }
  values->effectual = magnitude.value();
  values->anchor = magnitude.anchor;
  values->limit = magnitude.count == 0 ? -1 : limit;
  return std::is_same<T, float>::value || values->effectual <= 127;
}

bool KeepsPattern(const PackedFilters& f, Pattern pattern) {
  PackedFilters probe = f;
  probe.pattern_n = pattern.n;
  probe.pattern_m = pattern.m;
  return CheckFilters(f.values_f32.empty() ? DataType::kInt8 : DataType::kFloat32, probe).ok();
}

template <typename T>
std::vector<T>& Values(PackedFilters* filters);
template <>
std::vector<float>& Values<float>(PackedFilters* filters) {
  return filters->values_f32;
}
template <>
std::vector<int8_t>& Values<int8_t>(PackedFilters* filters) {
  return filters->values_i8;
}

template <typename T>
bool PackAs(WeightKind kind, int regions, const T* weights, PackedFilters* f) {
  f->kind = kind;
  f->regions = regions;
  const int channels = f->in_c / regions;
  const auto region_at = [&](int filter, int region) {
    return Region<T>{
        weights + filter * f->weights_per_filter() + static_cast<size_t>(region) * channels,
        f->kernel_h * f->kernel_w, f->in_c, channels};
  };
  std::vector<RegionValues> values(static_cast<size_t>(f->out_c) * regions);
  for (int filter = 0; filter < f->out_c; ++filter) {
    for (int region = 0; region < regions; ++region) {
      RegionValues* v = &values[static_cast<size_t>(filter) * regions + region];
      const bool found = kind == WeightKind::kTwoValued ? TwoValued(region_at(filter, region), v)
                                                        : Ternary(region_at(filter, region), v);
      if (!found) return false;
    }
  }
  const size_t row_bytes = f->mask_row_bytes();
  f->masks.assign(static_cast<size_t>(f->planes()) * f->out_c * row_bytes, 0);
  std::vector<T>& packed = Values<T>(f);
  packed.clear();
  for (int filter = 0; filter < f->out_c; ++filter) {
    for (int region = 0; region < regions; ++region) {
      const RegionValues& v = values[static_cast<size_t>(filter) * regions + region];
      if (kind == WeightKind::kTwoValued) packed.push_back(static_cast<T>(v.background));
      packed.push_back(static_cast<T>(v.effectual));
      uint8_t* plus = f->masks.data() + filter * row_bytes;
      uint8_t* minus = plus + f->out_c * row_bytes;
      const size_t first = static_cast<size_t>(region) * channels;
      region_at(filter, region).All([&](double weight, size_t offset) {
        const size_t k = first + offset;
        const uint8_t bit = static_cast<uint8_t>(1u << (k % 8));
        if (std::abs(weight - v.anchor) <= v.limit) {
          plus[k / 8] |= bit;
        } else if (kind == WeightKind::kTernary && std::abs(-weight - v.anchor) <= v.limit) {
          minus[k / 8] |= bit;
        }
        return true;
      });
    }
  }
  return true;
}

template <typename T, size_t N>
bool Pack(const T* weights, PackedFilters* f, const Pattern (&patterns)[N]) {
  const size_t region_weights = f->weights_per_filter();
  for (const WeightKind kind : {WeightKind::kTwoValued, WeightKind::kTernary}) {
    for (int regions = 1; regions <= f->in_c; ++regions) {
      if (f->in_c % regions != 0) continue;
      if (regions > 1 && region_weights / regions < kMinRegionWeights) break;
      if (!PackAs(kind, regions, weights, f)) continue;
      const size_t packed = f->masks.size() + Values<T>(f).size() * sizeof(T);
      if (packed >= f->out_c * f->weights_per_filter() * sizeof(T)) return false;
      if (kind == WeightKind::kTwoValued) {
        for (const Pattern pattern : patterns) {
          if (!KeepsPattern(*f, pattern)) continue;
          f->pattern_n = pattern.n;
          f->pattern_m = pattern.m;
          break;
        }
      }
      return true;
    }
  }
  return false;
}

bool ReadActivation(int code, Activation* activation) {
  switch (code) {
    case abi::kActNone:
      *activation = Activation::kNone;
      return true;
    case abi::kActRelu:
      *activation = Activation::kRelu;
      return true;
    case abi::kActReluN1To1:
      *activation = Activation::kReluN1To1;
      return true;
    case abi::kActRelu6:
      *activation = Activation::kRelu6;
      return true;
    default:
      return false;
  }
}

// Takes the attributes of a builtin operator over into `o`; false when one has no counterpart.
bool ReadConvParams(const abi::TfLiteConvParams& params, OpOptions* o) {
  o->stride_h = params.stride_height;
  o->stride_w = params.stride_width;
  o->dilation_h = params.dilation_height_factor;
  o->dilation_w = params.dilation_width_factor;
  o->padding = params.padding == abi::kPaddingSame ? Padding::kSame : Padding::kValid;
  return (params.padding == abi::kPaddingSame || params.padding == abi::kPaddingValid) &&
         o->stride_h >= 1 && o->stride_w >= 1 && o->dilation_h >= 1 && o->dilation_w >= 1 &&
         ReadActivation(params.activation, &o->activation);
}

bool ReadFullyConnectedParams(const abi::TfLiteFullyConnectedParams& params, OpOptions* o) {
  o->keep_num_dims = params.keep_num_dims;
  return params.weights_format == 0 && ReadActivation(params.activation, &o->activation);
}

// TFLite refuses a fully connected layer whose bias scale is far from input scale * weight scale.
bool BiasScaleFits(const abi::TfLiteTensor& input, float weight_scale,
                   const abi::TfLiteTensor& bias, const abi::TfLiteTensor& output) {
  const double product = static_cast<double>(input.params.scale) * weight_scale;
  return std::abs(product - bias.params.scale) / output.params.scale <= 0.02;
}

// Everything but the filters' values; the reason when the engine would not be exact.
std::string CheckForm(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                      const abi::TfLiteTensor& weights, Layer* layer) {
  const bool conv = layer->op == OpType::kConv2D;
  const abi::TfLiteTensor* input = GetTensor(context, layer->input);
  const abi::TfLiteTensor* output = GetTensor(context, layer->output);
  if (input == nullptr || output == nullptr || input == output || IsConstant(*output) ||
      node.outputs->size != 1 || node.inputs->size > 3) {
    return "it has not the usual inputs and outputs";
  }
  if (input->type != weights.type || output->type != weights.type) {
    return "activations and weights differ in type (" + std::to_string(input->type) + ", " +
           std::to_string(output->type) + " and " + std::to_string(weights.type) + ")";
  }
  const bool known =
      conv ? ReadConvParams(*static_cast<const abi::TfLiteConvParams*>(node.builtin_data),
                            &layer->options)
           : ReadFullyConnectedParams(
                 *static_cast<const abi::TfLiteFullyConnectedParams*>(node.builtin_data),
                 &layer->options);
  if (!known) return "an attribute has no counterpart";
  if (conv) {
    const std::vector<int> dims = Dims(*input);
    if (dims.size() != 4 || dims[3] != layer->filters.in_c) {
      return "input " + DimsText(dims) + " does not have " + std::to_string(layer->filters.in_c) +
             " channels (a grouped convolution?)";
    }
  }
  const int bias_index = TensorIndex(node.inputs, 2);
  Status status = ReadBias(context, bias_index, layer->filters.out_c, layer);
  if (!status.ok()) return status.message();
  if (layer->type == DataType::kInt8) {
    status = ReadWeightScales(weights, layer->filters.out_c, &layer->weight_scales);
    if (!status.ok()) return status.message();
    const abi::TfLiteTensor* bias = GetTensor(context, bias_index);
    if (!conv && bias != nullptr && layer->weight_scales.size() == 1 &&
        !BiasScaleFits(*input, layer->weight_scales[0], *bias, *output)) {
      return "its bias scale is not input scale * weight scale";
    }
  }
  OutputStage stage;
  status = MakeOutputStage(*layer, *input, *output, &stage);
  if (status.ok()) status = CheckFilters(layer->type, layer->filters);
  if (status.ok()) status = CheckOutputStage(layer->type, layer->filters, stage);
  return status.message();
}

// The constant weights of a builtin convolution or fully connected layer; fills operator, type,
// tensors, name and the sizes of the filters. Null when it is another operator, or one without.
const abi::TfLiteTensor* ReadGeometry(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                                      const abi::TfLiteRegistration& registration, Layer* layer) {
  const bool conv = registration.builtin_code == abi::kBuiltinConv2D;
  if (!conv && registration.builtin_code != abi::kBuiltinFullyConnected) return nullptr;
  if (node.builtin_data == nullptr) return nullptr;
  const abi::TfLiteTensor* weights = GetTensor(context, TensorIndex(node.inputs, 1));
  if (weights == nullptr || !IsConstant(*weights) || weights->sparsity != nullptr ||
      (weights->type != abi::kFloat32 && weights->type != abi::kInt8)) {
    return nullptr;
  }
  const std::vector<int> dims = Dims(*weights);
  if (dims.size() != (conv ? 4 : 2)) return nullptr;
  const size_t element_bytes = weights->type == abi::kFloat32 ? 4 : 1;
  size_t elements = weights->bytes / element_bytes;
  for (const int size : dims) {
    if (size <= 0 || elements % static_cast<size_t>(size) != 0) return nullptr;
    elements /= static_cast<size_t>(size);
  }
  if (elements != 1) return nullptr;

  layer->op = conv ? OpType::kConv2D : OpType::kFullyConnected;
  layer->type = weights->type == abi::kFloat32 ? DataType::kFloat32 : DataType::kInt8;
  layer->input = TensorIndex(node.inputs, 0);
  layer->output = TensorIndex(node.outputs, 0);
  layer->name = TensorName(GetTensor(context, layer->output), layer->output);
  PackedFilters& f = layer->filters;
  f.out_c = dims.front();
  f.kernel_h = conv ? dims[1] : 1;
  f.kernel_w = conv ? dims[2] : 1;
  f.in_c = dims.back();
  return weights;
}

void CopyFilterOptions(Layer* layer) {
  const PackedFilters& f = layer->filters;
  OpOptions& o = layer->options;
  o.kind = f.kind;
  o.kernel_h = f.kernel_h;
  o.kernel_w = f.kernel_w;
  o.in_channels = f.in_c;
  o.out_channels = f.out_c;
  o.regions = f.regions;
  o.pattern_n = f.pattern_n;
  o.pattern_m = f.pattern_m;
}

// XNNPACK's int8 convolutions pad the channels of every tap to eight, with Arm's dot products to
// four; the engine's pad them to four with AVX-512 VNNI, else not at all. Worth a claim where that
// spares a quarter of the work. Beside Arm's dot products, outputs count for as much as the work
// spared in a small window.
bool RuntimePadsChannels(const PackedFilters& f) {
  constexpr int kLeastTaps = 16;
  const std::vector<std::string>& isas = SupportedIsas();
  const auto has = [&](const char* isa) {
    return std::find(isas.begin(), isas.end(), isa) != isas.end();
  };
  const bool dot = has("neondot");
  const int64_t runtime = dot ? 4 : 8, engine = has("avx512vnni") ? 4 : 1, channels = f.in_c;
  const auto padded = [&](int64_t to) { return (channels + to - 1) / to * to; };
  return padded(engine) * 4 <= padded(runtime) * 3 &&
         (!dot || f.kernel_h * f.kernel_w >= kLeastTaps);
}

// Whether the user's options and the CPU allow a kernel for dense filters, other than the slow
// reference.
bool HasDenseKernel(const Layer& layer, const PlanOptions& options) {
  if (!CheckPlanOptions(options).ok()) return false;
  const OpOptions& o = layer.options;
  OutputStage output;
  ConvProblem problem{layer.type, {}, &layer.filters, &output};
  problem.shape.in_c = o.in_channels;
  problem.shape.out_c = o.out_channels;
  problem.shape.kernel_h = o.kernel_h;
  problem.shape.kernel_w = o.kernel_w;
  problem.shape.stride_h = o.stride_h;
  problem.shape.stride_w = o.stride_w;
  problem.shape.dilation_h = o.dilation_h;
  problem.shape.dilation_w = o.dilation_w;
  const std::vector<Candidate> candidates = Candidates(problem, options);
  return std::any_of(candidates.begin(), candidates.end(),
                     [](const Candidate& c) { return c.family != &kReferenceFamily; });
}

}  // namespace

bool PackByValue(const float* weights, PackedFilters* filters) {
  return Pack(weights, filters, kFloatPatterns);
}

bool PackByValue(const int8_t* weights, PackedFilters* filters) {
  return Pack(weights, filters, kInt8Patterns);
}

Claim ClaimBuiltin(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                   const abi::TfLiteRegistration& registration, Layer* layer, std::string* reason) {
  const abi::TfLiteTensor* weights = ReadGeometry(context, node, registration, layer);
  if (weights == nullptr) return Claim::kNo;
  PackedFilters& f = layer->filters;
  bool packed;
  if (layer->type == DataType::kFloat32) {
    // Only the model file's alignment is certain, and that only if the file is well made.
    std::vector<float> aligned;
    CopyConstant(*weights, &aligned);
    packed = PackByValue(aligned.data(), &f);
  } else {
    packed = PackByValue(static_cast<const int8_t*>(weights->data), &f);
  }
  if (!packed) return Claim::kNo;
  CopyFilterOptions(layer);
  *reason = CheckForm(context, node, *weights, layer);
  return reason->empty() ? Claim::kYes : Claim::kUnsupported;
}

bool ClaimDense(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                const abi::TfLiteRegistration& registration, const PlanOptions& options,
                Layer* layer) {
  const abi::TfLiteTensor* weights = ReadGeometry(context, node, registration, layer);
  if (weights == nullptr || layer->op != OpType::kConv2D || layer->type != DataType::kInt8 ||
      !RuntimePadsChannels(layer->filters)) {
    return false;
  }
  PackedFilters& f = layer->filters;
  f.kind = WeightKind::kDense;
  CopyConstant(*weights, &f.values_i8);
  CopyFilterOptions(layer);
  return CheckForm(context, node, *weights, layer).empty() && HasDenseKernel(*layer, options);
}

}  // namespace tf_signbin

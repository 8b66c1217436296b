#include "fuzz/seeds.h"

#include <string>

#include "tests/flexbuffer_builder.h"
#include "tests/random_layer.h"
#include "tflite/tflite_abi.h"

namespace tf_signbin {
namespace {

template <typename T>
std::vector<uint8_t> Bytes(const std::vector<T>& values) {
  const auto* first = reinterpret_cast<const uint8_t*>(values.data());
  return std::vector<uint8_t>(first, first + values.size() * sizeof(T));
}

std::vector<int16_t> Shape(std::vector<size_t> sizes) {
  return std::vector<int16_t>(sizes.begin(), sizes.end());
}

FlexFields Fields(const RandomLayer& layer, bool conv, bool same) {
  const ConvShape& s = layer.shape;
  const PackedFilters& f = layer.filters;
  return {{"version", 1},
          {"kind", f.kind == WeightKind::kTernary ? "ternary" : "two_valued"},
          {"kernel_h", s.kernel_h},
          {"kernel_w", s.kernel_w},
          {"in_channels", s.in_c},
          {"out_channels", s.out_c},
          {"stride_h", s.stride_h},
          {"stride_w", s.stride_w},
          {"dilation_h", s.dilation_h},
          {"dilation_w", s.dilation_w},
          {"padding", same ? "SAME" : "VALID"},
          {"activation", "RELU6"},
          {"regions", f.regions},
          {"pattern_n", f.pattern_n},
          {"pattern_m", f.pattern_m},
          {"keep_num_dims", conv ? 0 : 1}};
}

// Dense weights of a layer, for the builtin operator.
template <typename T>
std::vector<T> Dense(const PackedFilters& f, const std::vector<T>& values) {
  std::vector<T> weights;
  for (int filter = 0; filter < f.out_c; ++filter) {
    for (size_t k = 0; k < f.weights_per_filter(); ++k) {
      const size_t region = static_cast<int>(k) % f.in_c / (f.in_c / f.regions);
      const T* v = values.data() + (filter * f.regions + region) * f.values_per_region();
      if (f.kind == WeightKind::kTwoValued) {
        weights.push_back(v[f.bit(0, filter, k)]);
      } else {
        weights.push_back(f.bit(0, filter, k)   ? v[0]
                          : f.bit(1, filter, k) ? static_cast<T>(-v[0])
                                                : T{0});
      }
    }
  }
  return weights;
}

}  // namespace

OpCase SeedCase(uint64_t seed) {
  Rng rng(seed);
  OpCase c;
  c.op = static_cast<uint8_t>(rng.Int(0, 3));
  const bool conv = c.op == kPackedConv || c.op == kBuiltinConv, packed = c.op <= 1;
  c.family = static_cast<uint8_t>(rng.Int(0, 5));
  c.isa = static_cast<uint8_t>(rng.Chance(0.5) ? 0 : rng.Int(0, 5));
  c.threads = static_cast<uint8_t>(rng.Chance(0.7) ? 0 : rng.Int(1, 2));

  RandomLayer layer;
  layer.type = rng.Chance(0.7) ? DataType::kInt8 : DataType::kFloat32;
  const bool is_float = layer.type == DataType::kFloat32;
  ConvShape& s = layer.shape;
  s.in_c = rng.Int(1, 24);
  s.out_c = rng.Int(1, 24);
  const bool same = conv && rng.Chance(0.6);
  if (conv) {
    s.kernel_h = rng.Int(1, 3);
    s.kernel_w = rng.Int(1, 3);
    s.stride_h = rng.Int(1, 2);
    s.stride_w = rng.Int(1, 2);
    s.dilation_h = s.dilation_w = rng.Chance(0.8) ? 1 : 2;
  }
  layer.filters.regions = s.in_c % 2 == 0 && rng.Chance(0.2) ? 2 : 1;
  FillFilters(rng, &layer);
  const PackedFilters& f = layer.filters;
  const std::vector<uint8_t> values = is_float ? Bytes(f.values_f32) : Bytes(f.values_i8);

  const uint8_t type = is_float ? abi::kFloat32 : abi::kInt8;
  const size_t out_c = s.out_c, in_c = s.in_c, height = s.kernel_h, width = s.kernel_w;
  TensorCase* t = c.tensors;
  t[0] = {type, {}, {}, 0.05f, static_cast<int16_t>(rng.Int(-128, 127)), {}};
  const size_t rows = rng.Int(1, 3);
  t[0].dims = conv ? Shape({rows, height * 2 + 1, width * 2 + 3, in_c}) : Shape({rows, in_c});
  c.resized = conv ? Shape({1, height * 2 + 4, width * 2 + 1, in_c}) : Shape({rows + 1, in_c});
  std::vector<float> scales;
  if (!is_float) scales.assign(rng.Chance(0.7) ? out_c : 1, 0.02f);
  if (packed) {
    const size_t planes = f.planes(), per_region = f.values_per_region(), regions = f.regions;
    t[1] = {abi::kUInt8, Shape({planes, out_c, f.mask_row_bytes()}), f.masks, 0, 0, {}};
    t[2] = {type, Shape({out_c, regions, per_region}), values, 0, 0, scales};
    c.options = BuildFlexMap(Fields(layer, conv, same));
    c.inputs = {0, 1, 2, 3};
  } else {
    t[1].type = type;
    t[1].dims = conv ? Shape({out_c, height, width, in_c}) : Shape({out_c, in_c});
    t[1].data = is_float ? Bytes(Dense(f, f.values_f32)) : Bytes(Dense(f, f.values_i8));
    t[1].scales = scales;
    const auto byte = [](int value) { return static_cast<uint8_t>(value); };
    c.options = {byte(same ? abi::kPaddingSame : abi::kPaddingValid),
                 byte(s.stride_w),
                 byte(s.stride_h),
                 abi::kActRelu,
                 byte(s.dilation_w),
                 byte(s.dilation_h)};
    if (!conv) c.options = {abi::kActRelu, 0, 1};
    c.inputs = {0, 1, 3};
  }
  t[3] = {
      is_float ? uint8_t{abi::kFloat32} : uint8_t{abi::kInt32}, Shape({out_c}), {}, 0.001f, 0, {}};
  t[3].data.resize(4 * out_c);
  if (rng.Chance(0.2)) c.inputs.back() = 255;
  t[4] = {type, t[0].dims, {}, 0.1f, static_cast<int16_t>(rng.Int(-128, 127)), {}};
  c.outputs = {4};
  for (int i = 0; i < 61; ++i) c.activation.push_back(static_cast<uint8_t>(rng.Int(0, 255)));
  return c;
}

}  // namespace tf_signbin

// Random layers for property tests. A seed makes the same layer on every machine.
#ifndef TF_SIGNBIN_TESTS_RANDOM_LAYER_H_
#define TF_SIGNBIN_TESTS_RANDOM_LAYER_H_

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/types.h"

namespace tf_signbin {

// The <random> distributions differ between standard libraries; these do not.
class Rng {
 public:
  explicit Rng(uint64_t seed) : engine_(seed) {}
  int Int(int low, int high) { return low + static_cast<int>(engine_() % (high - low + 1)); }
  double Real() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  bool Chance(double probability) { return Real() < probability; }

 private:
  std::mt19937_64 engine_;
};

struct RandomLayer {
  DataType type;
  ConvShape shape;
  PackedFilters filters;
  OutputStage output;
  std::vector<float> input_f32;
  std::vector<int8_t> input_i8;

  const void* input() const {
    return type == DataType::kFloat32 ? static_cast<const void*>(input_f32.data())
                                      : static_cast<const void*>(input_i8.data());
  }
  size_t outputs() const {
    return static_cast<size_t>(shape.batch) * shape.out_h * shape.out_w * shape.out_c;
  }
  std::string Describe() const {
    const ConvShape& s = shape;
    const auto by = [](int a, int b) { return std::to_string(a) + "x" + std::to_string(b); };
    return std::string(type == DataType::kFloat32 ? "float32" : "int8") +
           (filters.kind == WeightKind::kTernary ? " ternary" : " two-valued") + " batch " +
           std::to_string(s.batch) + " in " + by(s.in_h, s.in_w) + "x" + std::to_string(s.in_c) +
           " out " + by(s.out_h, s.out_w) + "x" + std::to_string(s.out_c) + " kernel " +
           by(s.kernel_h, s.kernel_w) + " stride " + by(s.stride_h, s.stride_w) + " dilation " +
           by(s.dilation_h, s.dilation_w) + " padding " + by(s.pad_top, s.pad_left) + " regions " +
           std::to_string(filters.regions) + " pattern " + std::to_string(filters.pattern_n) + ":" +
           std::to_string(filters.pattern_m) +
           (output.real_multiplier.empty() ? "" : " real multiplier") + " input zero point " +
           std::to_string(output.input_zero_point);
  }
};

inline void FillGeometry(Rng& rng, RandomLayer* layer) {
  ConvShape& s = layer->shape;
  const int kernels[] = {1, 1, 3, 3, 3, 5, 7, 2};
  s.kernel_h = kernels[rng.Int(0, 7)];
  s.kernel_w = rng.Chance(0.8) ? s.kernel_h : kernels[rng.Int(0, 7)];
  layer->filters.regions = rng.Chance(0.8) ? 1 : rng.Int(2, 4);
  const int channels = rng.Chance(0.1) ? rng.Int(100, 300) : rng.Int(1, 48);
  s.in_c = layer->filters.regions * std::max(1, channels / layer->filters.regions);
  s.out_c = rng.Chance(0.1) ? rng.Int(60, 140) : rng.Int(1, 40);
  s.stride_h = rng.Chance(0.6) ? 1 : rng.Int(1, 3);
  s.stride_w = rng.Chance(0.8) ? s.stride_h : rng.Int(1, 3);
  s.dilation_h = rng.Chance(0.8) ? 1 : rng.Int(1, 3);
  s.dilation_w = rng.Chance(0.8) ? s.dilation_h : rng.Int(1, 3);
  s.batch = rng.Chance(0.7) ? 1 : rng.Int(2, 3);
  const int span_h = (s.kernel_h - 1) * s.dilation_h + 1;
  const int span_w = (s.kernel_w - 1) * s.dilation_w + 1;
  const bool same = rng.Chance(0.6);
  s.in_h = (same ? 1 : span_h) + rng.Int(0, 12);
  s.in_w = (same ? 1 : span_w) + rng.Int(0, rng.Chance(0.1) ? 70 : 20);
  s.out_h = same ? (s.in_h + s.stride_h - 1) / s.stride_h : (s.in_h - span_h) / s.stride_h + 1;
  s.out_w = same ? (s.in_w + s.stride_w - 1) / s.stride_w : (s.in_w - span_w) / s.stride_w + 1;
  if (same) {
    s.pad_top = std::max((s.out_h - 1) * s.stride_h + span_h - s.in_h, 0) / 2;
    s.pad_left = std::max((s.out_w - 1) * s.stride_w + span_w - s.in_w, 0) / 2;
  }
}

inline void FillFilters(Rng& rng, RandomLayer* layer) {
  PackedFilters& f = layer->filters;
  f.out_c = layer->shape.out_c;
  f.in_c = layer->shape.in_c;
  f.kernel_h = layer->shape.kernel_h;
  f.kernel_w = layer->shape.kernel_w;
  f.kind = rng.Chance(0.2) ? WeightKind::kTernary : WeightKind::kTwoValued;
  if (rng.Chance(0.4)) {
    const int patterns[][2] = {{2, 10}, {2, 9}, {2, 8}, {3, 7}, {2, 7}, {2, 6}, {1, 4}};
    const int* pattern = patterns[rng.Int(0, 6)];
    f.pattern_n = pattern[0];
    f.pattern_m = pattern[1];
  }
  f.masks.assign(f.planes() * f.out_c * f.mask_row_bytes(), 0);
  const double densities[] = {0, 0.02, 0.1, 0.36, 0.36, 0.5, 0.9, 1};
  const double density = densities[rng.Int(0, 7)];
  for (int filter = 0; filter < f.out_c; ++filter) {
    int set = 0;
    for (size_t k = 0; k < f.weights_per_filter(); ++k) {
      const int channel = static_cast<int>(k % f.in_c);
      if (f.pattern_m > 0 && channel % f.pattern_m == 0) set = 0;
      if (!rng.Chance(density) || (f.pattern_m > 0 && set == f.pattern_n)) continue;
      ++set;
      const int plane = f.planes() == 2 && rng.Chance(0.5) ? 1 : 0;
      const size_t row = static_cast<size_t>(plane) * f.out_c + filter;
      f.masks[row * f.mask_row_bytes() + k / 8] |= static_cast<uint8_t>(1 << (k % 8));
    }
  }
  const int form = rng.Int(0, 2);  // signed-binary, binary, any pair
  for (int i = 0; i < f.out_c * f.regions; ++i) {
    const double size = layer->type == DataType::kFloat32 ? rng.Real() + 0.01
                        : rng.Chance(0.7)                 ? 127
                                                          : rng.Int(1, 127);
    const double effectual = rng.Chance(0.5) ? size : -size;
    const double background = form == 0 ? 0 : form == 1 ? -effectual : size * (2 * rng.Real() - 1);
    for (int v = 0; v < f.values_per_region(); ++v) {
      const double value = f.values_per_region() == 1 ? size : v == 0 ? background : effectual;
      if (layer->type == DataType::kFloat32) {
        f.values_f32.push_back(static_cast<float>(value));
      } else {
        f.values_i8.push_back(static_cast<int8_t>(std::lround(value)));
      }
    }
  }
}

inline void FillOutputStage(Rng& rng, RandomLayer* layer) {
  OutputStage& o = layer->output;
  const int out_c = layer->shape.out_c;
  const bool bias = rng.Chance(0.8);
  const double weights = static_cast<double>(layer->filters.weights_per_filter());
  if (layer->type == DataType::kFloat32) {
    const float infinity = std::numeric_limits<float>::infinity();
    const float ranges[][2] = {{-infinity, infinity}, {0, infinity}, {0, 6}, {-1, 1}};
    const float* range = ranges[rng.Int(0, 3)];
    o.clamp_min_f32 = range[0];
    o.clamp_max_f32 = range[1];
    for (int i = 0; bias && i < out_c; ++i) {
      o.bias_f32.push_back(static_cast<float>(4 * rng.Real() - 2));
    }
    return;
  }
  o.input_zero_point = rng.Int(-128, 127);
  o.output_zero_point = rng.Chance(0.5) ? -128 : rng.Int(-128, 127);
  o.clamp_min_i8 = rng.Chance(0.5) ? -128 : o.output_zero_point;
  o.clamp_max_i8 = rng.Chance(0.8) ? 127 : std::min(127, o.clamp_min_i8 + rng.Int(0, 200));
  const bool real = rng.Chance(0.25);
  for (int i = 0; i < out_c; ++i) {
    // Spreads typical accumulators over int8, sometimes over a few steps or far beyond.
    double scale = (0.2 + rng.Real()) / (80.0 * std::sqrt(weights));
    if (rng.Chance(0.1)) scale *= rng.Chance(0.5) ? 0.01 : 300;
    if (bias) o.bias_i32.push_back(rng.Int(-8000, 8000));
    if (real) {
      o.real_multiplier.push_back(scale);
    } else {
      int exponent;
      const double fraction = std::frexp(scale, &exponent);
      o.multiplier.push_back(static_cast<int32_t>(fraction * 0x7fffffff));
      o.shift.push_back(exponent);
    }
  }
}

inline void FillInput(Rng& rng, RandomLayer* layer) {
  const ConvShape& s = layer->shape;
  const size_t inputs = static_cast<size_t>(s.batch) * s.in_h * s.in_w * s.in_c;
  const bool extreme = rng.Chance(0.1);  // drives int16 partial sums to their limits
  // Inputs of few bits, sometimes with one that lies below the zero point after all.
  const bool low_bits = layer->type == DataType::kInt8 && rng.Chance(0.4);
  const int bits = rng.Int(1, 6);
  if (low_bits) layer->output.input_zero_point = 128 - (1 << bits);
  for (size_t i = 0; i < inputs; ++i) {
    if (layer->type == DataType::kFloat32) {
      layer->input_f32.push_back(static_cast<float>(4 * rng.Real() - 2));
    } else if (low_bits) {
      layer->input_i8.push_back(
          static_cast<int8_t>(extreme ? 127 : 127 - rng.Int(0, (1 << bits) - 1)));
    } else {
      layer->input_i8.push_back(static_cast<int8_t>(extreme ? -128 : rng.Int(-128, 127)));
    }
  }
  if (low_bits && rng.Chance(0.2)) {
    layer->input_i8[rng.Int(0, static_cast<int>(inputs) - 1)] =
        static_cast<int8_t>(rng.Int(-128, layer->output.input_zero_point - 1));
  }
}

inline RandomLayer MakeRandomLayer(DataType type, uint64_t seed) {
  Rng rng(seed * 2 + (type == DataType::kInt8));
  RandomLayer layer;
  layer.type = type;
  FillGeometry(rng, &layer);
  FillFilters(rng, &layer);
  FillOutputStage(rng, &layer);
  FillInput(rng, &layer);
  return layer;
}

// The seeds of a property test: `count` of them, or only $TF_SIGNBIN_SEED to replay one.
inline std::vector<uint64_t> Seeds(int count) {
  const char* replay = std::getenv("TF_SIGNBIN_SEED");
  if (replay != nullptr) return {std::strtoull(replay, nullptr, 10)};
  std::vector<uint64_t> seeds(count);
  for (int i = 0; i < count; ++i) seeds[i] = i;
  return seeds;
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TESTS_RANDOM_LAYER_H_

// Layers of known networks with random weights, for the benchmarks of this folder.
#ifndef TF_SIGNBIN_BENCH_LAYERS_H_
#define TF_SIGNBIN_BENCH_LAYERS_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "engine/aligned.h"
#include "engine/types.h"

namespace tf_signbin {

// A convolution of a square image, padded so that stride 1 keeps its size. image 1 and kernel 1:
// a fully connected layer with batch 1.
struct LayerSize {
  int image, in_c, out_c, kernel, stride;

  // For example 56x56 64->64 3x3, 28x28 64->128 3x3/2.
  std::string name() const {
    const std::string side = std::to_string(image), window = std::to_string(kernel);
    return side + "x" + side + " " + std::to_string(in_c) + "->" + std::to_string(out_c) + " " +
           window + "x" + window + (stride > 1 ? "/" + std::to_string(stride) : "");
  }
  ConvShape shape() const {
    ConvShape s;
    s.in_h = s.in_w = image;
    s.in_c = in_c;
    s.out_c = out_c;
    s.kernel_h = s.kernel_w = kernel;
    s.stride_h = s.stride_w = stride;
    s.pad_top = s.pad_left = (kernel - 1) / 2;
    s.out_h = s.out_w = (image + stride - 1) / stride;
    return s;
  }
  // Multiply-adds of the dense layer.
  double macs() const {
    const ConvShape s = shape();
    return static_cast<double>(s.out_h) * s.out_w * in_c * out_c * kernel * kernel;
  }
};

struct RandomWeights {
  double density = 0.36;             // share of effectual weights
  int pattern_n = 0, pattern_m = 0;  // at most n of m consecutive channels; 0, 0: none
  WeightKind kind = WeightKind::kTwoValued;
  int input_bits = 8;       // int8: below 8, inputs have the 2^bits values from the zero point up
  bool background = false;  // of two values: centered filters instead of zeros
};

// A layer's weights and the rescaling of its outputs: everything ConvProblem points to.
struct BenchLayer {
  DataType type;
  PackedFilters filters;
  OutputStage output;
};

inline BenchLayer MakeBenchLayer(const LayerSize& size, DataType type,
                                 const RandomWeights& weights) {
  BenchLayer layer;
  layer.type = type;
  PackedFilters& f = layer.filters;
  f.kind = weights.kind;
  f.out_c = size.out_c;
  f.in_c = size.in_c;
  f.kernel_h = f.kernel_w = size.kernel;
  f.pattern_n = weights.pattern_n;
  f.pattern_m = weights.pattern_m;
  f.masks.assign(f.planes() * f.out_c * f.mask_row_bytes(), 0);
  std::mt19937 rng(1);
  for (int filter = 0; filter < f.out_c; ++filter) {
    int kept = 0, effectual_weights = 0;
    for (size_t k = 0; k < f.weights_per_filter(); ++k) {
      if (weights.pattern_m != 0 && k % f.in_c % weights.pattern_m == 0) kept = 0;
      if (rng() % 10000 >= weights.density * 10000) continue;
      if (weights.pattern_m != 0 && ++kept > weights.pattern_n) continue;
      const int plane = f.planes() == 2 && rng() % 2 ? 1 : 0;
      f.masks[(static_cast<size_t>(plane) * f.out_c + filter) * f.mask_row_bytes() + k / 8] |=
          static_cast<uint8_t>(1 << k % 8);
      ++effectual_weights;
    }
    const bool positive = filter < f.out_c / 2;
    const auto total = static_cast<float>(f.weights_per_filter());
    const float share = static_cast<float>(effectual_weights) / total;
    // What the mean of a filter's weights is 0 with, as a part of the effectual one.
    const float rest = weights.background && f.kind == WeightKind::kTwoValued && share < 0.5f
                           ? -share / (1 - share)
                           : 0;
    for (int v = 0; v < f.values_per_region(); ++v) {
      const bool effectual = v == f.values_per_region() - 1;
      const float sign = f.kind == WeightKind::kTernary || positive ? 1 : -1;
      const float value = sign * (effectual ? 1 : rest);
      if (type == DataType::kInt8) {
        f.values_i8.push_back(static_cast<int8_t>(std::lround(127 * value)));
      } else {
        f.values_f32.push_back(0.03f * value);
      }
    }
  }
  OutputStage& out = layer.output;
  if (type == DataType::kFloat32) {
    out.clamp_min_f32 = -1e30f;
    out.clamp_max_f32 = 1e30f;
  } else if (size.image == 1) {
    out.real_multiplier.assign(size.out_c, 1e-4);
  } else {
    out.multiplier.assign(size.out_c, 1 << 30);
    out.shift.assign(size.out_c, -13);
  }
  if (type == DataType::kInt8) {
    out.input_zero_point = weights.input_bits < 8 ? 128 - (1 << weights.input_bits) : -5;
  }
  return layer;
}

// Random input and room for the output, in bytes, aligned as LiteRT aligns tensors.
struct BenchData {
  Aligned<char> input, output;

  BenchData(const LayerSize& size, DataType type, int input_bits = 8) {
    const ConvShape s = size.shape();
    const size_t element = type == DataType::kInt8 ? 1 : 4;
    const size_t inputs = static_cast<size_t>(s.in_h) * s.in_w * s.in_c;
    input = Aligned<char>(inputs * element);
    output = Aligned<char>(static_cast<size_t>(s.out_h) * s.out_w * s.out_c * element);
    std::mt19937 rng(2);
    for (size_t i = 0; i < inputs; ++i) {
      if (type == DataType::kInt8) {
        input[i] = static_cast<char>(127 - static_cast<int>(rng() % (1u << input_bits)));
      } else {
        reinterpret_cast<float*>(input.get())[i] = static_cast<float>(rng() % 1000) * 1e-3f;
      }
    }
  }
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_BENCH_LAYERS_H_

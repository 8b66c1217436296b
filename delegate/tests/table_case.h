// Layers for the tests of the memory-table kernels, and what is right for them, from the
// definition.
#ifndef TF_SIGNBIN_TESTS_TABLE_CASE_H_
#define TF_SIGNBIN_TESTS_TABLE_CASE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/kernel.h"

namespace tf_signbin {

// A layer, its weights and one input.
struct Case {
  ConvProblem problem;
  PackedFilters filters;
  OutputStage output;
  std::vector<int8_t> input_i8;
  std::vector<float> input_f32;

  int Weight(int plane, int o, int dy, int dx, int c) const {
    return filters.bit(plane, o,
                       (static_cast<size_t>(dy) * filters.kernel_w + dx) * filters.in_c + c);
  }
  template <typename Value>
  Value WeightValue(const std::vector<Value>& values, int o, int dy, int dx, int c) const {
    const int region = c / (filters.in_c / filters.regions);
    const size_t at = static_cast<size_t>(o) * filters.regions + region;
    if (filters.kind == WeightKind::kTernary) {
      return static_cast<Value>(values[at] * (Weight(0, o, dy, dx, c) - Weight(1, o, dy, dx, c)));
    }
    return values[2 * at + Weight(0, o, dy, dx, c)];
  }
};

struct CaseOptions {
  ConvShape shape;
  WeightKind kind = WeightKind::kTwoValued;
  int regions = 1;
  bool background = false;
  double density = 0.4;
  int pattern_n = 0, pattern_m = 0;
  bool int8 = true;
  bool real_multiplier = false;  // int8: one rounding in double
  bool steep = true;             // int8: some filters' outputs pass far beyond the clamp
  int input_bits = 8;            // int8: below 8, values from the zero point up to 127
};

inline std::unique_ptr<Case> MakeCase(const CaseOptions& options, std::mt19937& random) {
  auto owned = std::make_unique<Case>();
  Case& c = *owned;
  const ConvShape& s = options.shape;
  PackedFilters& f = c.filters;
  f.kind = options.kind;
  f.out_c = s.out_c;
  f.kernel_h = s.kernel_h;
  f.kernel_w = s.kernel_w;
  f.in_c = s.in_c;
  f.regions = options.regions;
  f.pattern_n = options.pattern_n;
  f.pattern_m = options.pattern_m;
  f.masks.assign(f.planes() * f.out_c * f.mask_row_bytes(), 0);
  const auto set = [&](int plane, int o, size_t k) {
    f.masks[(static_cast<size_t>(plane) * f.out_c + o) * f.mask_row_bytes() + k / 8] |=
        static_cast<uint8_t>(1u << (k % 8));
  };
  std::bernoulli_distribution effectual(options.density), coin(0.5);
  for (int o = 0; o < f.out_c; ++o) {
    for (int tap = 0; tap < f.kernel_h * f.kernel_w; ++tap) {
      int members = 0;
      for (int ch = 0; ch < f.in_c; ++ch) {
        if (options.pattern_m > 0 && ch % options.pattern_m == 0) members = 0;
        if (!effectual(random)) continue;
        if (options.pattern_m > 0 && members++ >= options.pattern_n) continue;
        const int plane = f.planes() == 2 && coin(random) ? 1 : 0;
        set(plane, o, static_cast<size_t>(tap) * f.in_c + ch);
      }
    }
  }
  const size_t count = static_cast<size_t>(f.out_c) * f.regions;
  for (size_t i = 0; i < count; ++i) {
    const bool ternary = f.kind == WeightKind::kTernary;
    if (options.int8) {
      const int a = options.background ? static_cast<int>(random() % 255) - 127 : 0;
      const int b = coin(random) ? 127 : -127;
      if (!ternary) f.values_i8.push_back(static_cast<int8_t>(a));
      f.values_i8.push_back(static_cast<int8_t>(b));
    } else {
      std::normal_distribution<float> normal;
      if (!ternary) f.values_f32.push_back(options.background ? 0.3f * normal(random) : 0.0f);
      f.values_f32.push_back(normal(random));
    }
  }
  OutputStage& out = c.output;
  const size_t inputs = static_cast<size_t>(s.batch) * s.in_h * s.in_w * s.in_c;
  if (options.int8) {
    out.input_zero_point = static_cast<int>(random() % 3) * 64 - 128;  // -128, -64, 0
    if (coin(random)) out.input_zero_point = static_cast<int>(random() % 256) - 128;
    out.output_zero_point = static_cast<int>(random() % 256) - 128;
    if (coin(random)) out.clamp_min_i8 = out.output_zero_point;
    if (coin(random)) {
      for (int o = 0; o < s.out_c; ++o) {
        out.bias_i32.push_back(static_cast<int32_t>(random() % 200001) - 100000);
      }
    }
    const double terms = std::max(1.0, static_cast<double>(s.kernel_h) * s.kernel_w * s.in_c);
    for (int o = 0; o < s.out_c; ++o) {
      // Real multipliers that spread outputs over the int8 range, from 2^-24 to above 1.
      const double real = 60.0 / (127 * 70 * std::sqrt(terms)) * (0.5 + random() % 1000 / 1000.0) *
                          (options.steep && random() % 8 == 0 ? 300.0 : 1.0);
      int exponent;
      const double fraction = std::frexp(real, &exponent);
      out.multiplier.push_back(
          static_cast<int32_t>(std::min(fraction * 2147483648.0, 2147483647.0)));
      out.shift.push_back(exponent);
      if (options.real_multiplier) out.real_multiplier.push_back(real);
    }
    if (options.real_multiplier) {
      out.multiplier.clear();
      out.shift.clear();
    }
    c.input_i8.resize(inputs);
    for (int8_t& x : c.input_i8) {
      x = static_cast<int8_t>(127 - static_cast<int>(random() % (1u << options.input_bits)));
    }
    if (options.input_bits < 8) {
      out.input_zero_point = 128 - (1 << options.input_bits);
      c.problem.nonnegative = true;
    }
  } else {
    std::normal_distribution<float> normal;
    out.clamp_min_f32 = coin(random) ? 0.0f : -1e30f;
    out.clamp_max_f32 = coin(random) ? 6.0f : 1e30f;
    if (coin(random)) {
      for (int o = 0; o < s.out_c; ++o) out.bias_f32.push_back(normal(random));
    }
    c.input_f32.resize(inputs);
    for (float& x : c.input_f32) x = normal(random);
  }
  c.problem.type = options.int8 ? DataType::kInt8 : DataType::kFloat32;
  c.problem.shape = s;
  c.problem.filters = &c.filters;
  c.problem.output = &c.output;
  return owned;
}

// Calls each(output index, filter, sum of weight * input over the window, sum of magnitudes).
template <typename Sum, typename Value, typename Input, typename Each>
void ForEachOutput(const Case& c, const std::vector<Value>& values, const std::vector<Input>& input,
                   Sum zero_point, Each each) {
  const ConvShape& s = c.problem.shape;
  size_t index = 0;
  for (int n = 0; n < s.batch; ++n) {
    for (int y = 0; y < s.out_h; ++y) {
      for (int x = 0; x < s.out_w; ++x) {
        for (int o = 0; o < s.out_c; ++o, ++index) {
          Sum sum = 0, magnitude = 0;
          for (int dy = 0; dy < s.kernel_h; ++dy) {
            const int in_y = y * s.stride_h + dy * s.dilation_h - s.pad_top;
            if (in_y < 0 || in_y >= s.in_h) continue;
            for (int dx = 0; dx < s.kernel_w; ++dx) {
              const int in_x = x * s.stride_w + dx * s.dilation_w - s.pad_left;
              if (in_x < 0 || in_x >= s.in_w) continue;
              const Input* pixel =
                  &input[((static_cast<size_t>(n) * s.in_h + in_y) * s.in_w + in_x) * s.in_c];
              for (int ch = 0; ch < s.in_c; ++ch) {
                const Sum term = static_cast<Sum>(c.WeightValue(values, o, dy, dx, ch)) *
                                 (static_cast<Sum>(pixel[ch]) - zero_point);
                sum += term;
                magnitude += term < 0 ? -term : term;
              }
            }
          }
          each(index, o, sum, magnitude);
        }
      }
    }
  }
}

// The rule of TensorFlow Lite's reference kernel, in 64 bits and from its definition.
inline int8_t Requantize(const OutputStage& out, int o, int64_t sum) {
  const auto wrap = [](int64_t x) { return static_cast<int32_t>(static_cast<uint64_t>(x)); };
  int32_t x = wrap(sum + (out.bias_i32.empty() ? 0 : out.bias_i32[o]));
  if (!out.real_multiplier.empty()) {
    const int64_t y = std::llround(x * out.real_multiplier[o]) + out.output_zero_point;
    return static_cast<int8_t>(
        std::min<int64_t>(std::max<int64_t>(y, out.clamp_min_i8), out.clamp_max_i8));
  }
  if (out.shift[o] > 0) x = wrap(static_cast<int64_t>(x) * (int64_t{1} << out.shift[o]));
  const int64_t product = static_cast<int64_t>(x) * out.multiplier[o];
  const int64_t nudge = product >= 0 ? int64_t{1} << 30 : 1 - (int64_t{1} << 30);
  int64_t y = (product + nudge) / (int64_t{1} << 31);
  if (out.shift[o] < 0) {  // to nearest, halves away from zero
    const int64_t divisor = int64_t{1} << -out.shift[o];
    y = y >= 0 ? (y + divisor / 2) / divisor : -((-y + divisor / 2) / divisor);
  }
  y = wrap(y + out.output_zero_point);
  return static_cast<int8_t>(
      std::min<int64_t>(std::max<int64_t>(y, out.clamp_min_i8), out.clamp_max_i8));
}

inline void ExpectCorrect(const Case& c, ConvKernel& kernel, int threads) {
  const ConvShape& s = c.problem.shape;
  ThreadPool pool(threads);
  const size_t outputs = static_cast<size_t>(s.batch) * s.out_h * s.out_w * s.out_c;
  int failures = 0;
  if (c.problem.type == DataType::kInt8) {
    std::vector<int8_t> got(outputs + 1, 77);
    kernel.Run(c.input_i8.data(), got.data(), pool);
    EXPECT_EQ(got[outputs], 77) << "wrote behind the output";
    ForEachOutput<int64_t>(c, c.filters.values_i8, c.input_i8,
                           static_cast<int64_t>(c.output.input_zero_point),
                           [&](size_t i, int o, int64_t sum, int64_t) {
                             const int want = Requantize(c.output, o, sum);
                             if (got[i] == want || ++failures > 3) return;
                             ADD_FAILURE() << kernel.name() << ": output " << i << " (filter " << o
                                           << ") is " << int{got[i]} << ", not " << want;
                           });
  } else {
    std::vector<float> got(outputs + 1, 77.0f);
    kernel.Run(c.input_f32.data(), got.data(), pool);
    EXPECT_EQ(got[outputs], 77.0f) << "wrote behind the output";
    ForEachOutput<double>(c, c.filters.values_f32, c.input_f32, 0.0,
                          [&](size_t i, int o, double sum, double magnitude) {
                            double bias = c.output.bias_f32.empty() ? 0 : c.output.bias_f32[o];
                            const double want = std::min<double>(
                                std::max<double>(sum + bias, c.output.clamp_min_f32),
                                c.output.clamp_max_f32);
                            const double scale = std::max(1.0, magnitude + std::fabs(bias));
                            if (std::fabs(got[i] - want) <= 1e-5 * scale || ++failures > 3) return;
                            ADD_FAILURE() << kernel.name() << ": output " << i << " (filter " << o
                                          << ") is " << got[i] << ", not " << want;
                          });
  }
}

inline ConvShape MakeShape(int batch, int in_h, int in_w, int in_c, int out_c, int kernel_h,
                           int kernel_w, int stride_h, int stride_w, int dilation_h, int dilation_w,
                           bool same) {
  ConvShape s;
  s.batch = batch;
  s.in_h = in_h;
  s.in_w = in_w;
  s.in_c = in_c;
  s.out_c = out_c;
  s.kernel_h = kernel_h;
  s.kernel_w = kernel_w;
  s.stride_h = stride_h;
  s.stride_w = stride_w;
  s.dilation_h = dilation_h;
  s.dilation_w = dilation_w;
  const auto pad = [&](int in, int kernel, int stride, int dilation, int* out) {
    const int window = dilation * (kernel - 1) + 1;
    if (!same) {
      *out = (in - window) / stride + 1;
      return 0;
    }
    *out = (in + stride - 1) / stride;
    return std::max(0, (*out - 1) * stride + window - in) / 2;
  };
  s.pad_top = pad(in_h, kernel_h, stride_h, dilation_h, &s.out_h);
  s.pad_left = pad(in_w, kernel_w, stride_w, dilation_w, &s.out_w);
  return s;
}

inline CaseOptions RandomOptions(std::mt19937& random) {
  const auto pick = [&](std::initializer_list<int> values) {
    return values.begin()[random() % values.size()];
  };
  CaseOptions o;
  o.int8 = random() % 2 == 0;
  const int kernel_h = pick({1, 1, 2, 3, 3, 3, 5}), kernel_w = pick({1, 2, 3, 3, 3, 5, 7});
  const int dilation_h = pick({1, 1, 1, 2, 3}), dilation_w = pick({1, 1, 1, 2, 4});
  const bool same = random() % 2 == 0;
  const int min_h = same ? 1 : dilation_h * (kernel_h - 1) + 1;
  const int min_w = same ? 1 : dilation_w * (kernel_w - 1) + 1;
  o.regions = pick({1, 1, 1, 2, 3});
  const int in_c = o.regions * pick({1, 2, 3, 5, 8, 13, 16, 20, 33});
  o.shape = MakeShape(pick({1, 1, 2, 3, 5}), min_h + static_cast<int>(random() % 12),
                      min_w + static_cast<int>(random() % 40), in_c,
                      pick({1, 3, 4, 8, 15, 16, 17, 33}), kernel_h, kernel_w, pick({1, 1, 2, 3}),
                      pick({1, 1, 2, 3}), dilation_h, dilation_w, same);
  o.kind = random() % 3 == 0 ? WeightKind::kTernary : WeightKind::kTwoValued;
  o.background = random() % 2 == 0;
  o.real_multiplier = random() % 4 == 0;
  if (random() % 2 == 0) o.input_bits = pick({1, 2, 3, 4, 4, 5, 6});
  o.density = pick({2, 10, 36, 50, 100}) / 100.0;
  if (random() % 3 == 0) {
    o.pattern_m = pick({7, 8, 10});
    o.pattern_n = pick({2, 3});
  }
  return o;
}

inline std::string Describe(const CaseOptions& o) {
  const ConvShape& s = o.shape;
  const auto x = [](int a, int b) { return std::to_string(a) + "x" + std::to_string(b); };
  return std::string(o.int8 ? "int8 " : "float ") + std::to_string(s.batch) + "x" +
         x(s.in_h, s.in_w) + "x" + x(s.in_c, s.out_c) + " k" + x(s.kernel_h, s.kernel_w) + " s" +
         x(s.stride_h, s.stride_w) + " d" + x(s.dilation_h, s.dilation_w) + " pad" +
         x(s.pad_top, s.pad_left) + " out" + x(s.out_h, s.out_w) + " regions " +
         std::to_string(o.regions) + (o.kind == WeightKind::kTernary ? " ternary" : "") + " " +
         std::to_string(o.input_bits) + " bits" + (o.background ? " background" : "") +
         " density " + std::to_string(o.density);
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TESTS_TABLE_CASE_H_

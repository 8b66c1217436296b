// Whole convolutions through the engine, one thread: every kernel family on the layers of
// ResNet-18.
//   cmake -S delegate -B build/bench -G Ninja -DTF_SIGNBIN_BUILD_BENCH=ON
//   ninja -C build/bench conv_bench && build/bench/bench/conv_bench --benchmark_filter=permute
//
// Counters: GMAC (dense multiply-adds of the layer a second, in 1e9) and, for register-permute,
// `of_limit`: the share of one permutation each half cycle that the lookups alone reach, for the
// clock given in the environment variable TF_SIGNBIN_GHZ.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "engine/conv.h"
#include "engine/families.h"

namespace tf_signbin {
namespace {

struct Size {
  int image, in_c, out_c, kernel;
};
constexpr Size kSizes[] = {{56, 64, 64, 3}, {28, 128, 128, 3}, {14, 256, 256, 3}, {7, 512, 512, 3}};

struct Weights {
  const char* name;
  double density;
  int pattern_n, pattern_m;
};
constexpr Weights kWeights[] = {
    {"0.36", 0.36, 0, 0}, {"0.1", 0.1, 0, 0}, {"3:7", 0.36, 3, 7}, {"2:10", 0.36, 2, 10}};

PackedFilters RandomFilters(const Size& size, const Weights& weights, bool int8) {
  PackedFilters f;
  f.out_c = size.out_c;
  f.in_c = size.in_c;
  f.kernel_h = f.kernel_w = size.kernel;
  f.masks.assign(f.out_c * f.mask_row_bytes(), 0);
  std::mt19937 rng(1);
  for (int o = 0; o < f.out_c; ++o) {
    for (int tap = 0; tap < f.kernel_h * f.kernel_w; ++tap) {
      for (int c = 0, kept = 0; c < f.in_c; ++c) {
        if (weights.pattern_m != 0 && c % weights.pattern_m == 0) kept = 0;
        if (rng() % 1000 >= weights.density * 1000) continue;
        if (weights.pattern_m != 0 && ++kept > weights.pattern_n) continue;
        const size_t k = static_cast<size_t>(tap) * f.in_c + c;
        f.masks[o * f.mask_row_bytes() + k / 8] |= static_cast<uint8_t>(1 << k % 8);
      }
    }
    const int sign = o < f.out_c / 2 ? 1 : -1;
    if (int8) {
      f.values_i8.insert(f.values_i8.end(), {0, static_cast<int8_t>(127 * sign)});
    } else {
      f.values_f32.insert(f.values_f32.end(), {0.0f, 0.03f * static_cast<float>(sign)});
    }
  }
  return f;
}

OutputStage MakeOutput(int filters, bool int8) {
  OutputStage out;
  if (int8) {
    out.multiplier.assign(filters, 1 << 30);
    out.shift.assign(filters, -13);
    out.input_zero_point = -5;
  } else {
    out.clamp_min_f32 = -1e30f;
    out.clamp_max_f32 = 1e30f;
  }
  return out;
}

void RunConv(benchmark::State& state, const std::string& family, const Size& size,
             const Weights& weights, bool int8) {
  PlanOptions options;
  options.family = family;
  Status status;
  auto conv = Conv2D::Create(int8 ? DataType::kInt8 : DataType::kFloat32,
                             RandomFilters(size, weights, int8), MakeOutput(size.out_c, int8),
                             options, &status);
  ConvShape s;
  s.in_h = s.in_w = s.out_h = s.out_w = size.image;
  s.in_c = size.in_c;
  s.out_c = size.out_c;
  s.kernel_h = s.kernel_w = size.kernel;
  s.pad_top = s.pad_left = size.kernel / 2;
  if (conv != nullptr) status = conv->Resize(s, 1);
  if (!status.ok()) {
    state.SkipWithError(status.message().c_str());
    return;
  }
  const size_t element = int8 ? 1 : 4;
  std::vector<char> input(static_cast<size_t>(size.image) * size.image * size.in_c * element);
  std::vector<char> output(static_cast<size_t>(size.image) * size.image * size.out_c * element);
  if (int8) {
    std::mt19937 rng(2);
    for (char& x : input) x = static_cast<char>(rng());
  }
  ThreadPool pool(1);
  for (auto _ : state) {
    benchmark::DoNotOptimize(conv->Run(input.data(), output.data(), pool).ok());
  }
  const double macs = static_cast<double>(size.image) * size.image * size.in_c * size.out_c *
                      size.kernel * size.kernel;
  const double iterations = static_cast<double>(state.iterations());
  state.counters["GMAC"] =
      benchmark::Counter(macs * 1e-9 * iterations, benchmark::Counter::kIsRate);
  const char* ghz = std::getenv("TF_SIGNBIN_GHZ");
  if (family == "permute" && ghz != nullptr) {
    // prepared_weight_bytes counts one byte for each lane of each lookup of a pixel; two with byte
    // permutations, on cores that do one a cycle.
    const double lanes = int8 ? 32 : 16;
    const double lookups = static_cast<double>(size.image) * size.image *
                           static_cast<double>(conv->kernel()->prepared_weight_bytes()) / lanes;
    state.counters["of_limit"] = benchmark::Counter(lookups / (2e9 * std::atof(ghz)) * iterations,
                                                    benchmark::Counter::kIsRate);
  }
  state.SetLabel(conv->kernel()->name());
}

void RegisterAll() {
  for (const KernelFamily* registered : KernelFamilies()) {
    const std::string family = registered->name;
    for (const bool int8 : {true, false}) {
      for (const Weights& weights : kWeights) {
        for (const Size& size : kSizes) {
          const std::string name = family + (int8 ? "/int8/" : "/float32/") + weights.name + "/" +
                                   std::to_string(size.image) + "x" + std::to_string(size.in_c);
          benchmark::RegisterBenchmark(name.c_str(), RunConv, family, size, weights, int8);
        }
      }
    }
  }
}

}  // namespace
}  // namespace tf_signbin

int main(int argc, char** argv) {
  tf_signbin::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

// The convolution straight from its definition (docs/format.md): the yardstick of the other
// families and the kernel of last resort. Filters are spread over threads; one at a time is
// unpacked.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "engine/families.h"
#include "engine/kernels/output/tflite_rules.h"
#include "engine/unpack.h"

namespace tf_signbin {
namespace {

// Sum over the window of weight * (input - zero_point); pixels outside the input count as
// zero_point.
template <typename Accumulator, typename T>
Accumulator Dot(const ConvShape& s, const T* image, const T* weights, int out_y, int out_x,
                Accumulator zero_point) {
  Accumulator sum = 0;
  for (int dy = 0; dy < s.kernel_h; ++dy) {
    const int y = out_y * s.stride_h - s.pad_top + dy * s.dilation_h;
    if (y < 0 || y >= s.in_h) continue;
    for (int dx = 0; dx < s.kernel_w; ++dx) {
      const int x = out_x * s.stride_w - s.pad_left + dx * s.dilation_w;
      if (x < 0 || x >= s.in_w) continue;
      const T* pixel = image + (static_cast<size_t>(y) * s.in_w + x) * s.in_c;
      const T* tap = weights + (static_cast<size_t>(dy) * s.kernel_w + dx) * s.in_c;
      for (int channel = 0; channel < s.in_c; ++channel) {
        sum += static_cast<Accumulator>(tap[channel]) *
               (static_cast<Accumulator>(pixel[channel]) - zero_point);
      }
    }
  }
  return sum;
}

template <typename T>
class ReferenceKernel final : public ConvKernel {
 public:
  ReferenceKernel(const ConvProblem& problem, bool profile, int threads)
      : shape_(problem.shape),
        filters_(*problem.filters),
        output_(*problem.output),
        profile_(profile),
        weights_(threads) {
    for (auto& weights : weights_) weights.resize(filters_.weights_per_filter());
  }

  void Run(const void* input, void* output, ThreadPool& pool) override {
    const auto start = std::chrono::steady_clock::now();
    pool.ParallelFor(shape_.out_c, [&](int filter, int thread) {
      RunFilter(filter, static_cast<const T*>(input), static_cast<T*>(output),
                weights_[thread].data());
    });
    if (profile_) {
      const std::chrono::duration<double, std::nano> wall =
          std::chrono::steady_clock::now() - start;
      times_.lookup_ns = wall.count();
    }
  }

  std::string name() const override {
    return std::is_same<T, float>::value ? "reference_f32" : "reference_i8";
  }
  size_t prepared_weight_bytes() const override { return 0; }  // reads the model's own masks
  size_t workspace_bytes(int threads) const override {
    return threads * filters_.weights_per_filter() * sizeof(T);
  }
  StageTimes stage_times() const override { return times_; }

 private:
  void RunFilter(int filter, const float* input, float* output, float* weights) const {
    UnpackFilter(filters_, filters_.values_f32, filter, weights);
    const double bias = output_.bias_f32.empty() ? 0 : output_.bias_f32[filter];
    ForEachPixel(filter, input, output, [&](const float* image, int y, int x) {
      const float sum = static_cast<float>(Dot<double>(shape_, image, weights, y, x, 0.0) + bias);
      return std::min(std::max(sum, output_.clamp_min_f32), output_.clamp_max_f32);
    });
  }

  void RunFilter(int filter, const int8_t* input, int8_t* output, int8_t* weights) const {
    UnpackFilter(filters_, filters_.values_i8, filter, weights);
    const int32_t bias = output_.bias_i32.empty() ? 0 : output_.bias_i32[filter];
    ForEachPixel(filter, input, output, [&](const int8_t* image, int y, int x) {
      const int32_t sum =
          Dot<int32_t>(shape_, image, weights, y, x, output_.input_zero_point) + bias;
      const int32_t scaled = output_.real_multiplier.empty()
                                 ? MultiplyByQuantizedMultiplier(sum, output_.multiplier[filter],
                                                                 output_.shift[filter])
                                 : MultiplyByRealMultiplier(sum, output_.real_multiplier[filter]);
      return static_cast<int8_t>(
          std::min(std::max(AddZeroPoint(scaled, output_.output_zero_point), output_.clamp_min_i8),
                   output_.clamp_max_i8));
    });
  }

  template <typename Compute>
  void ForEachPixel(int filter, const T* input, T* output, const Compute& compute) const {
    T* out = output + filter;
    for (int batch = 0; batch < shape_.batch; ++batch) {
      const T* image = input + static_cast<size_t>(batch) * shape_.in_h * shape_.in_w * shape_.in_c;
      for (int y = 0; y < shape_.out_h; ++y) {
        for (int x = 0; x < shape_.out_w; ++x, out += shape_.out_c) *out = compute(image, y, x);
      }
    }
  }

  const ConvShape shape_;
  const PackedFilters& filters_;
  const OutputStage& output_;
  const bool profile_;
  std::vector<std::vector<T>> weights_;  // one filter a thread
  StageTimes times_;
};

std::vector<Offer> Offers(const ConvProblem& problem, const OfferRequest& request) {
  const ConvShape& s = problem.shape;
  // About one multiply-accumulate a nanosecond: never the planner's choice where another kernel
  // runs.
  const double cost_ns =
      1.0 * s.batch * s.out_h * s.out_w * s.out_c * s.kernel_h * s.kernel_w * s.in_c;
  const auto make = [problem](int threads, bool profile) -> std::unique_ptr<ConvKernel> {
    if (problem.type == DataType::kFloat32) {
      return std::make_unique<ReferenceKernel<float>>(problem, profile, threads);
    }
    return std::make_unique<ReferenceKernel<int8_t>>(problem, profile, threads);
  };
  std::vector<Offer> offers;
  for (const Isa isa : request.isas) offers.push_back({isa, cost_ns, make});
  return offers;
}

}  // namespace

const KernelFamily kReferenceFamily = {"reference", /*has_groups=*/false, Offers};

}  // namespace tf_signbin

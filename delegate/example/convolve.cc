// Runs one signed-binary 3x3 convolution with the engine alone and checks it against the
// definition.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>
#include <vector>

#include "engine/conv.h"

namespace {

constexpr int kSize = 8, kChannels = 16, kFilters = 4, kWindow = 3;

// Half of the filters have weights 0 and +0.5, the others 0 and -0.5; every third weight is not 0.
tf_signbin::PackedFilters Filters() {
  tf_signbin::PackedFilters filters;
  filters.kind = tf_signbin::WeightKind::kTwoValued;
  filters.out_c = kFilters;
  filters.kernel_h = filters.kernel_w = kWindow;
  filters.in_c = kChannels;
  filters.masks.assign(kFilters * filters.mask_row_bytes(), 0);
  for (int filter = 0; filter < kFilters; ++filter) {
    for (size_t weight = filter % 3; weight < filters.weights_per_filter(); weight += 3) {
      filters.masks[filter * filters.mask_row_bytes() + weight / 8] |= 1 << (weight % 8);
    }
    filters.values_f32.push_back(0);
    filters.values_f32.push_back(filter < kFilters / 2 ? 0.5f : -0.5f);
  }
  return filters;
}

// One output by the definition; the layer has no padding.
double Expected(const tf_signbin::PackedFilters& filters, const std::vector<float>& input, int y,
                int x, int filter) {
  double sum = 0;
  size_t weight = 0;
  for (int ky = 0; ky < kWindow; ++ky) {
    for (int kx = 0; kx < kWindow; ++kx) {
      for (int c = 0; c < kChannels; ++c, ++weight) {
        sum += filters.values_f32[2 * filter + filters.bit(0, filter, weight)] *
               input[((y + ky) * kSize + x + kx) * kChannels + c];
      }
    }
  }
  return sum;
}

}  // namespace

int main() {
  const tf_signbin::PackedFilters filters = Filters();
  tf_signbin::OutputStage output_stage;
  output_stage.clamp_min_f32 = -std::numeric_limits<float>::infinity();
  output_stage.clamp_max_f32 = std::numeric_limits<float>::infinity();
  tf_signbin::Status status;
  auto conv = tf_signbin::Conv2D::Create(tf_signbin::DataType::kFloat32, filters,
                                         std::move(output_stage), {}, &status);
  if (conv == nullptr) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  constexpr int kOut = kSize - kWindow + 1;
  tf_signbin::ConvShape shape;
  shape.in_h = shape.in_w = kSize;
  shape.in_c = kChannels;
  shape.kernel_h = shape.kernel_w = kWindow;
  shape.out_h = shape.out_w = kOut;
  shape.out_c = kFilters;
  tf_signbin::ThreadPool pool(2);
  std::vector<float> input(kSize * kSize * kChannels), output(kOut * kOut * kFilters);
  for (size_t i = 0; i < input.size(); ++i) input[i] = std::sin(static_cast<float>(i));
  status = conv->Resize(shape, pool.threads());
  if (status.ok()) status = conv->Run(input.data(), output.data(), pool);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  double error = 0;
  for (size_t i = 0; i < output.size(); ++i) {
    const int filter = static_cast<int>(i % kFilters), x = static_cast<int>(i / kFilters % kOut),
              y = static_cast<int>(i / kFilters / kOut);
    error = std::max(error, std::abs(output[i] - Expected(filters, input, y, x, filter)));
  }
  std::printf("%zu outputs, largest error %.1e\n", output.size(), error);
  return error < 1e-4 ? 0 : 1;
}

#include "engine/kernels/table/filter_values.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <type_traits>
#include <utility>

#include "engine/kernels/output/folding.h"
#include "engine/kernels/output/pixel_lanes.h"

namespace tf_signbin {
namespace table {
namespace {

// Sums wrap at 32 bits, as TensorFlow Lite's do.
int32_t WrapMul(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b));
}
int32_t WrapAdd(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}

// Output pixels from which finding ArgsI8::floats, microseconds a filter, has soon paid.
constexpr int kLeastPixels = 196;

const std::vector<int8_t>& ValuesOf(const PackedFilters& filters, int32_t) {
  return filters.values_i8;
}
const std::vector<float>& ValuesOf(const PackedFilters& filters, float) {
  return filters.values_f32;
}

// The rest of filter `f`'s OutputParams, scale and background aside. `scale`: [regions].
void SetOutput(const OutputStage& stage, const std::vector<SumSegment>& segments, int f,
               const int32_t* scale, output::ParamsI8* p) {
  p->bias = stage.bias_i32.empty() ? 0 : stage.bias_i32[f];
  for (const SumSegment& segment : segments) {
    p->bias = WrapAdd(p->bias, WrapMul(scale[segment.region], segment.center[f]));
  }
  output::SetMultiplier(stage, f, p);
  p->center = static_cast<int16_t>(segments[0].center[f]);
}
void SetOutput(const OutputStage& stage, const std::vector<SumSegment>&, int f, const float*,
               output::ParamsF32* p) {
  p->bias = stage.bias_f32.empty() ? 0 : stage.bias_f32[f];
}

}  // namespace

template <typename Element>
FilterValues<Element>::FilterValues(const ConvProblem& problem,
                                    const std::vector<SumSegment>& segments, bool takes_floats)
    : regions(problem.filters->regions),
      has_totals(regions > 1 || segments.size() > 1),
      has_box(problem.filters->has_background()) {
  const PackedFilters& filters = *problem.filters;
  const OutputStage& stage = *problem.output;
  const auto& values = ValuesOf(filters, Sum());
  const bool ternary = filters.kind == WeightKind::kTernary;
  const size_t count = static_cast<size_t>(filters.out_c) * regions;
  std::vector<Sum> scale(count), background(count);
  for (size_t i = 0; i < count; ++i) {
    const Sum a = ternary ? Sum{0} : values[2 * i], b = ternary ? values[i] : values[2 * i + 1];
    scale[i] = b - a;
    background[i] = a;
  }
  params.resize(filters.out_c);
  for (int f = 0; f < filters.out_c; ++f) {
    OutputParams& p = params[f];
    const size_t first = static_cast<size_t>(f) * regions;
    // (int8: both fit 16 bits.)
    p.scale = static_cast<decltype(p.scale)>(regions == 1 ? scale[first] : 1);
    p.background = static_cast<decltype(p.background)>(regions == 1 ? background[first] : 0);
    SetOutput(stage, segments, f, &scale[first], &p);
  }
  if constexpr (std::is_same<Sum, int32_t>::value) {
    // Biases hold the centers too; the sums they are added to lie within 2^15 * |scale| of them.
    const int largest = std::max(-problem.least_input(), problem.most_input());
    fast_output = true;
    for (int f = 0; fast_output && f < filters.out_c; ++f) {
      fast_output = output::AllowsFast(stage, f, TotalsOf(filters, f).magnitude(), largest);
    }
  }
  const ConvShape& shape = problem.shape;
  if (takes_floats && fast_output && regions == 1 &&
      shape.batch * shape.out_h * shape.out_w >= kLeastPixels) {
    FindFloats(problem, segments);
  }
  if (regions > 1) {
    region_scale = std::move(scale);
    region_background = std::move(background);
  }
}

template <typename Element>
void FilterValues<Element>::FindFloats(const ConvProblem& problem,
                                       const std::vector<SumSegment>& segments) {
  if constexpr (std::is_same<Sum, int32_t>::value) {
    floats.resize(params.size());
    for (size_t i = 0; i < params.size(); ++i) {
      const int f = static_cast<int>(i);
      const output::ParamsI8& p = params[i];
      const FilterSums sums = output::SumsOf(TotalsOf(*problem.filters, f), 1, 0,
                                             problem.least_input(), problem.most_input());
      int64_t centers = 0;  // subtracted from the sums, and in the bias
      for (const SumSegment& segment : segments) centers += int64_t{p.scale} * segment.center[f];
      if (!output::FindFloatParams(*problem.output, f, p, !has_totals && !has_box,
                                   sums.least - centers, sums.most - centers, &floats[i])) {
        floats.clear();
        return;
      }
    }
  }
}

template struct FilterValues<int16_t>;
template struct FilterValues<uint8_t>;
template struct FilterValues<float>;

}  // namespace table
}  // namespace tf_signbin

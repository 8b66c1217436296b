#include "engine/kernels/output/filter_lanes.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/kernels/output/tflite_rules.h"

namespace tf_signbin {
namespace {

constexpr int64_t kExactFloats = 1 << 24;  // whole numbers up to here are float32 values
constexpr double kLargestFloat = 1 << 30;  // far from where floats are no int32
constexpr int kMaxWholeOffset = 1 << 14;   // far from where 16-bit outputs saturate
// The inner sum is rounded to 24 bits and stays below 2.
constexpr double kMargin = 1.0 / (1 << 22);

// The rule that the outputs must equal, without zero point and clamp.
class ExactRule {
 public:
  ExactRule(const OutputStage& output, int filter)
      : real_(!output.real_multiplier.empty()),
        multiplier_(real_ ? 0 : output.multiplier[filter]),
        shift_(real_ ? 0 : output.shift[filter]),
        scale_(real_ ? output.real_multiplier[filter] : std::ldexp(multiplier_, shift_ - 31)) {}

  double scale() const { return scale_; }
  bool wraps() const { return shift_ > 0; }
  int32_t operator()(int64_t x) const {
    const int32_t accumulator = static_cast<int32_t>(x);
    return real_ ? MultiplyByRealMultiplier(accumulator, scale_)
                 : MultiplyByQuantizedMultiplier(accumulator, multiplier_, shift_);
  }

 private:
  const bool real_;
  const int32_t multiplier_, shift_;
  const double scale_;
};

// Where an offset may lie so that each sum gets its output.
struct Interval {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();

  double Choose(double preferred) const {
    if (std::isinf(low) && std::isinf(high)) return preferred;
    if (std::isinf(low)) return std::min(preferred, high - 2 * kMargin);
    if (std::isinf(high)) return std::max(preferred, low + 2 * kMargin);
    return (low + high) / 2;
  }
  bool Contains(double offset) const { return offset - low >= kMargin && high - offset >= kMargin; }
};

}  // namespace

bool FindFloatRescale(const OutputStage& output, int filter, const FilterSums& sums,
                      FloatRescale* result) {
  const ExactRule rule(output, filter);
  // Neither sums nor accumulators may wrap.
  if (rule.wraps() || std::min(sums.least, sums.least * sums.d + sums.bias) < INT32_MIN ||
      std::max(sums.most, sums.most * sums.d + sums.bias) > INT32_MAX) {
    return false;
  }
  // Larger sums are rounded on their way to floats, and to the outputs of these where these lie a
  // step beyond the clamp: rounding does not change the order of sums.
  const int64_t least = std::max(sums.least, 1 - kExactFloats);
  const int64_t most = std::min(sums.most, kExactFloats - 1);
  const auto output_of = [&](int64_t sum) {
    return int64_t{rule(sums.d * sum + sums.bias)} + output.output_zero_point;
  };
  if (least > most || (least > sums.least && output_of(least) >= output.clamp_min_i8) ||
      (most < sums.most && output_of(most) <= output.clamp_max_i8)) {
    return false;
  }
  const double step = rule.scale() * sums.d, base = rule.scale() * static_cast<double>(sums.bias);
  const auto largest = static_cast<double>(std::max(-sums.least, sums.most));
  if (step * largest >= kLargestFloat) return false;
  result->scale = static_cast<float>(step);
  result->correction = static_cast<float>(step - static_cast<double>(result->scale));
  const double scale = static_cast<double>(result->scale) + result->correction;
  const int64_t split =
      -(sums.bias >= 0 ? sums.bias / sums.d : -((-sums.bias + sums.d - 1) / sums.d));
  // Sums below it: x < 0. Where signs do not matter, vector code uses one offset for all sums.
  const bool signs = output.clamp_min_i8 < output.output_zero_point;
  result->split =
      static_cast<int32_t>(signs ? std::min(std::max(split, sums.least), most + 1) : sums.least);

  Interval above, below;  // offsets for sums from `split` on, and for those below it
  for (int y = output.clamp_min_i8 + 1; y <= output.clamp_max_i8; ++y) {
    const int value = y - output.output_zero_point;
    // The smallest sum that gives at least y; most + 1 where none does.
    int64_t first = most + 1;
    if (step > 0) {
      const double estimate = std::ceil((value - 0.5 - base) / step);
      first = static_cast<int64_t>(
          std::min(std::max(estimate, static_cast<double>(least)), static_cast<double>(most + 1)));
      while (first > least && output_of(first - 1) >= y) --first;
      while (first <= most && output_of(first) < y) ++first;
    } else if (output_of(least) >= y) {
      first = least;
    }
    if (first <= most) {
      Interval& side = first >= result->split ? above : below;
      side.low = std::max(side.low, value - scale * static_cast<double>(first));
    }
    if (first > least) {
      Interval& side = first - 1 >= result->split ? above : below;
      side.high = std::min(side.high, value - scale * static_cast<double>(first - 1));
    }
  }
  const double offset = above.Choose(base + 0.5);
  const double whole = std::floor(offset);
  if (!(std::abs(whole) <= kMaxWholeOffset)) return false;
  result->offset = static_cast<float>(offset - whole);
  result->negative_offset = static_cast<float>(below.Choose(offset) - whole);
  result->addend = static_cast<int32_t>(whole) + output.output_zero_point;
  return std::abs(result->negative_offset) < 2 && above.Contains(result->offset + whole) &&
         below.Contains(result->negative_offset + whole);
}

Rescale::Rescale(const OutputStage& output, int padded, const std::vector<int>& lanes,
                 const std::vector<FilterSums>& sums)
    : signs_(output.clamp_min_i8 < output.output_zero_point), addend_(padded) {
  if (!sums.empty() && SetFloat(output, padded, lanes, sums)) return;
  for (int i = 0; i < padded; ++i) addend_[i] = static_cast<int16_t>(output.output_zero_point);
  if (output.real_multiplier.empty()) {
    SetFixedPoint(output, padded, lanes);
    return;
  }
  rule_ = RescaleView::Rule::kReal;
  real_multiplier_ = Aligned<double>(padded);
  for (size_t f = 0; f < lanes.size(); ++f) real_multiplier_[lanes[f]] = output.real_multiplier[f];
}

bool Rescale::SetFloat(const OutputStage& output, int padded, const std::vector<int>& lanes,
                       const std::vector<FilterSums>& sums) {
  Aligned<float> scale(padded), correction(padded), offset(padded), negative_offset(padded);
  Aligned<int32_t> split(padded);
  for (size_t f = 0; f < lanes.size(); ++f) {
    FloatRescale found;
    if (!FindFloatRescale(output, static_cast<int>(f), sums[f], &found)) return false;
    const int lane = lanes[f];
    scale[lane] = found.scale;
    correction[lane] = found.correction;
    offset[lane] = found.offset;
    negative_offset[lane] = found.negative_offset;
    split[lane] = found.split;
    addend_[f] = static_cast<int16_t>(found.addend);
  }
  rule_ = RescaleView::Rule::kFloat;
  scale_ = std::move(scale);
  correction_ = std::move(correction);
  offset_ = std::move(offset);
  negative_offset_ = std::move(negative_offset);
  split_ = std::move(split);
  return true;
}

void Rescale::SetFixedPoint(const OutputStage& output, int padded, const std::vector<int>& lanes) {
  multiplier_ = Aligned<int32_t>(padded);
  rounding64_ = Aligned<int64_t>(padded);
  high_shift_ = Aligned<int32_t>(padded);
  left_shift_ = Aligned<int32_t>(padded);
  right_shift_ = Aligned<int32_t>(padded);
  remainder_ = Aligned<int32_t>(padded);
  bool all_shift_right = true;
  for (size_t f = 0; f < lanes.size(); ++f) {
    const int lane = lanes[f], in_vector = lane % 16;
    const int32_t shift = output.shift[f];
    multiplier_[lane] = output.multiplier[f];
    left_shift_[lane] = std::max(shift, 0);
    right_shift_[lane] = std::max(-shift, 0);
    remainder_[lane] = static_cast<int32_t>((int64_t{1} << right_shift_[lane]) - 1);
    high_shift_[lane] = std::max(-shift - 1, 0);
    rounding64_[lane - in_vector + in_vector % 2 * 8 + in_vector / 2] =
        (int64_t{1} << 30) + (int64_t{1} << (30 + right_shift_[lane]));
    all_shift_right &= shift < 0;
  }
  rule_ = all_shift_right ? RescaleView::Rule::kRightShift : RescaleView::Rule::kFixedPoint;
}

RescaleView Rescale::view() const {
  RescaleView view;
  view.rule = rule_;
  view.signs = signs_;
  view.addend = addend_.get();
  view.scale = scale_.get();
  view.correction = correction_.get();
  view.offset = offset_.get();
  view.negative_offset = negative_offset_.get();
  view.split = split_.get();
  view.rounding64 = rounding64_.get();
  view.high_shift = high_shift_.get();
  view.multiplier = multiplier_.get();
  view.left_shift = left_shift_.get();
  view.right_shift = right_shift_.get();
  view.remainder = remainder_.get();
  view.real_multiplier = real_multiplier_.get();
  return view;
}

}  // namespace tf_signbin

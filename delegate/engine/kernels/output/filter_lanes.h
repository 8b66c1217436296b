// What kernels with filters in lanes need to turn accumulators into int8 outputs, one entry each.
//
// TFLite's rule for an accumulator x takes a 64-bit product and two roundings. Where a filter's
// accumulator is d * sum + bias with few enough different sums, the same outputs come from
//   floor(sum * scale + (sum * correction + offset)) + addend
// in float32: the exact rule never falls as the sum grows, so it is nothing but the smallest sum of
// each output value, and FloatRescale only exists once scale and offset have been proven to give
// all of these.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_LANES_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_LANES_H_

#include <cstdint>
#include <vector>

#include "engine/aligned.h"
#include "engine/kernels/output/filter_lanes_view.h"
#include "engine/types.h"

namespace tf_signbin {

// What a filter accumulates: d * sum + bias, d >= 1, sum in [least, most].
struct FilterSums {
  int32_t d = 1;
  int64_t bias = 0;
  int64_t least = 0, most = 0;
};

struct FloatRescale {
  float scale = 0, correction = 0;
  // Sums below `split` belong to negative accumulators, whose halves round the other way.
  float offset = 0, negative_offset = 0;
  int32_t split = 0;
  int32_t addend = 0;  // the output's zero point and the whole part of the offset
};

// Returns false where float32 cannot express the rule.
bool FindFloatRescale(const OutputStage& output, int filter, const FilterSums& sums,
                      FloatRescale* result);

// The parameters of a layer, padded to whole vectors.
class Rescale {
 public:
  // `lanes`: the lane of each filter's accumulator, below `padded`. `sums`: of each filter, or
  // empty where accumulators are no multiples of sums.
  Rescale(const OutputStage& output, int padded, const std::vector<int>& lanes,
          const std::vector<FilterSums>& sums);
  Rescale() = default;

  // True: the kernel hands over sums. False: accumulators.
  bool takes_sums() const { return rule_ == RescaleView::Rule::kFloat; }
  RescaleView view() const;

 private:
  bool SetFloat(const OutputStage& output, int padded, const std::vector<int>& lanes,
                const std::vector<FilterSums>& sums);
  void SetFixedPoint(const OutputStage& output, int padded, const std::vector<int>& lanes);

  RescaleView::Rule rule_ = RescaleView::Rule::kFixedPoint;
  bool signs_ = true;
  Aligned<int16_t> addend_;
  Aligned<float> scale_, correction_, offset_, negative_offset_;
  Aligned<int32_t> split_, high_shift_, multiplier_, left_shift_, right_shift_, remainder_;
  Aligned<int64_t> rounding64_;
  Aligned<double> real_multiplier_;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_FILTER_LANES_H_

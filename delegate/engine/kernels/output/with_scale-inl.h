// The choice of a layer's rule among the classes that the including file has defined in this
// namespace, for its instruction set: FloatScale and RightShiftScale, templates of bool kSigns,
// FixedPointScale and RealScale. Where its kTakesSums is false, FloatScale is only declared.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_WITH_SCALE_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_WITH_SCALE_INL_H_

#include "engine/kernels/output/filter_lanes_view.h"

namespace tf_signbin {
namespace {

// Calls `flush` with an object that makes the layer's rule:
//   WithScale(r, [&](auto make) { ... const auto scale = make(r, lane); ... });
template <typename T>
struct Make {
  using Scale = T;
  T operator()(const RescaleView& r, int lane) const { return T(r, lane); }
};
template <typename Flush>
void WithScale(const RescaleView& r, const Flush& flush) {
  switch (r.rule) {
    case RescaleView::Rule::kFloat:
      if constexpr (kTakesSums) {
        r.signs ? flush(Make<FloatScale<true>>()) : flush(Make<FloatScale<false>>());
      }
      return;
    case RescaleView::Rule::kRightShift:
      return r.signs ? flush(Make<RightShiftScale<true>>()) : flush(Make<RightShiftScale<false>>());
    case RescaleView::Rule::kFixedPoint:
      return flush(Make<FixedPointScale>());
    case RescaleView::Rule::kReal:
      return flush(Make<RealScale>());
  }
}

}  // namespace
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_WITH_SCALE_INL_H_

// Sums beside the look-up: of accumulators that are emptied into totals, and of all channels in a
// window (the box), which backgrounds are multiplied with.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_SUMS_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_SUMS_INL_H_

#include "engine/kernels/simd/split-inl.h"
#include "engine/kernels/simd/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_signbin {
namespace table {
namespace {

using namespace simd;

void Spill(const int16_t* HWY_RESTRICT acc16, int16_t center, int32_t scale, int32_t background,
           const int32_t* HWY_RESTRICT box, int lanes, bool accumulate,
           int32_t* HWY_RESTRICT acc32) {
  const hn::ScalableTag<int16_t> d16;
  const hn::ScalableTag<int32_t> d32;
  const auto c = hn::Set(d16, center);
  const auto a = hn::Set(d32, background);
  for (int lane = 0; lane < lanes; lane += kLanes16) {
    auto x = WidenMul(d32, hn::Sub(hn::Load(d16, acc16 + lane), c), scale);
    if (box != nullptr) {
      const auto b = SplitLoad(d32, box + lane);
      x.first = hn::Add(x.first, hn::Mul(a, b.first));
      x.second = hn::Add(x.second, hn::Mul(a, b.second));
    }
    if (accumulate) {
      const auto before = SplitLoad(d32, acc32 + lane);
      x.first = hn::Add(x.first, before.first);
      x.second = hn::Add(x.second, before.second);
    }
    SplitStore(d32, x, acc32 + lane);
  }
}

void Spill(const float* HWY_RESTRICT acc, float /*center*/, float scale, float background,
           const float* HWY_RESTRICT box, int lanes, bool accumulate, float* HWY_RESTRICT total) {
  const hn::ScalableTag<float> d;
  const auto s = hn::Set(d, scale);
  const auto a = hn::Set(d, background);
  for (int lane = 0; lane < lanes; lane += static_cast<int>(hn::MaxLanes(d))) {
    auto x = hn::Mul(s, hn::Load(d, acc + lane));
    if (box != nullptr) x = hn::MulAdd(a, hn::Load(d, box + lane), x);
    if (accumulate) x = hn::Add(x, hn::Load(d, total + lane));
    hn::Store(x, d, total + lane);
  }
}

// sum[lane] = (accumulate ? sum[lane] : 0) + x, kLanes16 of them.
HWY_INLINE void AddWidened(V<hn::ScalableTag<int16_t>> x, bool accumulate,
                           int32_t* HWY_RESTRICT sum) {
  const hn::ScalableTag<int32_t> d32;
  const hn::Rebind<int16_t, decltype(d32)> half;
  auto low = hn::PromoteTo(d32, hn::LowerHalf(half, x));
  auto high = hn::PromoteTo(d32, hn::UpperHalf(half, x));
  if (accumulate) {
    low = hn::Add(low, hn::Load(d32, sum));
    high = hn::Add(high, hn::Load(d32, sum + kLanes32));
  }
  hn::Store(low, d32, sum);
  hn::Store(high, d32, sum + kLanes32);
}

// (16 bits hold what the channels of a group add up to.)
void ChannelSum(const int16_t* HWY_RESTRICT planes, size_t stride, int channels, int lanes,
                bool accumulate, int32_t* HWY_RESTRICT sum) {
  const hn::ScalableTag<int16_t> d16;
  for (int lane = 0; lane < lanes; lane += kLanes16) {
    auto x = hn::Load(d16, planes + lane);
    for (int c = 1; c < channels; ++c) x = hn::Add(x, hn::Load(d16, planes + c * stride + lane));
    AddWidened(x, accumulate, sum + lane);
  }
}

[[maybe_unused]] void ChannelSum(const uint8_t* HWY_RESTRICT planes, size_t stride, int channels,
                                 int lanes, bool accumulate, int32_t* HWY_RESTRICT sum) {
  const hn::ScalableTag<int16_t> d16;
  const hn::Rebind<uint8_t, decltype(d16)> d8;
  for (int lane = 0; lane < lanes; lane += kLanes16) {
    auto x = hn::Zero(d16);
    for (int c = 0; c < channels; ++c) {
      x = hn::Add(x, hn::PromoteTo(d16, hn::Load(d8, planes + c * stride + lane)));
    }
    AddWidened(x, accumulate, sum + lane);
  }
}

void ChannelSum(const float* HWY_RESTRICT planes, size_t stride, int channels, int lanes,
                bool accumulate, float* HWY_RESTRICT sum) {
  const hn::ScalableTag<float> d;
  for (int lane = 0; lane < lanes; lane += static_cast<int>(hn::MaxLanes(d))) {
    auto x = accumulate ? hn::Load(d, sum + lane) : hn::Zero(d);
    for (int c = 0; c < channels; ++c) {
      x = hn::Add(x, hn::Load(d, planes + static_cast<size_t>(c) * stride + lane));
    }
    hn::Store(x, d, sum + lane);
  }
}

template <class D>
HWY_INLINE V<D> WindowSumOf(D d, const hn::TFromD<D>* HWY_RESTRICT sum,
                            const int* HWY_RESTRICT offsets, int taps, int lane) {
  auto x = hn::Zero(d);
  for (int tap = 0; tap < taps; ++tap) x = hn::Add(x, hn::LoadU(d, sum + offsets[tap] + lane));
  return x;
}

void WindowSum(const int32_t* sum, const int* offsets, int taps, int lanes, int32_t* box) {
  const hn::ScalableTag<int32_t> d;
  for (int lane = 0; lane < lanes; lane += kLanes16) {
    SplitStore(d,
               ToSplit(d, WindowSumOf(d, sum, offsets, taps, lane),
                       WindowSumOf(d, sum, offsets, taps, lane + kLanes32)),
               box + lane);
  }
}
void WindowSum(const float* sum, const int* offsets, int taps, int lanes, float* box) {
  const hn::ScalableTag<float> d;
  for (int lane = 0; lane < lanes; lane += kLanes32) {
    hn::Store(WindowSumOf(d, sum, offsets, taps, lane), d, box + lane);
  }
}

}  // namespace
}  // namespace table
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_SUMS_INL_H_

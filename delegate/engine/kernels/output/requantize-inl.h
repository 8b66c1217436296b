// Requantization in Google Highway's vectors. See requantize_ops.h.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_REQUANTIZE_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_REQUANTIZE_INL_H_

#include "engine/kernels/output/requantize_ops.h"
#include "engine/kernels/simd/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_signbin {
namespace output {
namespace {

using namespace simd;

// Even and odd bytes are worked on apart, as 16-bit lanes.
void Requantize(const RequantizeParams& params, const int8_t* in, size_t count, int8_t* out) {
  const hn::ScalableTag<int8_t> d8;
  const hn::Repartition<int16_t, decltype(d8)> d16;
  const hn::Repartition<uint16_t, decltype(d8)> du16;
  const auto sign = hn::Set(d8, -128);
  const auto low_byte = hn::Set(du16, 0xff), high_byte = hn::Set(du16, 0xff00);
  const auto multiplier = hn::Set(d16, params.multiplier), addend = hn::Set(d16, params.addend);
  const auto least = hn::Set(d16, params.least), most = hn::Set(d16, params.most);
  const auto outputs = [&](V<decltype(du16)> shifted) {  // of (x + 128) << 7
    const auto scaled = hn::MulFixedPoint15(hn::BitCast(d16, shifted), multiplier);
    const auto y = hn::ShiftRightSame(hn::Add(scaled, addend), params.shift);
    return hn::BitCast(du16, hn::Min(hn::Max(y, least), most));
  };
  const auto map = [&](V<decltype(d8)> x) {
    const auto u = hn::BitCast(du16, hn::Xor(x, sign));
    const auto even = outputs(hn::ShiftLeft<7>(hn::And(u, low_byte)));
    const auto odd = outputs(hn::ShiftRight<1>(hn::And(u, high_byte)));
    return hn::BitCast(d8, hn::Or(hn::And(even, low_byte), hn::ShiftLeft<8>(odd)));
  };
  constexpr size_t kLanes = HWY_MAX_BYTES;
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::StoreU(map(hn::LoadU(d8, in + i)), d8, out + i);
  if (i == count) return;
  HWY_ALIGN int8_t rest[kLanes] = {};
  __builtin_memcpy(rest, in + i, count - i);
  hn::Store(map(hn::Load(d8, rest)), d8, rest);
  __builtin_memcpy(out + i, rest, count - i);
}

}  // namespace
}  // namespace output
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_REQUANTIZE_INL_H_

// Accumulators to outputs, pixels in lanes: the vector code of pixel_lanes_ops.h. Included by files
// of one instruction set each.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_PIXEL_LANES_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_PIXEL_LANES_INL_H_

#include "engine/kernels/output/pixel_lanes_ops.h"
#if defined(__AVX2__)
#include "engine/kernels/output/round_down_avx2-inl.h"
#endif
#include "engine/kernels/simd/split-inl.h"
#include "engine/kernels/simd/transpose-inl.h"
#include "engine/kernels/simd/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_signbin {
namespace output {
namespace {

using namespace simd;

// round(a * multiplier / 2^31), halves up: gemmlowp's SaturatingRoundingDoublingHighMul for a
// multiplier that is not INT32_MIN.
template <class D32>
HWY_INLINE V<D32> RoundingDoublingHighMul(D32 d32, V<D32> a, V<D32> multiplier) {
#if HWY_TARGET == HWY_NEON
  (void)d32;
  return V<D32>(vqrdmulhq_s32(a.raw, multiplier.raw));
#else
  const hn::Repartition<int64_t, D32> d64;
  const hn::Repartition<uint64_t, D32> du64;
  const auto half = hn::Set(d64, int64_t{1} << 30);
  const auto a_odd = hn::BitCast(d32, hn::ShiftRight<32>(hn::BitCast(du64, a)));
  const auto even = hn::Add(hn::MulEven(a, multiplier), half);
  const auto odd = hn::Add(hn::MulEven(a_odd, multiplier), half);
  const auto even32 = hn::BitCast(d32, hn::ShiftRight<31>(hn::BitCast(du64, even)));
  const auto odd32 = hn::BitCast(d32, hn::Add(odd, odd));
  return hn::OddEven(odd32, even32);
#endif
}

// round(x / 2^shift), halves away from zero: gemmlowp's RoundingDivideByPOT.
template <class D32>
HWY_INLINE V<D32> RoundingShiftRight(D32 d32, V<D32> x, int shift, V<D32> mask, V<D32> threshold) {
  const auto remainder = hn::And(x, mask);
  const auto negative = hn::BroadcastSignBit(x);  // -1 where x < 0
  const auto up = hn::VecFromMask(d32, hn::Gt(remainder, hn::Sub(threshold, negative)));
  return hn::Sub(hn::ShiftRightSame(x, shift), up);
}

// round(x * multiplier), halves away from zero. Adding the number just below 0.5 before truncating
// rounds every double below 2^52 right.
template <class D32>
HWY_INLINE V<D32> MultiplyByReal(D32 d32, V<D32> x, double multiplier) {
  constexpr double kBelowHalf = 0.49999999999999994;
  HWY_ALIGN int32_t lanes[hn::MaxLanes(d32)];
  hn::Store(x, d32, lanes);
  for (int32_t& lane : lanes) {
    const double y = lane * multiplier;
    lane = static_cast<int32_t>(y + (y < 0 ? -kBelowHalf : kBelowHalf));
  }
  return hn::Load(d32, lanes);
}

// The reference rule step by step, clamped to int8.
template <class D32>
HWY_INLINE V<D32> RequantizeSlow(D32 d32, V<D32> x, const ArgsI8& args, int filter) {
  const ParamsI8& p = args.params[filter];
  const int32_t mask = static_cast<int32_t>((int64_t{1} << p.right_shift) - 1);
  x = hn::Add(x, hn::Set(d32, p.bias));
  if (args.real_multipliers != nullptr) {
    x = MultiplyByReal(d32, x, args.real_multipliers[filter]);
  } else {
    x = hn::ShiftLeftSame(x, p.left_shift);
    x = RoundingDoublingHighMul(d32, x, hn::Set(d32, p.multiplier));
    x = RoundingShiftRight(d32, x, p.right_shift, hn::Set(d32, mask), hn::Set(d32, mask >> 1));
  }
  x = hn::Add(x, hn::Set(d32, args.zero_point));
  return hn::Min(hn::Max(x, hn::Set(d32, -128)), hn::Set(d32, 127));
}

// The constants of one filter in registers, and its rule on sums in split order, giving int16 lanes
// in order: the slow one follows the reference step by step and is clamped to int8; the fast ones
// want ArgsI8::fast and, without `kExactNegative`, that no result below the zero point
// survives.
struct SlowRule {
  const ArgsI8& args;
  int filter;
  int32_t factor;  // of sums

  HWY_INLINE SlowRule(const ArgsI8& a, int f) : args(a), filter(f), factor(a.params[f].scale) {}

  HWY_INLINE auto operator()(Split x) const {
    const I32 d32;
    x.first = RequantizeSlow(d32, x.first, args, filter);
    x.second = RequantizeSlow(d32, x.second, args, filter);
    return Join(d32, x);
  }
};

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3

// (4) of tflite_rules.h with the zero point in the sum, as in (6). `offset` is all that is added to
// x * multiplier: bias, roundings and zero point. `second` is its part that belongs to the second
// rounding: without it the sum is p + 2^30, which is negative where h is.
template <bool kExactNegative>
struct FastRule {
  using U64 = hn::Repartition<uint64_t, I32>;
  using I64 = hn::Repartition<int64_t, I32>;
  V<I32> multiplier;
  V<I64> offset, second;
  V<U64> down0, down16, down32, up48;
  int32_t factor;

  HWY_INLINE FastRule(const ArgsI8& args, int filter) {
    const ParamsI8& p = args.params[filter];
    factor = p.scale;
    const int64_t rounding = (int64_t{1} << (30 + p.right_shift)) +
                             args.zero_point * (int64_t{1} << (31 + p.right_shift));
    multiplier = hn::Set(I32(), p.multiplier);
    offset = hn::Set(I64(), int64_t{p.bias} * p.multiplier + (int64_t{1} << 30) + rounding);
    second = hn::Set(I64(), rounding);
    down0 = hn::Set(U64(), static_cast<uint64_t>(31 + p.right_shift));
    down16 = hn::Set(U64(), static_cast<uint64_t>(15 + p.right_shift));
    down32 = hn::Set(U64(), static_cast<uint64_t>(p.right_shift - 1));
    up48 = hn::Set(U64(), static_cast<uint64_t>(17 - p.right_shift));
  }

  HWY_INLINE V<U64> Scale(V<I32> x) const {
    const I64 d64;
    const U64 du64;
    auto t = hn::Add(hn::MulEven(x, multiplier), offset);
    if (kExactNegative) {
      const auto sign = hn::BitCast(du64, hn::Sub(t, second));
      t = hn::Sub(t, hn::BitCast(d64, hn::ShiftLeft<31>(hn::ShiftRight<63>(sign))));
    }
    return hn::BitCast(du64, t);
  }

  HWY_INLINE auto operator()(Split x) const {
    const I32 d32;
    const U64 du64;
    const hn::Repartition<int16_t, I32> d16;
    const auto upper = hn::BitCast(d32, hn::ShiftRight<32>(hn::BitCast(du64, x.first)));
    const auto upper2 = hn::BitCast(d32, hn::ShiftRight<32>(hn::BitCast(du64, x.second)));
    // Lane 4k of the int16 vector is in the lower half of 64-bit lane k of `first`, 4k+1 of
    // `second`, 4k+2 and 4k+3 in the upper halves. Shifted, each result is where its int16 lane is;
    // other bits are garbage.
    const auto r0 = hn::BitCast(d32, hn::Shr(Scale(x.first), down0));
    const auto r1 = hn::BitCast(d32, hn::Shr(Scale(x.second), down16));
    const auto r2 = hn::BitCast(d32, hn::Shr(Scale(upper), down32));
    const auto r3 = hn::BitCast(d32, hn::Shl(Scale(upper2), up48));
    return hn::OddEven(hn::BitCast(d16, hn::OddEven(r3, r1)),
                       hn::BitCast(d16, hn::OddEven(r2, r0)));
  }
};

#elif HWY_TARGET == HWY_NEON

template <bool kExactNegative>
struct FastRule {
  int32x4_t bias, multiplier, shift;
  int16x8_t zero_point;
  int32_t factor;

  HWY_INLINE FastRule(const ArgsI8& args, int filter)
      : bias(vdupq_n_s32(args.params[filter].bias)),
        multiplier(vdupq_n_s32(args.params[filter].multiplier)),
        shift(vdupq_n_s32(-args.params[filter].right_shift)),
        zero_point(vdupq_n_s16(static_cast<int16_t>(args.zero_point))),
        factor(args.params[filter].scale) {}

  HWY_INLINE int32x4_t Scale(int32x4_t x) const {
    x = vqrdmulhq_s32(vaddq_s32(x, bias), multiplier);
    // A rounding shift rounds halves up; below zero they must go down. (Products with a multiplier
    // below 2^31 do not reach the least number, which would wrap.)
    if (kExactNegative) x = vsraq_n_s32(x, x, 31);
    return vrshlq_s32(x, shift);
  }

  HWY_INLINE auto operator()(Split x) const {
    const int16x4_t low = vqmovn_s32(Scale(x.first.raw));
#if TF_SIGNBIN_A64
    const int16x8_t y = vqmovn_high_s32(low, Scale(x.second.raw));
#else
    const int16x8_t y = vcombine_s16(low, vqmovn_s32(Scale(x.second.raw)));
#endif
    return V<hn::ScalableTag<int16_t>>(vqaddq_s16(y, zero_point));
  }
};

#else

template <bool kExactNegative>
using FastRule = SlowRule;

#endif

#if HWY_TARGET == HWY_AVX2

// ArgsI8::floats, under RoundDown.
template <bool kExactNegative>
struct FloatRule {
  __m256 scale, correction, offset, negative_offset;
  __m256i split, addend;
  int32_t factor;

  HWY_INLINE FloatRule(const ArgsI8& args, int filter) {
    const FloatParamsI8& p = args.floats[filter];
    scale = _mm256_set1_ps(p.scale);
    correction = _mm256_set1_ps(p.correction);
    offset = _mm256_set1_ps(p.offset);
    negative_offset = _mm256_set1_ps(p.negative_offset);
    split = _mm256_set1_epi32(p.split);
    addend = _mm256_set1_epi16(p.addend);
    factor = p.factor;
  }

  HWY_INLINE V<I32> Scale(V<I32> sum) const {
    const __m256 x = _mm256_cvtepi32_ps(sum.raw);  // exact, or beyond the clamp (FloatRescale)
    __m256 c = offset;
    if (kExactNegative) {
      const __m256i below = _mm256_cmpgt_epi32(split, sum.raw);
      c = _mm256_blendv_ps(c, negative_offset, _mm256_castsi256_ps(below));
    }
    const __m256 y = _mm256_fmadd_ps(x, scale, _mm256_fmadd_ps(x, correction, c));
    return V<I32>{_mm256_cvtps_epi32(y)};
  }

  HWY_INLINE auto operator()(Split x) const {
    const auto y = Join(I32(), {Scale(x.first), Scale(x.second)});
    return decltype(y){_mm256_add_epi16(y.raw, addend)};
  }
};

#endif

// Two int16 vectors to one of bytes, saturated, in the order of PixelOf.
template <class D8, class V16>
HWY_INLINE V<D8> PackBytes(D8 d8, V16 low, V16 high) {
#if HWY_TARGET == HWY_AVX2
  (void)d8;
  return V<D8>{_mm256_packs_epi16(low.raw, high.raw)};
#elif HWY_TARGET == HWY_AVX3
  (void)d8;
  return V<D8>{_mm512_packs_epi16(low.raw, high.raw)};
#elif TF_SIGNBIN_A64
  (void)d8;
  return V<D8>(vqmovn_high_s16(vqmovn_s16(low.raw), high.raw));
#else
  const hn::Half<D8> d8h;
  return hn::Combine(d8, hn::DemoteTo(d8h, high), hn::DemoteTo(d8h, low));
#endif
}

// Where one filter's sums come from.
struct Sums {
  const int16_t* HWY_RESTRICT acc16;
  const int32_t* HWY_RESTRICT acc32;
  const int32_t* HWY_RESTRICT box;
  int32_t scale, background;
  int16_t center;

  // The sums of kLanes16 pixels from `lane` on, in split order.
  template <bool kSpilled, bool kBox>
  HWY_INLINE Split Load(int lane) const {
    const I32 d32;
    const hn::ScalableTag<int16_t> d16;
    Split x;
    if (kSpilled) {
      x = SplitLoad(d32, acc32 + lane);
    } else {
      x = WidenMul(d32, hn::Sub(hn::Load(d16, acc16 + lane), hn::Set(d16, center)), scale);
    }
    if (kBox) {
      const auto b = SplitLoad(d32, box + lane);
      const auto a = hn::Set(d32, background);
      x.first = hn::Add(x.first, hn::Mul(a, b.first));
      x.second = hn::Add(x.second, hn::Mul(a, b.second));
    }
    return x;
  }
};

// The bytes of 16 filters, pixels in the order of PixelOf, to the pixels from `lane` on.
HWY_INLINE void StorePixels(const ArgsI8& args, const int8_t* block, size_t stride, int lane,
                            int first, int count) {
  const hn::ScalableTag<int8_t> d8;
  const bool both = lane + kLanes16 < args.lanes;
  int8_t* const* pixels = args.pixels + lane;
  V<hn::ScalableTag<int8_t>> x[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) x[i] = hn::Load(d8, block + i * stride + lane);
  if (args.clamp_min > -128 || args.clamp_max < 127) {
    const auto low = hn::Set(d8, static_cast<int8_t>(args.clamp_min));
    const auto high = hn::Set(d8, static_cast<int8_t>(args.clamp_max));
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) x[i] = hn::Min(hn::Max(x[i], low), high);
  }
  Transpose16x16(d8, x);
  if (count == 16) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      if (!both && i >= 8) continue;
      int8_t* to[kBlocks];
#pragma GCC unroll 4
      for (int b = 0; b < kBlocks; ++b) {
        int8_t* pixel = pixels[PixelOf(b, i)];
        to[b] = pixel == nullptr ? nullptr : pixel + first;
      }
      StoreBlocks(d8, x[i], to);
    }
    return;
  }
  HWY_ALIGN int8_t row[16 * HWY_MAX_BYTES];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) hn::Store(x[i], d8, row + i * HWY_MAX_BYTES);
  for (int i = 0; i < (both ? 16 : 8); ++i) {
    for (int b = 0; b < kBlocks; ++b) {
      int8_t* to = pixels[PixelOf(b, i)];
      if (to == nullptr) continue;
      for (int f = 0; f < count; ++f) to[first + f] = row[i * HWY_MAX_BYTES + b * 16 + f];
    }
  }
}

// Filters whose outputs go to one pixel after the other: those of fewer would come to the same
// cache line again after all other pixels, whose lines are in few of the cache's sets where pixels
// lie a power of two apart.
constexpr int kLineBytes = 64;

template <class Rule, bool kSpilled, bool kBox>
HWY_INLINE void OutputI8Loop(const ArgsI8& args) {
  const hn::ScalableTag<int16_t> d16;
  const hn::ScalableTag<int8_t> d8;
  constexpr int kPixels = 2 * kLanes16;
  constexpr size_t kMostStride = (kMaxVectors + 2) * kLanes16;  // whole vectors of bytes
  const int lanes = args.lanes, filters = args.filters;
  const size_t stride = static_cast<size_t>((lanes + kPixels - 1) / kPixels) * kPixels;
  HWY_ALIGN int8_t block[kLineBytes * kMostStride];  // filters x pixels
  for (int first = 0; first < filters; first += kLineBytes) {
    const int count = HWY_MIN(filters - first, kLineBytes), padded = (count + 15) / 16 * 16;
    for (int i = 0; i < count; ++i) {
      const ParamsI8& p = args.params[first + i];
      const Rule rule(args, first + i);
      const size_t row = static_cast<size_t>(first + i) * lanes;
      const Sums sums{kSpilled ? nullptr : args.acc + row,
                      kSpilled ? args.total + row : nullptr,
                      args.box,
                      rule.factor,
                      p.background,
                      p.center};
      int8_t* HWY_RESTRICT to = block + i * stride;
      int lane = 0;
      for (; lane + kLanes16 < lanes; lane += kPixels) {
        const auto r0 = rule(sums.Load<kSpilled, kBox>(lane));
        const auto r1 = rule(sums.Load<kSpilled, kBox>(lane + kLanes16));
        hn::Store(PackBytes(d8, r0, r1), d8, to + lane);
      }
      if (lane < lanes) {
        const auto r0 = rule(sums.Load<kSpilled, kBox>(lane));
        hn::Store(PackBytes(d8, r0, hn::Zero(d16)), d8, to + lane);
      }
    }
    for (int i = count; i < padded; ++i) {  // rows that are transposed, but not stored
      for (int lane = 0; lane < lanes; lane += kPixels) {
        hn::Store(hn::Zero(d8), d8, block + i * stride + lane);
      }
    }
    for (int lane = 0; lane < lanes; lane += kPixels) {
      for (int i = 0; i < count; i += 16) {
        StorePixels(args, block + i * stride, stride, lane, first + i, HWY_MIN(count - i, 16));
      }
    }
  }
}

template <class Rule>
HWY_INLINE void OutputI8BySums(const ArgsI8& args) {
  if (args.total != nullptr) {
    if (args.box != nullptr) {
      OutputI8Loop<Rule, true, true>(args);
    } else {
      OutputI8Loop<Rule, true, false>(args);
    }
  } else if (args.box != nullptr) {
    OutputI8Loop<Rule, false, true>(args);
  } else {
    OutputI8Loop<Rule, false, false>(args);
  }
}

#if HWY_TARGET == HWY_AVX2
// Not inlined: RoundDown.
template <bool kExactNegative>
HWY_NOINLINE void WriteI8ByFloats(const ArgsI8& args) {
  OutputI8BySums<FloatRule<kExactNegative>>(args);
}
#endif

void WriteI8(const ArgsI8& args) {
#if HWY_TARGET == HWY_AVX2
  if (args.floats != nullptr) {
    const RoundDown round_down;
    (args.exact_negative ? WriteI8ByFloats<true> : WriteI8ByFloats<false>)(args);
    return;
  }
#endif
  if (!args.fast) {
    OutputI8BySums<SlowRule>(args);
  } else if (args.exact_negative) {
    OutputI8BySums<FastRule<true>>(args);
  } else {
    OutputI8BySums<FastRule<false>>(args);
  }
}

// The outputs of `count` filters from `first` on, up to four, of kLanes32 pixels.
HWY_INLINE void OutputF32(const ArgsF32& args, int first, int count, int lane) {
  const hn::ScalableTag<float> d;
  const float* const sums = args.total != nullptr ? args.total : args.acc;
  const auto low = hn::Set(d, args.clamp_min), high = hn::Set(d, args.clamp_max);
  V<decltype(d)> x[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    if (i >= count) continue;
    const ParamsF32& p = args.params[first + i];
    const float* acc = sums + static_cast<size_t>(first + i) * args.lanes + lane;
    x[i] = hn::MulAdd(hn::Load(d, acc), hn::Set(d, p.scale), hn::Set(d, p.bias));
    if (args.box != nullptr) {
      x[i] = hn::MulAdd(hn::Set(d, p.background), hn::Load(d, args.box + lane), x[i]);
    }
    x[i] = hn::Min(hn::Max(x[i], low), high);
  }
  TransposeRound(d, x);
  TransposeRound(d, x);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    float* to[kBlocks];
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
      float* pixel = args.pixels[lane + 4 * b + i];
      to[b] = pixel == nullptr ? nullptr : pixel + first;
    }
    if (count == 4) {
      StoreBlocks(d, x[i], to);
      continue;
    }
    HWY_ALIGN float row[kLanes32];
    hn::Store(x[i], d, row);
    for (int b = 0; b < kBlocks; ++b) {
      if (to[b] == nullptr) continue;
      for (int f = 0; f < count; ++f) to[b][f] = row[4 * b + f];
    }
  }
}

void WriteF32(const ArgsF32& arguments) {
  const ArgsF32 args = arguments;  // outputs overwrite none of them
  constexpr int kLineFloats = kLineBytes / sizeof(float);
  for (int line = 0; line < args.filters; line += kLineFloats) {
    const int end = HWY_MIN(line + kLineFloats, args.filters);
    for (int lane = 0; lane < args.lanes; lane += kLanes32) {
      for (int first = line; first < end; first += 4) {
        OutputF32(args, first, HWY_MIN(end - first, 4), lane);
      }
    }
  }
}

}  // namespace
}  // namespace output
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_PIXEL_LANES_INL_H_

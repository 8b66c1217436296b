// Pixels to planes: one channel of many pixels, side by side.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_PLANES_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_PLANES_INL_H_

#include "engine/kernels/simd/transpose-inl.h"
#include "engine/kernels/simd/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_signbin {
namespace table {
namespace {

using namespace simd;

// x - subtrahend in int16 for the lower (upper) 8 bytes of every block.
template <bool kUpper, class V8>
HWY_INLINE V<hn::ScalableTag<int16_t>> WidenSub(V8 x, int32_t subtrahend) {
#if HWY_TARGET == HWY_NEON
  const int8x8_t s = vdup_n_s8(static_cast<int8_t>(subtrahend));
#if TF_SIGNBIN_A64
  if (kUpper) return V<hn::ScalableTag<int16_t>>(vsubl_high_s8(x.raw, vcombine_s8(s, s)));
#endif
  return V<hn::ScalableTag<int16_t>>(
      vsubl_s8(kUpper ? vget_high_s8(x.raw) : vget_low_s8(x.raw), s));
#else
  const hn::ScalableTag<int16_t> d16;
  const hn::ScalableTag<uint8_t> du8;
  const auto biased = hn::Xor(hn::BitCast(du8, x), hn::Set(du8, 0x80));  // x + 128, unsigned
  const auto zero = hn::Zero(du8);
  const auto wide =
      kUpper ? hn::InterleaveUpper(du8, biased, zero) : hn::InterleaveLower(du8, biased, zero);
  return hn::Sub(hn::BitCast(d16, wide), hn::Set(d16, static_cast<int16_t>(subtrahend + 128)));
#endif
}

// Calls store(x, c, count, lane) for every run of 16 channels from c on, `count` of which exist,
// and of 2 * kLanes16 pixels from `lane` on: byte i of block b of x[k] is channel c + k of the
// run's pixel order(b, i).
template <class Order, class Store>
HWY_INLINE void ForChannelRuns(const int8_t* const* pixels, int first, int lanes, int channels,
                               int available, const Order& order, const Store& store) {
  const hn::ScalableTag<int8_t> d8;
  constexpr int kPixels = 2 * kLanes16;
  HWY_ALIGN int8_t copy[kPixels * 16] = {};
  // Pixels that lie a power of two apart share few of the cache's sets: all channels of some pixels
  // come before other pixels.
  for (int lane = 0; lane < lanes; lane += kPixels) {
    for (int c = 0; c < channels; c += 16) {
      const int count = channels - c < 16 ? channels - c : 16;
      const int8_t* rows[kPixels];
      for (int i = 0; i < kPixels; ++i) rows[i] = pixels[lane + i] + first + c;
      if (available - c < 16) {  // not to read behind the last pixel
        for (int i = 0; i < kPixels; ++i) {
          for (int b = 0; b < available - c; ++b) copy[i * 16 + b] = rows[i][b];
          rows[i] = copy + i * 16;
        }
      }
      V<decltype(d8)> x[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        const int8_t* from[kBlocks];
#pragma GCC unroll 4
        for (int b = 0; b < kBlocks; ++b) from[b] = rows[order(b, i)];
        x[i] = LoadBlocks(d8, from);
      }
      Transpose16x16(d8, x);
      store(x, c, count, lane);
    }
  }
}

void Planes(const int8_t* const* pixels, int first, int lanes, int channels, int available,
            int32_t zero_point, int16_t* planes, size_t stride) {
  const hn::ScalableTag<int16_t> d16;
  using Channels = V<hn::ScalableTag<int8_t>>[16];
  const auto store = [=](const Channels& x, int c, int count, int lane) HWY_ATTR {
    int16_t* out = planes + static_cast<size_t>(c) * stride + lane;
    const bool both = lane + kLanes16 < lanes;
    if (count == 16 && both) {
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        StorePair(d16, WidenSub<false>(x[i], zero_point), WidenSub<true>(x[i], zero_point), out);
        out += stride;
#if HWY_TARGET == HWY_NEON
        asm("" : "+r"(out));  // one pointer: sixteen of them do not fit the registers
#endif
      }
      return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      if (i < count) {
        hn::Store(WidenSub<false>(x[i], zero_point), d16, out);
        if (both) hn::Store(WidenSub<true>(x[i], zero_point), d16, out + kLanes16);
        out += stride;
      }
    }
  };
  ForChannelRuns(pixels, first, lanes, channels, available, PixelOf, store);
}

[[maybe_unused]] void Planes(const int8_t* const* pixels, int first, int lanes, int channels,
                             int available, int32_t zero_point, uint8_t* planes, size_t stride) {
  const hn::ScalableTag<uint8_t> d8;
  const auto zero = hn::Set(d8, static_cast<uint8_t>(zero_point));
  using Channels = V<hn::ScalableTag<int8_t>>[16];
  const auto store = [=](const Channels& x, int c, int count, int lane) HWY_ATTR {
    uint8_t* out = planes + static_cast<size_t>(c) * stride + lane;
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      if (i < count) hn::Store(hn::Sub(hn::BitCast(d8, x[i]), zero), d8, out);
      out += stride;
#if HWY_TARGET == HWY_NEON
      asm("" : "+r"(out));
#endif
    }
  };
  const auto in_order = [](int block, int i) { return 16 * block + i; };
  ForChannelRuns(pixels, first, lanes, channels, available, in_order, store);
}

void Planes(const float* const* pixels, int first, int lanes, int channels, int available,
            int32_t /*zero_point*/, float* planes, size_t stride) {
  const hn::ScalableTag<float> d;
  HWY_ALIGN float copy[kLanes32 * 4] = {};
  for (int lane = 0; lane < lanes; lane += kLanes32) {
    for (int c = 0; c < channels; c += 4) {
      const int count = channels - c < 4 ? channels - c : 4;
      const float* rows[kLanes32];
      for (int i = 0; i < kLanes32; ++i) rows[i] = pixels[lane + i] + first + c;
      if (available - c < 4) {
        for (int i = 0; i < kLanes32; ++i) {
          for (int b = 0; b < available - c; ++b) copy[i * 4 + b] = rows[i][b];
          rows[i] = copy + i * 4;
        }
      }
      V<decltype(d)> x[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const float* from[kBlocks];
#pragma GCC unroll 4
        for (int b = 0; b < kBlocks; ++b) from[b] = rows[4 * b + i];
        x[i] = LoadBlocks(d, from);
      }
      TransposeRound(d, x);
      TransposeRound(d, x);
      float* out = planes + static_cast<size_t>(c) * stride + lane;
      for (int i = 0; i < count; ++i, out += stride) hn::Store(x[i], d, out);
    }
  }
}

}  // namespace
}  // namespace table
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_PLANES_INL_H_

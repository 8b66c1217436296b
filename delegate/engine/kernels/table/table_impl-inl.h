// The vector work of the memory-table family in Google Highway, compiled once per instruction set
// with static dispatch: each table_<isa>.cc includes this file and exports one TableOps.
//
// Included by those files only. Everything is in an unnamed namespace and nothing of the C++
// library is used, so that no function compiled for a newer instruction set can end up in another
// file.

#ifndef HWY_COMPILE_ONLY_EMU128
#define HWY_COMPILE_ONLY_STATIC
#endif
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "engine/kernels/table/table_ops.h"

HWY_BEFORE_NAMESPACE();
namespace tf_signbin {
namespace table {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
using V = hn::Vec<D>;

// Lanes 1.. of `low`, then lane 0 of `high`.
template <class D>
HWY_INLINE V<D> ShiftDownOneLane(D d, V<D> high, V<D> low) {
  constexpr int kBytes = sizeof(hn::TFromD<D>);
#if HWY_TARGET == HWY_AVX2
  const hn::Repartition<int32_t, D> di;
  const __m256i lo = hn::BitCast(di, low).raw, hi = hn::BitCast(di, high).raw;
  const __m256i middle = _mm256_permute2x128_si256(lo, hi, 0x21);
  return hn::BitCast(d, V<decltype(di)>{_mm256_alignr_epi8(middle, lo, kBytes)});
#elif HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  const hn::Repartition<int32_t, D> di;
  const __m512i lo = hn::BitCast(di, low).raw, hi = hn::BitCast(di, high).raw;
  const __m512i middle = _mm512_alignr_epi32(hi, lo, 4);
  return hn::BitCast(d, V<decltype(di)>{_mm512_alignr_epi8(middle, lo, kBytes)});
#else
  static_assert(HWY_MAX_BYTES == 16, "a vector is one block");
  return hn::CombineShiftRightBytes<kBytes>(d, high, low);
#endif
}

// ------------------------------------------------------------------ look-up

template <typename T, int kVectors, bool kSubtract>
HWY_INLINE void LookupLoop(const LookupArgs<T>& args) {
  const hn::ScalableTag<T> d;
  constexpr size_t kLanes = hn::MaxLanes(d);
  const uint16_t* HWY_RESTRICT stream = args.stream;
  const char* HWY_RESTRICT table = reinterpret_cast<const char*>(args.table);
  T* HWY_RESTRICT acc = args.acc;
  for (int filter = 0; filter < args.filters; ++filter, acc += kVectors * kLanes) {
    V<decltype(d)> sum[kVectors];
#pragma GCC unroll 24
    for (int v = 0; v < kVectors; ++v) sum[v] = hn::Zero(d);
    for (int group = 0; group < args.shift_groups; ++group) {
      for (int shift = args.shifts[group]; shift > 0; --shift) {
#pragma GCC unroll 24
        for (int v = 0; v + 1 < kVectors; ++v) sum[v] = ShiftDownOneLane(d, sum[v + 1], sum[v]);
        sum[kVectors - 1] = ShiftDownOneLane(d, hn::Zero(d), sum[kVectors - 1]);
      }
      const uint16_t* end = stream + 1 + *stream;
      for (++stream; stream != end; ++stream) {
        const T* entry = reinterpret_cast<const T*>(table + *stream * kOffsetUnit);
#pragma GCC unroll 24
        for (int v = 0; v < kVectors; ++v) {
          sum[v] = hn::Add(sum[v], hn::Load(d, entry + v * kLanes));
        }
      }
      if (kSubtract) {
        end = stream + 1 + *stream;
        for (++stream; stream != end; ++stream) {
          const T* entry = reinterpret_cast<const T*>(table + *stream * kOffsetUnit);
#pragma GCC unroll 24
          for (int v = 0; v < kVectors; ++v) {
            sum[v] = hn::Sub(sum[v], hn::Load(d, entry + v * kLanes));
          }
        }
      }
    }
    if (args.accumulate) {
#pragma GCC unroll 24
      for (int v = 0; v < kVectors; ++v) sum[v] = hn::Add(sum[v], hn::Load(d, acc + v * kLanes));
    }
#pragma GCC unroll 24
    for (int v = 0; v < kVectors; ++v) hn::Store(sum[v], d, acc + v * kLanes);
  }
}

template <typename T, int kVectors>
void Lookup(const LookupArgs<T>& args) {
  if (args.subtract) {
    LookupLoop<T, kVectors, true>(args);
  } else {
    LookupLoop<T, kVectors, false>(args);
  }
}

// ------------------------------------------------------------------ transposition

// One round of a transposition network: after log2(count) rounds count x count blocks are
// transposed.
template <class D, int kCount>
HWY_INLINE void TransposeRound(D d, V<D> (&x)[kCount]) {
  V<D> y[kCount];
#pragma GCC unroll 16
  for (int i = 0; i < kCount / 2; ++i) {
    y[2 * i] = hn::InterleaveLower(d, x[i], x[i + kCount / 2]);
    y[2 * i + 1] = hn::InterleaveUpper(d, x[i], x[i + kCount / 2]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kCount; ++i) x[i] = y[i];
}

template <class D>
HWY_INLINE void Transpose16x16(D d, V<D> (&x)[16]) {
  TransposeRound(d, x);
  TransposeRound(d, x);
  TransposeRound(d, x);
  TransposeRound(d, x);
}

void PlanesI8(const int8_t* const* pixels, int first, int lanes, int channels, int available,
              int32_t zero_point, int16_t* planes, size_t stride) {
  const hn::FixedTag<int8_t, 16> d8;
  const hn::FixedTag<int8_t, 8> d8h;
  const hn::FixedTag<int16_t, 8> d16;
  const auto zero = hn::Set(d16, static_cast<int16_t>(zero_point));
  HWY_ALIGN int8_t copy[16 * 16] = {};
  for (int c = 0; c < channels; c += 16) {
    const int count = channels - c < 16 ? channels - c : 16;
    for (int lane = 0; lane < lanes; lane += 16) {
      const int pixels_left = lanes - lane < 16 ? lanes - lane : 16;
      V<decltype(d8)> x[16];
      if (available - c >= 16 && pixels_left == 16) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) x[i] = hn::LoadU(d8, pixels[lane + i] + first + c);
      } else {
        const int bytes = available - c < 16 ? available - c : 16;
        for (int i = 0; i < pixels_left; ++i) {
          for (int b = 0; b < bytes; ++b) copy[i * 16 + b] = pixels[lane + i][first + c + b];
        }
        for (int i = 0; i < 16; ++i) x[i] = hn::Load(d8, copy + i * 16);
      }
      Transpose16x16(d8, x);
      int16_t* out = planes + static_cast<size_t>(c) * stride + lane;
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        if (i < count) {
          hn::Store(hn::Sub(hn::PromoteTo(d16, hn::LowerHalf(d8h, x[i])), zero), d16, out);
          if (pixels_left > 8) {
            hn::Store(hn::Sub(hn::PromoteTo(d16, hn::UpperHalf(d8h, x[i])), zero), d16, out + 8);
          }
          out += stride;
        }
      }
    }
  }
}

void PlanesF32(const float* const* pixels, int first, int lanes, int channels, int available,
               float* planes, size_t stride) {
  const hn::FixedTag<float, 4> d;
  HWY_ALIGN float copy[16] = {};
  for (int c = 0; c < channels; c += 4) {
    const int count = channels - c < 4 ? channels - c : 4;
    for (int lane = 0; lane < lanes; lane += 4) {
      V<decltype(d)> x[4];
      if (available - c >= 4) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) x[i] = hn::LoadU(d, pixels[lane + i] + first + c);
      } else {
        for (int i = 0; i < 4; ++i) {
          for (int b = 0; b < available - c; ++b) copy[i * 4 + b] = pixels[lane + i][first + c + b];
        }
        for (int i = 0; i < 4; ++i) x[i] = hn::Load(d, copy + i * 4);
      }
      TransposeRound(d, x);
      TransposeRound(d, x);
      float* out = planes + static_cast<size_t>(c) * stride + lane;
      for (int i = 0; i < count; ++i, out += stride) hn::Store(x[i], d, out);
    }
  }
}

// ------------------------------------------------------------------ tables

template <typename T>
HWY_INLINE void BuildFull(const T* HWY_RESTRICT planes, size_t stride, int group, bool zero_entry,
                          int lanes, T* HWY_RESTRICT table) {
  const hn::ScalableTag<T> d;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(d));
  // Subsets of the first three channels stay in registers; every other entry is one of them plus
  // the sum of a subset of the remaining channels.
  const int low_bits = group < 3 ? group : 3;
  const int low_entries = 1 << low_bits;
  const size_t entry = static_cast<size_t>(lanes);
  for (int lane = 0; lane < lanes; lane += kLanes) {
    const T* x = planes + lane;
    // Entry e begins at out + e * lanes.
    T* out = table + lane - (zero_entry ? 0 : static_cast<ptrdiff_t>(entry));
    V<decltype(d)> low[8];
    low[0] = hn::Zero(d);
    low[1] = hn::Load(d, x);
    low[2] = group > 1 ? hn::Load(d, x + stride) : hn::Zero(d);
    low[3] = hn::Add(low[1], low[2]);
    low[4] = group > 2 ? hn::Load(d, x + 2 * stride) : hn::Zero(d);
    low[5] = hn::Add(low[1], low[4]);
    low[6] = hn::Add(low[2], low[4]);
    low[7] = hn::Add(low[3], low[4]);
    if (zero_entry) hn::Store(low[0], d, out);
#pragma GCC unroll 8
    for (int e = 1; e < 8; ++e) {
      if (e < low_entries) hn::Store(low[e], d, out + e * entry);
    }
    for (int bit = 3; bit < group; ++bit) {
      const auto added = hn::Load(d, x + static_cast<size_t>(bit) * stride);
      const int half = 1 << (bit - 3);  // entries are written in eights
      for (int high = half; high < 2 * half; ++high) {
        T* to = out + static_cast<size_t>(high) * 8 * entry;
        const auto base =
            high == half
                ? added
                : hn::Add(added, hn::Load(d, out + static_cast<size_t>(high - half) * 8 * entry));
        hn::Store(base, d, to);
#pragma GCC unroll 8
        for (int e = 1; e < 8; ++e) hn::Store(hn::Add(base, low[e]), d, to + e * entry);
      }
    }
  }
}

template <typename T>
HWY_INLINE void BuildList(const T* HWY_RESTRICT planes, size_t stride, int entries,
                          const int16_t* HWY_RESTRICT parent, const int16_t* HWY_RESTRICT channel,
                          int lanes, T* table) {
  const hn::ScalableTag<T> d;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(d));
  for (int e = 0; e < entries; ++e) {
    T* out = table + static_cast<size_t>(e) * lanes;
    if (channel[e] < 0) {
      for (int lane = 0; lane < lanes; lane += kLanes) hn::Store(hn::Zero(d), d, out + lane);
      continue;
    }
    const T* x = planes + static_cast<size_t>(channel[e]) * stride;
    if (parent[e] < 0) {
      for (int lane = 0; lane < lanes; lane += kLanes) {
        hn::Store(hn::Load(d, x + lane), d, out + lane);
      }
      continue;
    }
    const T* from = table + static_cast<size_t>(parent[e]) * lanes;
    for (int lane = 0; lane < lanes; lane += kLanes) {
      hn::Store(hn::Add(hn::Load(d, from + lane), hn::Load(d, x + lane)), d, out + lane);
    }
  }
}

void BuildFullI16(const int16_t* planes, size_t stride, int group, bool zero_entry, int lanes,
                  int16_t* table) {
  BuildFull(planes, stride, group, zero_entry, lanes, table);
}
void BuildFullF32(const float* planes, size_t stride, int group, bool zero_entry, int lanes,
                  float* table) {
  BuildFull(planes, stride, group, zero_entry, lanes, table);
}
void BuildListI16(const int16_t* planes, size_t stride, int entries, const int16_t* parent,
                  const int16_t* channel, int lanes, int16_t* table) {
  BuildList(planes, stride, entries, parent, channel, lanes, table);
}
void BuildListF32(const float* planes, size_t stride, int entries, const int16_t* parent,
                  const int16_t* channel, int lanes, float* table) {
  BuildList(planes, stride, entries, parent, channel, lanes, table);
}

// ------------------------------------------------------------------ sums

// int32 lanes of consecutive int16.
template <class D32>
HWY_INLINE V<D32> LoadWidened(D32 d32, const int16_t* from) {
  const hn::Rebind<int16_t, D32> d16;
  return hn::PromoteTo(d32, hn::LoadU(d16, from));
}

void SpillI16(const int16_t* HWY_RESTRICT acc16, int16_t center, int32_t scale, int32_t background,
              const int32_t* HWY_RESTRICT box, int lanes, bool accumulate,
              int32_t* HWY_RESTRICT acc32) {
  const hn::ScalableTag<int32_t> d32;
  const hn::Rebind<int16_t, decltype(d32)> d16;
  const auto c = hn::Set(d16, center);
  const auto s = hn::Set(d32, scale);
  const auto a = hn::Set(d32, background);
  for (int lane = 0; lane < lanes; lane += static_cast<int>(hn::MaxLanes(d32))) {
    auto x = hn::PromoteTo(d32, hn::Sub(hn::Load(d16, acc16 + lane), c));
    if (scale != 1) x = hn::Mul(x, s);
    if (box != nullptr) x = hn::Add(x, hn::Mul(a, hn::Load(d32, box + lane)));
    if (accumulate) x = hn::Add(x, hn::Load(d32, acc32 + lane));
    hn::Store(x, d32, acc32 + lane);
  }
}

void SpillF32(const float* HWY_RESTRICT acc, float scale, float background,
              const float* HWY_RESTRICT box, int lanes, bool accumulate,
              float* HWY_RESTRICT total) {
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

void ChannelSumI16(const int16_t* HWY_RESTRICT planes, size_t stride, int channels, int lanes,
                   bool accumulate, int32_t* HWY_RESTRICT sum) {
  const hn::ScalableTag<int32_t> d32;
  for (int lane = 0; lane < lanes; lane += static_cast<int>(hn::MaxLanes(d32))) {
    auto x = accumulate ? hn::Load(d32, sum + lane) : hn::Zero(d32);
    for (int c = 0; c < channels; ++c) {
      x = hn::Add(x, LoadWidened(d32, planes + static_cast<size_t>(c) * stride + lane));
    }
    hn::Store(x, d32, sum + lane);
  }
}

void ChannelSumF32(const float* HWY_RESTRICT planes, size_t stride, int channels, int lanes,
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

template <typename T>
HWY_INLINE void WindowSum(const T* HWY_RESTRICT sum, const int* HWY_RESTRICT offsets, int taps,
                          int lanes, T* HWY_RESTRICT box) {
  const hn::ScalableTag<T> d;
  for (int lane = 0; lane < lanes; lane += static_cast<int>(hn::MaxLanes(d))) {
    auto x = hn::Zero(d);
    for (int tap = 0; tap < taps; ++tap) x = hn::Add(x, hn::LoadU(d, sum + offsets[tap] + lane));
    hn::Store(x, d, box + lane);
  }
}

void WindowSumI32(const int32_t* sum, const int* offsets, int taps, int lanes, int32_t* box) {
  WindowSum(sum, offsets, taps, lanes, box);
}
void WindowSumF32(const float* sum, const int* offsets, int taps, int lanes, float* box) {
  WindowSum(sum, offsets, taps, lanes, box);
}

// ------------------------------------------------------------------ output

// round(a * multiplier / 2^31), halves up: gemmlowp's SaturatingRoundingDoublingHighMul for a
// multiplier that is not INT32_MIN.
template <class D32>
HWY_INLINE V<D32> RoundingDoublingHighMul(D32 d32, V<D32> a, V<D32> multiplier) {
#if HWY_ARCH_ARM
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

void OutputI8(const OutputArgsI8& args) {
  const hn::ScalableTag<int32_t> d32;
  const hn::Rebind<int16_t, decltype(d32)> d16;
  const hn::Rebind<int8_t, decltype(d32)> d8;
  const hn::FixedTag<int8_t, 16> d8x16;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(d32));
  const int lanes = args.lanes;
  const auto zero_point = hn::Set(d32, args.zero_point);
  const auto low = hn::Set(d32, args.clamp_min), high = hn::Set(d32, args.clamp_max);
  HWY_ALIGN int8_t block[16 * 16] = {};  // filters x pixels
  for (int first = 0; first < args.filters; first += 16) {
    const int count = args.filters - first < 16 ? args.filters - first : 16;
    for (int lane = 0; lane < lanes; lane += 16) {
      const int pixel_count = lanes - lane < 16 ? lanes - lane : 16;
      for (int i = 0; i < count; ++i) {
        const OutputParamsI8& p = args.params[first + i];
        const size_t at = static_cast<size_t>(first + i) * lanes + lane;
        const auto scale = hn::Set(d32, p.scale), bias = hn::Set(d32, p.bias);
        const auto background = hn::Set(d32, p.background);
        const auto multiplier = hn::Set(d32, p.multiplier);
        const int32_t mask_bits = static_cast<int32_t>((int64_t{1} << p.right_shift) - 1);
        const auto mask = hn::Set(d32, mask_bits), threshold = hn::Set(d32, mask_bits >> 1);
        const auto center = hn::Set(d16, p.center);
        for (int part = 0; part < pixel_count; part += kLanes) {
          auto x = args.acc32 != nullptr
                       ? hn::Load(d32, args.acc32 + at + part)
                       : hn::PromoteTo(d32, hn::Sub(hn::Load(d16, args.acc16 + at + part), center));
          x = hn::Add(hn::Mul(x, scale), bias);
          if (args.box != nullptr) {
            x = hn::Add(x, hn::Mul(background, hn::Load(d32, args.box + lane + part)));
          }
          if (args.real) {
            x = MultiplyByReal(d32, x, p.real_multiplier);
          } else {
            x = hn::ShiftLeftSame(x, p.left_shift);
            x = RoundingDoublingHighMul(d32, x, multiplier);
            x = RoundingShiftRight(d32, x, p.right_shift, mask, threshold);
          }
          x = hn::Min(hn::Max(hn::Add(x, zero_point), low), high);
          hn::Store(hn::DemoteTo(d8, x), d8, block + i * 16 + part);
        }
      }
      V<decltype(d8x16)> x[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) x[i] = hn::Load(d8x16, block + i * 16);
      Transpose16x16(d8x16, x);
      int8_t* const* pixels = args.pixels + lane;
      if (count == 16) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) {
          if (i < pixel_count && pixels[i] != nullptr) hn::StoreU(x[i], d8x16, pixels[i] + first);
        }
      } else {
        HWY_ALIGN int8_t row[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) {
          if (i >= pixel_count || pixels[i] == nullptr) continue;
          hn::Store(x[i], d8x16, row);
          for (int f = 0; f < count; ++f) pixels[i][first + f] = row[f];
        }
      }
    }
  }
}

void OutputF32(const OutputArgsF32& args) {
  const hn::FixedTag<float, 4> d;
  const int lanes = args.lanes;
  const auto low = hn::Set(d, args.clamp_min), high = hn::Set(d, args.clamp_max);
  for (int first = 0; first < args.filters; first += 4) {
    const int count = args.filters - first < 4 ? args.filters - first : 4;
    for (int lane = 0; lane < lanes; lane += 4) {
      V<decltype(d)> x[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        if (i >= count) continue;
        const OutputParamsF32& p = args.params[first + i];
        const float* acc = args.acc + static_cast<size_t>(first + i) * lanes + lane;
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
        float* pixel = args.pixels[lane + i];
        if (pixel == nullptr) continue;
        if (count == 4) {
          hn::StoreU(x[i], d, pixel + first);
        } else {
          HWY_ALIGN float row[4];
          hn::Store(x[i], d, row);
          for (int f = 0; f < count; ++f) pixel[first + f] = row[f];
        }
      }
    }
  }
}

// ------------------------------------------------------------------ the table

// Accumulator vectors offered: as many as leave a few registers free.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_ARCH_ARM_A64
#define TF_SIGNBIN_MAX_VECTORS 24
#else
#define TF_SIGNBIN_MAX_VECTORS 12
#endif

template <typename T, int kVectors>
constexpr auto LookupOf() -> void (*)(const LookupArgs<T>&) {
  if constexpr (kVectors <= TF_SIGNBIN_MAX_VECTORS) {
    return &Lookup<T, kVectors>;
  } else {
    return nullptr;
  }
}

#define TF_SIGNBIN_LOOKUPS(T)                                                                     \
  {                                                                                               \
    nullptr, LookupOf<T, 1>(), LookupOf<T, 2>(), LookupOf<T, 3>(), LookupOf<T, 4>(),              \
        LookupOf<T, 5>(), LookupOf<T, 6>(), LookupOf<T, 7>(), LookupOf<T, 8>(), LookupOf<T, 9>(), \
        LookupOf<T, 10>(), LookupOf<T, 11>(), LookupOf<T, 12>(), LookupOf<T, 13>(),               \
        LookupOf<T, 14>(), LookupOf<T, 15>(), LookupOf<T, 16>(), LookupOf<T, 17>(),               \
        LookupOf<T, 18>(), LookupOf<T, 19>(), LookupOf<T, 20>(), LookupOf<T, 21>(),               \
        LookupOf<T, 22>(), LookupOf<T, 23>(), LookupOf<T, 24>(),                                  \
  }

constexpr TableOps MakeTableOps(Isa isa) {
  return {isa,
          HWY_MAX_BYTES,
          TF_SIGNBIN_MAX_VECTORS,
          &PlanesI8,
          &PlanesF32,
          &BuildFullI16,
          &BuildFullF32,
          &BuildListI16,
          &BuildListF32,
          TF_SIGNBIN_LOOKUPS(int16_t),
          TF_SIGNBIN_LOOKUPS(float),
          &SpillI16,
          &SpillF32,
          &ChannelSumI16,
          &ChannelSumF32,
          &WindowSumI32,
          &WindowSumF32,
          &OutputI8,
          &OutputF32};
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace table
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

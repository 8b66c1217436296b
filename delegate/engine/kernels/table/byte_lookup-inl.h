// The look-up in tables of bytes, the sums of activations of few bits: a vector holds twice the
// pixels. Some entries are added as bytes, then widened into accumulators of 16 bits.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_BYTE_LOOKUP_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_BYTE_LOOKUP_INL_H_

#include "engine/kernels/simd/vectors-inl.h"
#include "engine/kernels/table/sums-inl.h"
#include "engine/kernels/table/table_ops.h"

HWY_BEFORE_NAMESPACE();
namespace tf_signbin {
namespace table {
namespace {

using namespace simd;

using U8 = hn::ScalableTag<uint8_t>;
using U16 = hn::ScalableTag<uint16_t>;

// A vector's worth of byte lanes in 16-bit accumulators.
#if HWY_TARGET == HWY_NEON

constexpr int kSplitByteSums = 0;

// The lower and the upper half of the lanes.
struct WideSums {
  V<U16> low, high;

  template <bool kSubtract>
  HWY_INLINE void Add(V<U8> x) {
    const uint8x8_t l = vget_low_u8(x.raw);
    low = V<U16>(kSubtract ? vsubw_u8(low.raw, l) : vaddw_u8(low.raw, l));
#if TF_SIGNBIN_A64
    high = V<U16>(kSubtract ? vsubw_high_u8(high.raw, x.raw) : vaddw_high_u8(high.raw, x.raw));
#else
    const uint8x8_t h = vget_high_u8(x.raw);
    high = V<U16>(kSubtract ? vsubw_u8(high.raw, h) : vaddw_u8(high.raw, h));
#endif
  }
  HWY_INLINE void Finish() {}
};

#else

constexpr int kSplitByteSums = HWY_MAX_BYTES;

// x86 widens neighbouring bytes apart by a shift. Added as words, a byte of an even lane brings its
// odd neighbour along, 256 fold, which is taken off in the end.
struct WideSums {
  V<U16> low;   // even lanes + 256 * odd lanes; finished: even lanes
  V<U16> high;  // odd lanes

  template <bool kSubtract>
  HWY_INLINE void Add(V<U8> x) {
    const auto pair = hn::BitCast(U16(), x);
    const auto odd = hn::ShiftRight<8>(pair);
    low = kSubtract ? hn::Sub(low, pair) : hn::Add(low, pair);
    high = kSubtract ? hn::Sub(high, odd) : hn::Add(high, odd);
  }
  HWY_INLINE void Finish() { low = hn::Sub(low, hn::ShiftLeft<8>(high)); }
};

#endif

// Adds (subtracts) the sum of kSums entries, at any address.
template <bool kSubtract, int kSums, int kVectors>
HWY_INLINE void AddByteEntries(const uint8_t* table, const uint16_t* offsets,
                               WideSums (&sums)[kVectors]) {
  const U8 d;
  const uint8_t* entry[kSums];
#pragma GCC unroll 4
  for (int i = 0; i < kSums; ++i) entry[i] = table + offsets[i];
#pragma GCC unroll 24
  for (int v = 0; v < kVectors; ++v) {
    auto x = hn::LoadU(d, entry[0] + v * HWY_MAX_BYTES);
#pragma GCC unroll 4
    for (int i = 1; i < kSums; ++i) x = hn::Add(x, hn::LoadU(d, entry[i] + v * HWY_MAX_BYTES));
    sums[v].template Add<kSubtract>(x);
  }
}

// Adds (subtracts) the next `length` entries, kSums at a time, and the rest.
template <bool kSubtract, int kSums, int kVectors>
HWY_INLINE void AddByteList(const uint8_t* table, const uint16_t*& offsets, int length,
                            WideSums (&sums)[kVectors]) {
  const uint16_t* const end = offsets + length;
  for (; end - offsets >= kSums; offsets += kSums) {
    AddByteEntries<kSubtract, kSums>(table, offsets, sums);
  }
  if constexpr (kSums > 1) {
    AddByteList<kSubtract, kSums - 1>(table, offsets, static_cast<int>(end - offsets), sums);
  }
}

template <int kVectors, int kSums, bool kSubtract>
void ByteLookupLoop(const LookupArgs<uint8_t>& args) {
  const U16 d16;
  const hn::ScalableTag<int16_t> di16;
  const uint8_t* HWY_RESTRICT table = args.table;
  const uint16_t* HWY_RESTRICT lengths = args.lengths;
  const uint16_t* offsets = args.stream;
  int16_t* HWY_RESTRICT acc = args.acc;
  const bool accumulate = args.accumulate, finish = args.finish;
  for (int filter = 0; filter < args.filters; ++filter, acc += kVectors * HWY_MAX_BYTES) {
    WideSums sums[kVectors];
    if (accumulate) {
#pragma GCC unroll 24
      for (int v = 0; v < kVectors; ++v) {
        const int16_t* from = acc + v * HWY_MAX_BYTES;
        sums[v].low = hn::BitCast(d16, hn::Load(di16, from));
        sums[v].high = hn::BitCast(d16, hn::Load(di16, from + kLanes16));
      }
    } else {
#pragma GCC unroll 24
      for (int v = 0; v < kVectors; ++v) sums[v].low = sums[v].high = hn::Zero(d16);
    }
    AddByteList<false, kSums>(table, offsets, *lengths++, sums);
    if (kSubtract) AddByteList<true, kSums>(table, offsets, *lengths++, sums);
    if (finish) {
#pragma GCC unroll 24
      for (int v = 0; v < kVectors; ++v) sums[v].Finish();
    }
#pragma GCC unroll 24
    for (int v = 0; v < kVectors; ++v) {
      StorePair(di16, hn::BitCast(di16, sums[v].low), hn::BitCast(di16, sums[v].high),
                acc + v * HWY_MAX_BYTES);
    }
  }
}

template <int kVectors, int kSums>
HWY_INLINE void ByteLookupOf(const LookupArgs<uint8_t>& args) {
  if (args.subtract) {
    ByteLookupLoop<kVectors, kSums, true>(args);
  } else {
    ByteLookupLoop<kVectors, kSums, false>(args);
  }
}

template <int kVectors>
void ByteLookup(const LookupArgs<uint8_t>& args) {
  static_assert(kMaxByteSums == 4, "the cases below");
  switch (args.byte_sums) {
    case 1:
      return ByteLookupOf<kVectors, 1>(args);
    case 2:
      return ByteLookupOf<kVectors, 2>(args);
    case 3:
      return ByteLookupOf<kVectors, 3>(args);
    default:
      return ByteLookupOf<kVectors, 4>(args);
  }
}

// As WindowSum, of lanes in the order of kSplitByteSums.
[[maybe_unused]] void WindowSumOfBytes(const int32_t* sum, const int* offsets, int taps, int lanes,
                                       int32_t* box) {
  const I32 d32;
  constexpr int kLanes = HWY_MAX_BYTES;
  for (int lane = 0; lane < lanes; lane += kLanes) {
    V<I32> x[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) x[i] = WindowSumOf(d32, sum, offsets, taps, lane + i * kLanes32);
    if (kSplitByteSums != 0) {
      const auto even0 = hn::ConcatEven(d32, x[1], x[0]), odd0 = hn::ConcatOdd(d32, x[1], x[0]);
      const auto even1 = hn::ConcatEven(d32, x[3], x[2]), odd1 = hn::ConcatOdd(d32, x[3], x[2]);
      x[0] = even0;
      x[1] = even1;
      x[2] = odd0;
      x[3] = odd1;
    }
    SplitStore(d32, ToSplit(d32, x[0], x[1]), box + lane);
    SplitStore(d32, ToSplit(d32, x[2], x[3]), box + lane + kLanes16);
  }
}

}  // namespace
}  // namespace table
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_BYTE_LOOKUP_INL_H_

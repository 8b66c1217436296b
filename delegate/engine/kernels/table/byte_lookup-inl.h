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

#if TF_SIGNBIN_A64

// first, second = (kMore ? what they are : 0) + the sum of kSums entries' two vectors at byte kAt;
// kSums is up to 4. One block: GCC would order loads before it chooses registers, of which the
// accumulators leave eight.
template <int kSums, bool kMore, int kAt>
HWY_INLINE void SumPair(const uint8_t* const* entry, uint8x16_t& first, uint8x16_t& second) {
  static_assert(!kMore || kSums == 4, "no other is needed");
  using Read = const uint8_t[kAt + 32];
#define TF_SIGNBIN_ENTRY(i) "r"(entry[i]), "m"(*reinterpret_cast<Read*>(entry[i]))
  uint8x16_t a, b, c, d, e, f;
  if constexpr (kMore) {
    asm("ldp %q2, %q3, [%8, %16]\n\t"
        "ldp %q4, %q5, [%10, %16]\n\t"
        "ldp %q6, %q7, [%12, %16]\n\t"
        "add %2.16b, %2.16b, %4.16b\n\t"
        "add %3.16b, %3.16b, %5.16b\n\t"
        "ldp %q4, %q5, [%14, %16]\n\t"
        "add %0.16b, %0.16b, %6.16b\n\t"
        "add %1.16b, %1.16b, %7.16b\n\t"
        "add %2.16b, %2.16b, %4.16b\n\t"
        "add %3.16b, %3.16b, %5.16b\n\t"
        "add %0.16b, %0.16b, %2.16b\n\t"
        "add %1.16b, %1.16b, %3.16b"
        : "+w"(first), "+w"(second), "=&w"(a), "=&w"(b), "=&w"(c), "=&w"(d), "=&w"(e), "=&w"(f)
        : TF_SIGNBIN_ENTRY(0), TF_SIGNBIN_ENTRY(1), TF_SIGNBIN_ENTRY(2), TF_SIGNBIN_ENTRY(3),
          "n"(kAt));
  } else if constexpr (kSums == 4) {
    asm("ldp %q0, %q1, [%8, %16]\n\t"
        "ldp %q2, %q3, [%10, %16]\n\t"
        "ldp %q4, %q5, [%12, %16]\n\t"
        "ldp %q6, %q7, [%14, %16]\n\t"
        "add %0.16b, %0.16b, %2.16b\n\t"
        "add %1.16b, %1.16b, %3.16b\n\t"
        "add %4.16b, %4.16b, %6.16b\n\t"
        "add %5.16b, %5.16b, %7.16b\n\t"
        "add %0.16b, %0.16b, %4.16b\n\t"
        "add %1.16b, %1.16b, %5.16b"
        : "=&w"(first), "=&w"(second), "=&w"(a), "=&w"(b), "=&w"(c), "=&w"(d), "=&w"(e), "=&w"(f)
        : TF_SIGNBIN_ENTRY(0), TF_SIGNBIN_ENTRY(1), TF_SIGNBIN_ENTRY(2), TF_SIGNBIN_ENTRY(3),
          "n"(kAt));
  } else if constexpr (kSums == 3) {
    asm("ldp %q0, %q1, [%6, %12]\n\t"
        "ldp %q2, %q3, [%8, %12]\n\t"
        "ldp %q4, %q5, [%10, %12]\n\t"
        "add %0.16b, %0.16b, %2.16b\n\t"
        "add %1.16b, %1.16b, %3.16b\n\t"
        "add %0.16b, %0.16b, %4.16b\n\t"
        "add %1.16b, %1.16b, %5.16b"
        : "=&w"(first), "=&w"(second), "=&w"(a), "=&w"(b), "=&w"(c), "=&w"(d)
        : TF_SIGNBIN_ENTRY(0), TF_SIGNBIN_ENTRY(1), TF_SIGNBIN_ENTRY(2), "n"(kAt));
  } else if constexpr (kSums == 2) {
    asm("ldp %q0, %q1, [%4, %8]\n\t"
        "ldp %q2, %q3, [%6, %8]\n\t"
        "add %0.16b, %0.16b, %2.16b\n\t"
        "add %1.16b, %1.16b, %3.16b"
        : "=&w"(first), "=&w"(second), "=&w"(a), "=&w"(b)
        : TF_SIGNBIN_ENTRY(0), TF_SIGNBIN_ENTRY(1), "n"(kAt));
  } else {
    asm("ldp %q0, %q1, [%2, %4]" : "=&w"(first), "=&w"(second) : TF_SIGNBIN_ENTRY(0), "n"(kAt));
  }
#undef TF_SIGNBIN_ENTRY
}

// Adds (subtracts) the sums of kSums entries to those of the vectors from kFirst on.
template <bool kSubtract, int kSums, int kFirst, int kVectors>
HWY_INLINE void AddByteVectors(const uint8_t* const* entry, WideSums (&sums)[kVectors]) {
  if constexpr (kFirst + 1 < kVectors) {
    uint8x16_t first, second;
    SumPair<(kSums < 4 ? kSums : 4), false, 16 * kFirst>(entry, first, second);
    if constexpr (kSums == 8) SumPair<4, true, 16 * kFirst>(entry + 4, first, second);
    sums[kFirst].template Add<kSubtract>(V<U8>(first));
    sums[kFirst + 1].template Add<kSubtract>(V<U8>(second));
    AddByteVectors<kSubtract, kSums, kFirst + 2>(entry, sums);
  } else if constexpr (kFirst < kVectors) {
    uint8x16_t x = vld1q_u8(entry[0] + 16 * kFirst);
#pragma GCC unroll 8
    for (int i = 1; i < kSums; ++i) x = vaddq_u8(x, vld1q_u8(entry[i] + 16 * kFirst));
    sums[kFirst].template Add<kSubtract>(V<U8>(x));
  }
}

template <int kSums>
HWY_INLINE void EntriesAt(const uint8_t* table, const uint16_t* offsets,
                          const uint8_t* (&entry)[kSums]) {
#pragma GCC unroll 8
  for (int i = 0; i < kSums; ++i) entry[i] = table + offsets[i];
}

#elif HWY_TARGET == HWY_NEON

// The same of NEON in 32 bit: `entry` steps on, so that no address is computed.
template <bool kSubtract, int kSums, int kFirst, int kVectors>
HWY_INLINE void AddByteVectors(const uint8_t** entry, WideSums (&sums)[kVectors]) {
#pragma GCC unroll 24
  for (int v = 0; v + 1 < kVectors; v += 2) {
    uint8x16x2_t x = LoadPair(entry[0]);
#pragma GCC unroll 4
    for (int i = 1; i < kSums; ++i) {
      const uint8x16x2_t y = LoadPair(entry[i]);
      x.val[0] = vaddq_u8(x.val[0], y.val[0]);
      x.val[1] = vaddq_u8(x.val[1], y.val[1]);
    }
    sums[v].template Add<kSubtract>(V<U8>(x.val[0]));
    sums[v + 1].template Add<kSubtract>(V<U8>(x.val[1]));
  }
  if (kVectors % 2 != 0) {
    uint8x16_t x = vld1q_u8(entry[0]);
#pragma GCC unroll 4
    for (int i = 1; i < kSums; ++i) x = vaddq_u8(x, vld1q_u8(entry[i]));
    sums[kVectors - 1].template Add<kSubtract>(V<U8>(x));
  }
}

// Two offsets come by one load.
template <int kSums>
HWY_INLINE void EntriesAt(const uint8_t* table, const uint16_t* offsets,
                          const uint8_t* (&entry)[kSums]) {
#pragma GCC unroll 4
  for (int i = 0; i + 1 < kSums; i += 2) {
    uint32_t two;
    __builtin_memcpy(&two, offsets + i, sizeof(two));
    entry[i] = table + (two & 0xffff);
    entry[i + 1] = table + (two >> 16);
  }
  if (kSums % 2 != 0) entry[kSums - 1] = table + offsets[kSums - 1];
}

#else

template <bool kSubtract, int kSums, int kFirst, int kVectors>
HWY_INLINE void AddByteVectors(const uint8_t* const* entry, WideSums (&sums)[kVectors]) {
  const U8 d;
#pragma GCC unroll 24
  for (int v = 0; v < kVectors; ++v) {
    auto x = hn::LoadU(d, entry[0] + v * HWY_MAX_BYTES);
#pragma GCC unroll 4
    for (int i = 1; i < kSums; ++i) x = hn::Add(x, hn::LoadU(d, entry[i] + v * HWY_MAX_BYTES));
    sums[v].template Add<kSubtract>(x);
  }
}

template <int kSums>
HWY_INLINE void EntriesAt(const uint8_t* table, const uint16_t* offsets,
                          const uint8_t* (&entry)[kSums]) {
#pragma GCC unroll 4
  for (int i = 0; i < kSums; ++i) entry[i] = table + offsets[i];
}

#endif

// Adds (subtracts) the sum of kSums entries, at any address.
template <bool kSubtract, int kSums, int kVectors>
HWY_INLINE void AddByteEntries(const uint8_t* table, const uint16_t* offsets,
                               WideSums (&sums)[kVectors]) {
  const uint8_t* entry[kSums];
  EntriesAt(table, offsets, entry);
  AddByteVectors<kSubtract, kSums, 0>(entry, sums);
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
    constexpr int kRest = kSums > kFewByteSums ? kFewByteSums : kSums - 1;
    AddByteList<kSubtract, kRest>(table, offsets, static_cast<int>(end - offsets), sums);
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
      int16_t* to = acc + v * HWY_MAX_BYTES;
      hn::Store(hn::BitCast(di16, sums[v].low), di16, to);
      hn::Store(hn::BitCast(di16, sums[v].high), di16, to + kLanes16);
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
  static_assert(kFewByteSums == 4 && kManyByteSums == 8, "the cases below");
#if TF_SIGNBIN_A64
  if (args.byte_sums == kManyByteSums) return ByteLookupOf<kVectors, kManyByteSums>(args);
#endif
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

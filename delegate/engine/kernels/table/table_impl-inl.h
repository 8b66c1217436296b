// The vector work of the memory-table family in Google Highway, compiled once per instruction set
// with static dispatch: each table_<isa>.cc includes this file and exports one TableOps.
//
// Included by those files only. Everything is in an unnamed namespace and nothing of the C++
// library is used, so that no function compiled for a newer instruction set can end up in another
// file.

#ifndef HWY_COMPILE_ONLY_EMU128
#define HWY_COMPILE_ONLY_STATIC
#endif
// Keeps Highway from adding target attributes of its own (+crypto) to what the file's flags say.
#define TOOLCHAIN_MISS_SYS_AUXV_H
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "engine/kernels/table/table_ops.h"

// NEON in 64 bit, where instructions exist that 32 bit does without.
#define TF_SIGNBIN_A64 (HWY_TARGET == HWY_NEON && HWY_ARCH_ARM_A64)

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

// Two vectors side by side.
template <class D>
HWY_INLINE void StorePair(D d, V<D> first, V<D> second, hn::TFromD<D>* to) {
#if TF_SIGNBIN_A64
  // One instruction, which compilers do not find where addresses are computed.
  (void)d;
  asm volatile("stp %q0, %q1, [%2]" : : "w"(first.raw), "w"(second.raw), "r"(to) : "memory");
#else
  hn::Store(first, d, to);
  hn::Store(second, d, to + hn::MaxLanes(d));
#endif
}

// ------------------------------------------------------------------ look-up

// Starts a filter's sums with one entry.
template <int kVectors, class D>
HWY_INLINE void LoadEntry(D d, const hn::TFromD<D>* entry, V<D> (&sum)[kVectors]) {
#pragma GCC unroll 24
  for (int v = 0; v < kVectors; ++v) sum[v] = hn::Load(d, entry + v * hn::MaxLanes(d));
}

// sum[v] += (-=) vector v of an entry.
template <bool kSubtract, int kVectors, class D>
HWY_INLINE void AddEntry(D d, const hn::TFromD<D>* entry, V<D> (&sum)[kVectors]) {
#pragma GCC unroll 24
  for (int v = 0; v < kVectors; ++v) {
    const auto x = hn::Load(d, entry + v * hn::MaxLanes(d));
    sum[v] = kSubtract ? hn::Sub(sum[v], x) : hn::Add(sum[v], x);
  }
}

#if TF_SIGNBIN_A64

// Offsets are read, entries' addresses computed and entries loaded ahead of their use by inline
// assembly that keeps its order: cores that run in order (Cortex-A53) depend on it, and the
// schedulers of the others (A72, A76) prefer older loads, so that an offset read late arrives late.

template <bool kSubtract, class V>
HWY_INLINE void AddInOrder(V& sum, const V& x) {
  if constexpr (sizeof(hn::TFromV<V>) == 2) {
    if (kSubtract) {
      asm volatile("sub %0.8h, %0.8h, %1.8h" : "+w"(sum.raw) : "w"(x.raw));
    } else {
      asm volatile("add %0.8h, %0.8h, %1.8h" : "+w"(sum.raw) : "w"(x.raw));
    }
  } else {
    if (kSubtract) {
      asm volatile("fsub %0.4s, %0.4s, %1.4s" : "+w"(sum.raw) : "w"(x.raw));
    } else {
      asm volatile("fadd %0.4s, %0.4s, %1.4s" : "+w"(sum.raw) : "w"(x.raw));
    }
  }
}

// Step `kStep` loads two vectors of an entry and adds those loaded two steps before.
template <bool kSubtract, int kStep, int kVectors, class D>
HWY_INLINE void AddEntrySteps(D d, const char* entry, V<D> (&sum)[kVectors], V<D> (&x)[6]) {
  constexpr int kLoad = 2 * kStep, kAdd = 2 * (kStep - 2);
  if constexpr (kLoad + 1 < kVectors) {
    asm volatile("ldp %q0, %q1, [%2, %3]"
                 : "=w"(x[kLoad % 6].raw), "=w"(x[kLoad % 6 + 1].raw)
                 : "r"(entry), "i"(kLoad * 16));
  } else if constexpr (kLoad < kVectors) {
    asm volatile("ldr %q0, [%1, %2]" : "=w"(x[kLoad % 6].raw) : "r"(entry), "i"(kLoad * 16));
  }
  if constexpr (kAdd >= 0) {
    AddInOrder<kSubtract>(sum[kAdd], x[kAdd % 6]);
    if constexpr (kAdd + 1 < kVectors) AddInOrder<kSubtract>(sum[kAdd + 1], x[kAdd % 6 + 1]);
  }
  if constexpr (kAdd + 2 < kVectors) AddEntrySteps<kSubtract, kStep + 1>(d, entry, sum, x);
}

template <bool kSubtract, int kVectors, class D>
HWY_INLINE void AddEntryInOrder(D d, const char* entry, V<D> (&sum)[kVectors]) {
  V<D> x[6];
  AddEntrySteps<kSubtract, 0>(d, entry, sum, x);
}

// Lists of offsets, read one behind the other: the addresses of the next two entries are known.
class EntryStream {
 public:
  static constexpr int kMultiple = 2;  // TableOps::list_multiple

  HWY_INLINE EntryStream(const void* table, const uint16_t* stream)
      : table_(static_cast<const char*>(table)), stream_(stream) {
    ReadPair();
    Resolve0();
    Resolve1();
  }

  // Starts the sums with the first kMultiple entries of a list.
  template <int kVectors, class D>
  HWY_INLINE void Begin(D d, V<D> (&sum)[kVectors]) {
    ReadPair();
    LoadEntry(d, reinterpret_cast<const hn::TFromD<D>*>(entry0_), sum);
    Resolve0();
    AddEntryInOrder<false>(d, entry1_, sum);
    Resolve1();
  }

  // Adds (or subtracts) the next `length` entries.
  template <bool kSubtract, int kVectors, class D>
  HWY_INLINE void Add(D d, int length, V<D> (&sum)[kVectors]) {
    for (unsigned pairs = static_cast<unsigned>(length) / 2; pairs != 0; --pairs) {
      ReadPair();
      AddEntryInOrder<kSubtract>(d, entry0_, sum);
      Resolve0();
      AddEntryInOrder<kSubtract>(d, entry1_, sum);
      Resolve1();
    }
  }

 private:
  static_assert(kOffsetUnit == 8, "shifts by 3");
  HWY_INLINE void ReadPair() { asm volatile("ldr %w0, [%1], 4" : "=r"(pair_), "+r"(stream_)); }
  HWY_INLINE void Resolve0() {
    asm volatile("add %0, %1, %w2, uxth 3" : "=r"(entry0_) : "r"(table_), "r"(pair_));
  }
  HWY_INLINE void Resolve1() {
    asm volatile(
        "lsr %w1, %w1, 16\n\t"
        "add %0, %2, %1, lsl 3"
        : "=&r"(entry1_), "+r"(pair_)
        : "r"(table_));
  }

  const char* table_;
  const uint16_t* stream_;
  const char *entry0_, *entry1_;
  uint64_t pair_;
};

#else  // not 64-bit Arm

// Lists of offsets, read one behind the other.
class EntryStream {
 public:
  static constexpr int kMultiple = 1;

  HWY_INLINE EntryStream(const void* table, const uint16_t* stream)
      : table_(static_cast<const char*>(table)), stream_(stream) {}

  template <int kVectors, class D>
  HWY_INLINE void Begin(D d, V<D> (&sum)[kVectors]) {
    LoadEntry(d, At<D>(0), sum);
    ++stream_;
  }

  template <bool kSubtract, int kVectors, class D>
  HWY_INLINE void Add(D d, int length, V<D> (&sum)[kVectors]) {
    const uint16_t* const end = stream_ + length;
    // With few vectors the loop itself would cost as much as the additions.
    for (; stream_ + 1 < end; stream_ += 2) {
      const auto* entry0 = At<D>(0);
      const auto* entry1 = At<D>(1);
      AddEntry<kSubtract>(d, entry0, sum);
      AddEntry<kSubtract>(d, entry1, sum);
    }
    if (stream_ != end) {
      AddEntry<kSubtract>(d, At<D>(0), sum);
      ++stream_;
    }
  }

 private:
  // On x86 the address becomes part of the addressing mode; on Arm it is kept in one register.
  template <class D>
  HWY_INLINE const hn::TFromD<D>* At(int index) const {
    const char* entry = table_ + stream_[index] * kOffsetUnit;
#if HWY_TARGET == HWY_NEON
    asm("" : "+r"(entry));
#endif
    return reinterpret_cast<const hn::TFromD<D>*>(entry);
  }

  const char* table_;
  const uint16_t* HWY_RESTRICT stream_;
};

#endif

template <typename T, int kVectors, bool kSubtract>
HWY_INLINE void LookupLoop(const LookupArgs<T>& args) {
  const hn::ScalableTag<T> d;
  constexpr size_t kLanes = hn::MaxLanes(d);
  const uint16_t* HWY_RESTRICT lengths = args.lengths;
  const int* HWY_RESTRICT shifts = args.shifts;
  const int filters = args.filters, shift_groups = args.shift_groups;
  const bool accumulate = args.accumulate;
  T* HWY_RESTRICT acc = args.acc;
  EntryStream stream(args.table, args.stream);
  for (int filter = 0; filter < filters; ++filter, acc += kVectors * kLanes) {
    V<hn::ScalableTag<T>> sum[kVectors];
    // The first group begins with its first entries, if it has any.
    int length = *lengths++;
    if (length != 0) {
      stream.Begin(d, sum);
      length -= EntryStream::kMultiple;
    } else {
#pragma GCC unroll 24
      for (int v = 0; v < kVectors; ++v) sum[v] = hn::Zero(d);
    }
    for (int group = 0;;) {
      stream.template Add<false>(d, length, sum);
      if (kSubtract) stream.template Add<true>(d, *lengths++, sum);
      if (++group == shift_groups) break;
      int shift = shifts[group];
      do {
#pragma GCC unroll 24
        for (int v = 0; v + 1 < kVectors; ++v) sum[v] = ShiftDownOneLane(d, sum[v + 1], sum[v]);
        sum[kVectors - 1] = ShiftDownOneLane(d, hn::Zero(d), sum[kVectors - 1]);
      } while (--shift != 0);
      length = *lengths++;
    }
    if (accumulate) {
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

#if HWY_TARGET == HWY_NEON
// Swaps the odd elements of x with the even ones of y, for elements of kBytes.
template <int kBytes>
HWY_INLINE void SwapElements(int8x16_t& x, int8x16_t& y) {
#if TF_SIGNBIN_A64
  const int8x16_t a = x, b = y;
  if (kBytes == 1) {
    x = vtrn1q_s8(a, b);
    y = vtrn2q_s8(a, b);
  } else if (kBytes == 2) {
    const int16x8_t c = vreinterpretq_s16_s8(a), d = vreinterpretq_s16_s8(b);
    x = vreinterpretq_s8_s16(vtrn1q_s16(c, d));
    y = vreinterpretq_s8_s16(vtrn2q_s16(c, d));
  } else if (kBytes == 4) {
    const int32x4_t c = vreinterpretq_s32_s8(a), d = vreinterpretq_s32_s8(b);
    x = vreinterpretq_s8_s32(vtrn1q_s32(c, d));
    y = vreinterpretq_s8_s32(vtrn2q_s32(c, d));
  } else {
    const int64x2_t c = vreinterpretq_s64_s8(a), d = vreinterpretq_s64_s8(b);
    x = vreinterpretq_s8_s64(vtrn1q_s64(c, d));
    y = vreinterpretq_s8_s64(vtrn2q_s64(c, d));
  }
#else
  if (kBytes == 1) {
    const int8x16x2_t t = vtrnq_s8(x, y);
    x = t.val[0];
    y = t.val[1];
  } else if (kBytes == 2) {
    const int16x8x2_t t = vtrnq_s16(vreinterpretq_s16_s8(x), vreinterpretq_s16_s8(y));
    x = vreinterpretq_s8_s16(t.val[0]);
    y = vreinterpretq_s8_s16(t.val[1]);
  } else if (kBytes == 4) {
    const int32x4x2_t t = vtrnq_s32(vreinterpretq_s32_s8(x), vreinterpretq_s32_s8(y));
    x = vreinterpretq_s8_s32(t.val[0]);
    y = vreinterpretq_s8_s32(t.val[1]);
  } else {
    const int8x8_t middle = vget_high_s8(x);
    x = vcombine_s8(vget_low_s8(x), vget_low_s8(y));
    y = vcombine_s8(middle, vget_high_s8(y));
  }
#endif
}

template <int kDistance, class V8>
HWY_INLINE void TransposeStep(V8 (&x)[16]) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    if ((i & kDistance) == 0) SwapElements<kDistance>(x[i].raw, x[i + kDistance].raw);
  }
}

// (TRN is faster than ZIP on the Cortex-A72, and in 32 bit does both halves at once.)
template <class D>
HWY_INLINE void Transpose16x16(D /*d*/, V<D> (&x)[16]) {
  TransposeStep<1>(x);
  TransposeStep<2>(x);
  TransposeStep<4>(x);
  TransposeStep<8>(x);
}
#else
template <class D>
HWY_INLINE void Transpose16x16(D d, V<D> (&x)[16]) {
  TransposeRound(d, x);
  TransposeRound(d, x);
  TransposeRound(d, x);
  TransposeRound(d, x);
}
#endif

constexpr int kBlocks = HWY_MAX_BYTES / 16;  // of 128 bits in a vector
constexpr int kLanes16 = HWY_MAX_BYTES / 2;
constexpr int kLanes32 = HWY_MAX_BYTES / 4;

// Which pixel of 2 * kLanes16 is byte `i` of block `block`, so that interleaving the bytes of a
// vector with anything gives int16 vectors of consecutive pixels (and packing two such gives it
// back).
constexpr int PixelOf(int block, int i) { return (i < 8 ? 0 : kLanes16) + 8 * block + i % 8; }

// Block b from from[b].
template <class D>
HWY_INLINE V<D> LoadBlocks(D d, const hn::TFromD<D>* const (&from)[kBlocks]) {
  const hn::FixedTag<hn::TFromD<D>, 16 / sizeof(hn::TFromD<D>)> d1;
#if HWY_MAX_BYTES == 16
  (void)d;
  return hn::LoadU(d1, from[0]);
#elif HWY_MAX_BYTES == 32
  return hn::Combine(d, hn::LoadU(d1, from[1]), hn::LoadU(d1, from[0]));
#else
  const hn::Half<D> d2;
  (void)d1;
  return hn::Combine(d, hn::Combine(d2, hn::LoadU(d1, from[3]), hn::LoadU(d1, from[2])),
                     hn::Combine(d2, hn::LoadU(d1, from[1]), hn::LoadU(d1, from[0])));
#endif
}

// Block b to to[b], where that is not null.
template <class D>
HWY_INLINE void StoreBlocks(D /*d*/, V<D> x, hn::TFromD<D>* const (&to)[kBlocks]) {
  const hn::FixedTag<hn::TFromD<D>, 16 / sizeof(hn::TFromD<D>)> d1;
#if HWY_MAX_BYTES == 16
  if (to[0] != nullptr) hn::StoreU(x, d1, to[0]);
#else
  const hn::Repartition<int32_t, D> di;
  const hn::Repartition<int32_t, decltype(d1)> di1;
  using Block = V<decltype(di1)>;
  const auto raw = hn::BitCast(di, x).raw;
  const auto store = [&](int b, __m128i block) HWY_ATTR {
    if (to[b] != nullptr) hn::StoreU(hn::BitCast(d1, Block{block}), d1, to[b]);
  };
#if HWY_MAX_BYTES == 32
  store(0, _mm256_castsi256_si128(raw));
  store(1, _mm256_extracti128_si256(raw, 1));
#else
  store(0, _mm512_castsi512_si128(raw));
  store(1, _mm512_extracti32x4_epi32(raw, 1));
  store(2, _mm512_extracti32x4_epi32(raw, 2));
  store(3, _mm512_extracti32x4_epi32(raw, 3));
#endif
#endif
}

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

void PlanesI8(const int8_t* const* pixels, int first, int lanes, int channels, int available,
              int32_t zero_point, int16_t* planes, size_t stride) {
  const hn::ScalableTag<int8_t> d8;
  const hn::ScalableTag<int16_t> d16;
  constexpr int kPixels = 2 * kLanes16;
  HWY_ALIGN int8_t copy[kPixels * 16] = {};
  for (int c = 0; c < channels; c += 16) {
    const int count = channels - c < 16 ? channels - c : 16;
    for (int lane = 0; lane < lanes; lane += kPixels) {
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
        for (int b = 0; b < kBlocks; ++b) from[b] = rows[PixelOf(b, i)];
        x[i] = LoadBlocks(d8, from);
      }
      Transpose16x16(d8, x);
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
        continue;
      }
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        if (i < count) {
          hn::Store(WidenSub<false>(x[i], zero_point), d16, out);
          if (both) hn::Store(WidenSub<true>(x[i], zero_point), d16, out + kLanes16);
          out += stride;
        }
      }
    }
  }
}

void PlanesF32(const float* const* pixels, int first, int lanes, int channels, int available,
               float* planes, size_t stride) {
  const hn::ScalableTag<float> d;
  HWY_ALIGN float copy[kLanes32 * 4] = {};
  for (int c = 0; c < channels; c += 4) {
    const int count = channels - c < 4 ? channels - c : 4;
    for (int lane = 0; lane < lanes; lane += kLanes32) {
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

// ------------------------------------------------------------------ tables

// kVectors neighbouring vectors, as one.
template <typename T, int kVectors>
struct Wide {
  static constexpr int kLanes = static_cast<int>(hn::MaxLanes(hn::ScalableTag<T>()));
  V<hn::ScalableTag<T>> v[kVectors];

  HWY_INLINE static Wide Load(const T* from) {
    Wide x;
#pragma GCC unroll 2
    for (int i = 0; i < kVectors; ++i) x.v[i] = hn::Load(hn::ScalableTag<T>(), from + i * kLanes);
    return x;
  }
  HWY_INLINE static Wide Zero() {
    Wide x;
#pragma GCC unroll 2
    for (int i = 0; i < kVectors; ++i) x.v[i] = hn::Zero(hn::ScalableTag<T>());
    return x;
  }
  HWY_INLINE void Store(T* to) const {
    if constexpr (kVectors == 2) {
      StorePair(hn::ScalableTag<T>(), v[0], v[1], to);
    } else {
      hn::Store(v[0], hn::ScalableTag<T>(), to);
    }
  }
  HWY_INLINE Wide operator+(const Wide& other) const {
    Wide x;
#pragma GCC unroll 2
    for (int i = 0; i < kVectors; ++i) x.v[i] = hn::Add(v[i], other.v[i]);
    return x;
  }
};

// Vectors that the builders take at a time: pairs share the computation of addresses.
#if TF_SIGNBIN_A64
constexpr int kBuildVectors = 2;
#else
constexpr int kBuildVectors = 1;
#endif

// Calls build(Wide<T, n>(), lane) for all lanes.
template <typename T, class Build>
HWY_INLINE void ForWideLanes(int lanes, const Build& build) {
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(hn::ScalableTag<T>()));
  int lane = 0;
  for (; lane + (kBuildVectors - 1) * kLanes < lanes; lane += kBuildVectors * kLanes) {
    build(Wide<T, kBuildVectors>(), lane);
  }
  if (kBuildVectors > 1 && lane < lanes) build(Wide<T, 1>(), lane);
}

template <typename T, int kGroup>
HWY_INLINE void BuildFullOf(const T* HWY_RESTRICT planes, size_t stride, bool zero_entry, int lanes,
                            T* HWY_RESTRICT table) {
  // Subsets of the first three channels stay in registers; every other entry is one of them plus
  // the sum of a subset of the remaining channels.
  constexpr int kLow = kGroup < 3 ? kGroup : 3;
  constexpr int kLowEntries = 1 << kLow;
  const size_t entry = static_cast<size_t>(lanes);
  ForWideLanes<T>(lanes, [&](auto wide, int lane) HWY_ATTR {
    using W = decltype(wide);
    const T* x = planes + lane;
    // Entry e begins at out + e * lanes.
    T* out = table + lane - (zero_entry ? 0 : static_cast<ptrdiff_t>(entry));
    W low[kLowEntries];
    low[0] = W::Zero();
    if (zero_entry) low[0].Store(out);
#pragma GCC unroll 3
    for (int bit = 0; bit < kLow; ++bit) {
      const W added = W::Load(x + bit * stride);
#pragma GCC unroll 4
      for (int e = 0; e < 1 << bit; ++e) {
        low[(1 << bit) + e] = e == 0 ? added : added + low[e];
        low[(1 << bit) + e].Store(out + ((1 << bit) + e) * entry);
      }
    }
#pragma GCC unroll 5
    for (int bit = 3; bit < kGroup; ++bit) {
      const W added = W::Load(x + bit * stride);
      const T* from = out;  // of entry 8 * (high - half), the subset without this channel
      T* to = out + (size_t{1} << bit) * entry;
      for (int high = 0; high < 1 << (bit - 3); ++high) {  // entries are written in eights
        const W base = high == 0 ? added : added + W::Load(from);
        base.Store(to);
        to += entry;
#pragma GCC unroll 7
        for (int e = 1; e < 8; ++e) {
          (base + low[e]).Store(to);
          to += entry;
        }
        from += 8 * entry;
      }
    }
  });
}

template <typename T>
void BuildFull(const T* planes, size_t stride, int group, bool zero_entry, int lanes, T* table) {
  switch (group) {
    case 1:
      return BuildFullOf<T, 1>(planes, stride, zero_entry, lanes, table);
    case 2:
      return BuildFullOf<T, 2>(planes, stride, zero_entry, lanes, table);
    case 3:
      return BuildFullOf<T, 3>(planes, stride, zero_entry, lanes, table);
    case 4:
      return BuildFullOf<T, 4>(planes, stride, zero_entry, lanes, table);
    case 5:
      return BuildFullOf<T, 5>(planes, stride, zero_entry, lanes, table);
    case 6:
      return BuildFullOf<T, 6>(planes, stride, zero_entry, lanes, table);
    case 7:
      return BuildFullOf<T, 7>(planes, stride, zero_entry, lanes, table);
    default:
      return BuildFullOf<T, 8>(planes, stride, zero_entry, lanes, table);
  }
}

#if HWY_TARGET != HWY_EMU128
// All subsets of at most kLimit of kGroup channels, by number of members, then as binary numbers.
// The channels stay in registers, where there are enough.
template <typename T, int kGroup, int kLimit>
HWY_INLINE void BuildFewOf(const T* HWY_RESTRICT planes, size_t stride, bool zero_entry, int lanes,
                           T* HWY_RESTRICT table) {
  static_assert(kLimit == 2 || kLimit == 3, "pairs, and triples");
  const size_t entry = static_cast<size_t>(lanes);
  ForWideLanes<T>(lanes, [&](auto wide, int lane) HWY_ATTR {
    using W = decltype(wide);
    T* out = table + lane;
    if (zero_entry) {
      W::Zero().Store(out);
      out += entry;
    }
    W x[kGroup];
#pragma GCC unroll 12
    for (int c = 0; c < kGroup; ++c) {
      x[c] = W::Load(planes + c * stride + lane);
      x[c].Store(out);
      out += entry;
    }
#pragma GCC unroll 12
    for (int high = 1; high < kGroup; ++high) {
#pragma GCC unroll 12
      for (int low = 0; low < high; ++low) {
        (x[high] + x[low]).Store(out);
        out += entry;
      }
    }
    if (kLimit == 2) return;
#pragma GCC unroll 12
    for (int high = 2; high < kGroup; ++high) {
#pragma GCC unroll 12
      for (int middle = 1; middle < high; ++middle) {
        const W pair = x[high] + x[middle];
#pragma GCC unroll 12
        for (int low = 0; low < middle; ++low) {
          (pair + x[low]).Store(out);
          out += entry;
        }
      }
    }
  });
}

template <typename T, int kGroup>
void BuildFewOf(const T* planes, size_t stride, int limit, bool zero_entry, int lanes, T* table) {
  if (limit == 2) return BuildFewOf<T, kGroup, 2>(planes, stride, zero_entry, lanes, table);
  if constexpr (kGroup > 3 && kGroup <= kMaxTripleGroup) {
    BuildFewOf<T, kGroup, 3>(planes, stride, zero_entry, lanes, table);
  }
}

template <typename T>
void BuildFew(const T* planes, size_t stride, int group, int limit, bool zero_entry, int lanes,
              T* table) {
  using Build = void (*)(const T*, size_t, int, bool, int, T*);
  static constexpr Build kBuilds[] = {&BuildFewOf<T, 3>, &BuildFewOf<T, 4>,  &BuildFewOf<T, 5>,
                                      &BuildFewOf<T, 6>, &BuildFewOf<T, 7>,  &BuildFewOf<T, 8>,
                                      &BuildFewOf<T, 9>, &BuildFewOf<T, 10>, &BuildFewOf<T, 11>,
                                      &BuildFewOf<T, 12>};
  static_assert(sizeof(kBuilds) / sizeof(kBuilds[0]) == kMaxPairGroup - 2, "3 to kMaxPairGroup");
  kBuilds[group - 3](planes, stride, limit, zero_entry, lanes, table);
}
#endif

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

void BuildListI16(const int16_t* planes, size_t stride, int entries, const int16_t* parent,
                  const int16_t* channel, int lanes, int16_t* table) {
  BuildList(planes, stride, entries, parent, channel, lanes, table);
}
void BuildListF32(const float* planes, size_t stride, int entries, const int16_t* parent,
                  const int16_t* channel, int lanes, float* table) {
  BuildList(planes, stride, entries, parent, channel, lanes, table);
}

// ------------------------------------------------------------------ sums

// The int32 products of an int16 vector come as two vectors in "split order": on x86 the even
// lanes, then the odd ones (one multiplication that widens gives either); elsewhere the lower half,
// then the upper. Totals and boxes are kept in that order.
using I32 = hn::ScalableTag<int32_t>;
struct Split {
  V<I32> first, second;
};

HWY_INLINE Split SplitLoad(I32 d32, const int32_t* from) {
  return {hn::Load(d32, from), hn::Load(d32, from + kLanes32)};
}

HWY_INLINE void SplitStore(I32 d32, Split x, int32_t* to) {
  hn::Store(x.first, d32, to);
  hn::Store(x.second, d32, to + kLanes32);
}

// x * factor, |factor| < 32768.
template <class V16>
HWY_INLINE Split WidenMul(I32 d32, V16 x, int32_t factor) {
#if HWY_TARGET == HWY_AVX2
  (void)d32;
  return {V<I32>{_mm256_madd_epi16(x.raw, _mm256_set1_epi32(factor & 0xffff))},
          V<I32>{_mm256_madd_epi16(x.raw, _mm256_set1_epi32(factor * 65536))}};
#elif HWY_TARGET == HWY_AVX3
  (void)d32;
  return {V<I32>{_mm512_madd_epi16(x.raw, _mm512_set1_epi32(factor & 0xffff))},
          V<I32>{_mm512_madd_epi16(x.raw, _mm512_set1_epi32(factor * 65536))}};
#elif HWY_TARGET == HWY_NEON
  (void)d32;
  const int16x8_t f = vdupq_n_s16(static_cast<int16_t>(factor));
  const int32x4_t low = vmull_s16(vget_low_s16(x.raw), vget_low_s16(f));
#if TF_SIGNBIN_A64
  return {V<I32>(low), V<I32>(vmull_high_s16(x.raw, f))};
#else
  return {V<I32>(low), V<I32>(vmull_s16(vget_high_s16(x.raw), vget_high_s16(f)))};
#endif
#else
  const hn::Rebind<int16_t, I32> d16h;
  const auto f = hn::Set(d32, factor);
  return {hn::Mul(hn::PromoteTo(d32, hn::LowerHalf(d16h, x)), f),
          hn::Mul(hn::PromoteTo(d32, hn::UpperHalf(d16h, x)), f)};
#endif
}

// Two vectors of consecutive lanes in split order.
HWY_INLINE Split ToSplit(I32 d32, V<I32> low, V<I32> high) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return {hn::ConcatEven(d32, high, low), hn::ConcatOdd(d32, high, low)};
#else
  (void)d32;
  return {low, high};
#endif
}

// Back to consecutive int16 lanes; every value fits.
HWY_INLINE auto Join(I32 /*d32*/, Split x) {
  const hn::Repartition<int16_t, I32> d16;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return hn::OddEven(hn::BitCast(d16, hn::ShiftLeft<16>(x.second)), hn::BitCast(d16, x.first));
#else
  const hn::Rebind<int16_t, I32> d16h;
  return hn::Combine(d16, hn::DemoteTo(d16h, x.second), hn::DemoteTo(d16h, x.first));
#endif
}

void SpillI16(const int16_t* HWY_RESTRICT acc16, int16_t center, int32_t scale, int32_t background,
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
  const hn::Rebind<int16_t, decltype(d32)> d16;
  for (int lane = 0; lane < lanes; lane += static_cast<int>(hn::MaxLanes(d32))) {
    auto x = accumulate ? hn::Load(d32, sum + lane) : hn::Zero(d32);
    for (int c = 0; c < channels; ++c) {
      x = hn::Add(x, hn::PromoteTo(d32, hn::Load(d16, planes + c * stride + lane)));
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

template <class D>
HWY_INLINE V<D> WindowSum(D d, const hn::TFromD<D>* HWY_RESTRICT sum,
                          const int* HWY_RESTRICT offsets, int taps, int lane) {
  auto x = hn::Zero(d);
  for (int tap = 0; tap < taps; ++tap) x = hn::Add(x, hn::LoadU(d, sum + offsets[tap] + lane));
  return x;
}

void WindowSumI32(const int32_t* sum, const int* offsets, int taps, int lanes, int32_t* box) {
  const hn::ScalableTag<int32_t> d;
  for (int lane = 0; lane < lanes; lane += kLanes16) {
    SplitStore(d,
               ToSplit(d, WindowSum(d, sum, offsets, taps, lane),
                       WindowSum(d, sum, offsets, taps, lane + kLanes32)),
               box + lane);
  }
}
void WindowSumF32(const float* sum, const int* offsets, int taps, int lanes, float* box) {
  const hn::ScalableTag<float> d;
  for (int lane = 0; lane < lanes; lane += kLanes32) {
    hn::Store(WindowSum(d, sum, offsets, taps, lane), d, box + lane);
  }
}

// ------------------------------------------------------------------ output

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
HWY_INLINE V<D32> RequantizeSlow(D32 d32, V<D32> x, const OutputArgsI8& args, int filter) {
  const OutputParamsI8& p = args.params[filter];
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
// want OutputArgsI8::fast and, without `kExactNegative`, that no result below the zero point
// survives.
struct SlowRule {
  const OutputArgsI8& args;
  int filter;

  HWY_INLINE SlowRule(const OutputArgsI8& a, int f) : args(a), filter(f) {}

  HWY_INLINE auto operator()(Split x) const {
    const I32 d32;
    x.first = RequantizeSlow(d32, x.first, args, filter);
    x.second = RequantizeSlow(d32, x.second, args, filter);
    return Join(d32, x);
  }
};

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3

// Both roundings in one 64-bit sum. With t = x * multiplier + 2^30, the reference rule is
// floor((floor(t / 2^31) + 2^(shift-1) - (t < 0)) / 2^shift), which is
// floor((t + 2^31 * (2^(shift-1) - (t < 0))) / 2^(31+shift)): nested floors of powers of two merge.
// `offset` holds what is added to x * multiplier: bias, rounding and zero point; the (t < 0) only
// decides ties below zero, which a clamp at the output's zero point removes.
template <bool kExactNegative>
struct FastRule {
  using U64 = hn::Repartition<uint64_t, I32>;
  using I64 = hn::Repartition<int64_t, I32>;
  V<I32> multiplier;
  V<I64> offset, second;
  V<U64> down0, down16, down32, up48;

  HWY_INLINE FastRule(const OutputArgsI8& args, int filter) {
    const OutputParamsI8& p = args.params[filter];
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

  HWY_INLINE FastRule(const OutputArgsI8& args, int filter)
      : bias(vdupq_n_s32(args.params[filter].bias)),
        multiplier(vdupq_n_s32(args.params[filter].multiplier)),
        shift(vdupq_n_s32(-args.params[filter].right_shift)),
        zero_point(vdupq_n_s16(static_cast<int16_t>(args.zero_point))) {}

  HWY_INLINE int32x4_t Scale(int32x4_t x) const {
    x = vqrdmulhq_s32(vaddq_s32(x, bias), multiplier);
    // A rounding shift rounds halves up; below zero they must go down.
    if (kExactNegative) x = vqaddq_s32(x, vshrq_n_s32(vandq_s32(x, shift), 31));
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
HWY_INLINE void StorePixels(const OutputArgsI8& args, const int8_t* block, size_t stride, int lane,
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

template <class Rule, bool kSpilled, bool kBox>
HWY_INLINE void OutputI8Loop(const OutputArgsI8& args) {
  const hn::ScalableTag<int16_t> d16;
  const hn::ScalableTag<int8_t> d8;
  constexpr int kPixels = 2 * kLanes16;
  constexpr size_t kStride = (kMaxVectors + 2) * kLanes16;  // whole vectors of bytes
  const int lanes = args.lanes, filters = args.filters;
  HWY_ALIGN int8_t block[16 * kStride];  // filters x pixels
  for (int first = 0; first < filters; first += 16) {
    const int count = filters - first < 16 ? filters - first : 16;
    for (int i = 0; i < count; ++i) {
      const OutputParamsI8& p = args.params[first + i];
      const Rule rule(args, first + i);
      const size_t row = static_cast<size_t>(first + i) * lanes;
      const Sums sums{kSpilled ? nullptr : args.acc16 + row,
                      kSpilled ? args.acc32 + row : nullptr,
                      args.box,
                      p.scale,
                      p.background,
                      p.center};
      int8_t* HWY_RESTRICT to = block + i * kStride;
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
    for (int i = count; i < 16; ++i) {  // rows that are transposed, but not stored
      for (int lane = 0; lane < lanes; lane += kPixels) {
        hn::Store(hn::Zero(d8), d8, block + i * kStride + lane);
      }
    }
    for (int lane = 0; lane < lanes; lane += kPixels) {
      StorePixels(args, block, kStride, lane, first, count);
    }
  }
}

template <class Rule>
HWY_INLINE void OutputI8BySums(const OutputArgsI8& args) {
  if (args.acc32 != nullptr) {
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

void OutputI8(const OutputArgsI8& args) {
  if (!args.fast) {
    OutputI8BySums<SlowRule>(args);
  } else if (args.exact_negative) {
    OutputI8BySums<FastRule<true>>(args);
  } else {
    OutputI8BySums<FastRule<false>>(args);
  }
}

void OutputF32(const OutputArgsF32& args) {
  const hn::ScalableTag<float> d;
  const int lanes = args.lanes;
  const auto low = hn::Set(d, args.clamp_min), high = hn::Set(d, args.clamp_max);
  for (int first = 0; first < args.filters; first += 4) {
    const int count = args.filters - first < 4 ? args.filters - first : 4;
    for (int lane = 0; lane < lanes; lane += kLanes32) {
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
  if constexpr (kVectors <= TF_SIGNBIN_MAX_VECTORS) return &Lookup<T, kVectors>;
  return nullptr;
}
// LookupOf<T, 1>() to LookupOf<T, kMaxVectors>() behind an unused first element.
#define TF_SIGNBIN_L4(T, n) \
  LookupOf<T, n>(), LookupOf<T, n + 1>(), LookupOf<T, n + 2>(), LookupOf<T, n + 3>()
#define TF_SIGNBIN_LOOKUPS(T)                                                                     \
  {                                                                                               \
    nullptr, TF_SIGNBIN_L4(T, 1), TF_SIGNBIN_L4(T, 5), TF_SIGNBIN_L4(T, 9), TF_SIGNBIN_L4(T, 13), \
        TF_SIGNBIN_L4(T, 17), TF_SIGNBIN_L4(T, 21)                                                \
  }
static_assert(kMaxVectors == 24, "the list above");

constexpr TableOps MakeTableOps(Isa isa) {
  return {
    isa, HWY_MAX_BYTES, TF_SIGNBIN_MAX_VECTORS, EntryStream::kMultiple, &PlanesI8, &PlanesF32,
        &BuildFull<int16_t>, &BuildFull<float>,
#if HWY_TARGET == HWY_EMU128  // no registers to keep channels in
        nullptr, nullptr,
#else
        &BuildFew<int16_t>, &BuildFew<float>,
#endif
        &BuildListI16, &BuildListF32, TF_SIGNBIN_LOOKUPS(int16_t), TF_SIGNBIN_LOOKUPS(float),
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
        kLanes16,
#else
        0,
#endif
        &SpillI16, &SpillF32, &ChannelSumI16, &ChannelSumF32, &WindowSumI32, &WindowSumF32,
        &OutputI8, &OutputF32
  };
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace table
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

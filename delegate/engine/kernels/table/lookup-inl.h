// The look-up: each filter's accumulators, from the table entries that its list of offsets names.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_LOOKUP_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_LOOKUP_INL_H_

#include "engine/kernels/simd/vectors-inl.h"
#include "engine/kernels/table/table_ops.h"

HWY_BEFORE_NAMESPACE();
namespace tf_signbin {
namespace table {
namespace {

using namespace simd;

// Lanes 1.. of `low`, then lane 0 of `high`.
template <class D>
HWY_INLINE V<D> ShiftDownOneLane(D d, V<D> high, V<D> low) {
  constexpr int kBytes = sizeof(hn::TFromD<D>);
#if HWY_TARGET == HWY_AVX2
  const hn::Repartition<int32_t, D> di;
  const __m256i lo = hn::BitCast(di, low).raw, hi = hn::BitCast(di, high).raw;
  const __m256i middle = _mm256_permute2x128_si256(lo, hi, 0x21);
  return hn::BitCast(d, V<decltype(di)>{_mm256_alignr_epi8(middle, lo, kBytes)});
#elif HWY_TARGET == HWY_AVX3
  const hn::Repartition<int32_t, D> di;
  const __m512i lo = hn::BitCast(di, low).raw, hi = hn::BitCast(di, high).raw;
  const __m512i middle = _mm512_alignr_epi32(hi, lo, 4);
  return hn::BitCast(d, V<decltype(di)>{_mm512_alignr_epi8(middle, lo, kBytes)});
#else
  static_assert(HWY_MAX_BYTES == 16, "a vector is one block");
  return hn::CombineShiftRightBytes<kBytes>(d, high, low);
#endif
}

// Starts a filter's sums with one entry.
template <int kVectors, class D>
HWY_INLINE void LoadEntry(D d, const hn::TFromD<D>* entry, V<D> (&sum)[kVectors]) {
#pragma GCC unroll 24
  for (int v = 0; v < kVectors; ++v) sum[v] = hn::Load(d, entry + v * hn::MaxLanes(d));
}

// sum[v] += (-=) vector v of an entry.
template <bool kSubtract, int kVectors, class D>
HWY_INLINE void AddEntry(D d, const hn::TFromD<D>* entry, V<D> (&sum)[kVectors]) {
  int v = 0;
#if HWY_TARGET == HWY_NEON && !TF_SIGNBIN_A64
  const auto* from = reinterpret_cast<const uint8_t*>(entry);
#pragma GCC unroll 24
  for (; v + 1 < kVectors; v += 2) {
    const uint8x16x2_t pair = LoadPair(from);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const auto x = hn::BitCast(d, V<hn::ScalableTag<uint8_t>>(pair.val[i]));
      sum[v + i] = kSubtract ? hn::Sub(sum[v + i], x) : hn::Add(sum[v + i], x);
    }
  }
  entry = reinterpret_cast<const hn::TFromD<D>*>(from) - v * hn::MaxLanes(d);
#endif
#pragma GCC unroll 24
  for (; v < kVectors; ++v) {
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
  static constexpr int kMultiple = 2;  // ElementOps::list_multiple

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
    LoadEntry(d, At<D, kVectors>(0), sum);
    ++stream_;
  }

  template <bool kSubtract, int kVectors, class D>
  HWY_INLINE void Add(D d, int length, V<D> (&sum)[kVectors]) {
    const uint16_t* const end = stream_ + length;
    // With few vectors the loop itself would cost as much as the additions.
    for (; stream_ + 1 < end; stream_ += 2) {
      const auto* entry0 = At<D, kVectors>(0);
      const auto* entry1 = At<D, kVectors>(1);
      AddEntry<kSubtract>(d, entry0, sum);
      AddEntry<kSubtract>(d, entry1, sum);
    }
    if (stream_ != end) {
      AddEntry<kSubtract>(d, At<D, kVectors>(0), sum);
      ++stream_;
    }
  }

 private:
  // An address is kept in one register: on Arm since its loads add nothing to one, on x86 since
  // Intel's cores split an addition that does. (There the compiler also adds up two entries first
  // if it may. With hardly any vectors that is faster, as fewer additions wait for one another.)
  template <class D, int kVectors>
  HWY_INLINE const hn::TFromD<D>* At(int index) const {
    const char* entry = table_ + stream_[index] * kOffsetUnit;
    if (HWY_TARGET == HWY_NEON || kVectors > 2) asm("" : "+r"(entry));
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

}  // namespace
}  // namespace table
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_LOOKUP_INL_H_

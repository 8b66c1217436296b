// Tables of the sums of channel subsets, from the channels' planes.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_BUILD_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_BUILD_INL_H_

#include "engine/kernels/simd/vectors-inl.h"
#include "engine/kernels/table/table_ops.h"

HWY_BEFORE_NAMESPACE();
namespace tf_signbin {
namespace table {
namespace {

using namespace simd;

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

// Vectors that the builders take at a time. Pairs share the computation of addresses on Arm, and a
// cache line that is written at once with AVX2. (A vector of AVX-512 is a line.)
#if TF_SIGNBIN_A64 || HWY_TARGET == HWY_AVX2
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
void BuildList(const T* HWY_RESTRICT planes, size_t stride, int entries,
               const int16_t* HWY_RESTRICT parent, const int16_t* HWY_RESTRICT channel, int lanes,
               T* table) {
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

}  // namespace
}  // namespace table
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_BUILD_INL_H_

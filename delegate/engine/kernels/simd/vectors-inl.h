// What files in Google Highway share. Each is compiled once per instruction set, with static
// dispatch and that instruction set's flags.
//
// Everything is in unnamed namespaces and nothing of the C++ library is used, so that no function
// compiled for a newer instruction set can end up in another file: the same holds for all files
// named *-inl.h of this folder and of those that use it.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_SIMD_VECTORS_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_SIMD_VECTORS_INL_H_

#ifndef HWY_COMPILE_ONLY_EMU128
#define HWY_COMPILE_ONLY_STATIC
#endif
// Keeps Highway from adding target attributes of its own (+crypto) to what the file's flags say.
#define TOOLCHAIN_MISS_SYS_AUXV_H
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

// NEON in 64 bit, where instructions exist that 32 bit does without.
#define TF_SIGNBIN_A64 (HWY_TARGET == HWY_NEON && HWY_ARCH_ARM_A64)

HWY_BEFORE_NAMESPACE();
namespace tf_signbin {
namespace simd {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
using V = hn::Vec<D>;

constexpr int kBlocks = HWY_MAX_BYTES / 16;  // of 128 bits in a vector
constexpr int kLanes16 = HWY_MAX_BYTES / 2;
constexpr int kLanes32 = HWY_MAX_BYTES / 4;

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

#if HWY_TARGET == HWY_NEON && !TF_SIGNBIN_A64
// 32 bytes at any address by one load, which steps behind them: NEON in 32 bit has no addresses
// with offsets, and compilers compute each.
HWY_INLINE uint8x16x2_t LoadPair(const uint8_t*& from) {
  uint8x16x2_t x;
  asm volatile("vld1.8 %h0, [%1]!" : "=w"(x), "+r"(from) : : "memory");
  return x;
}
#endif

}  // namespace
}  // namespace simd
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

#endif  // TF_SIGNBIN_ENGINE_KERNELS_SIMD_VECTORS_INL_H_

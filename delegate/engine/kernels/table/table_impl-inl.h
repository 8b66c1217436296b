// The vector work of the memory-table family in Google Highway: each table_<isa>.cc includes this
// file and exports one TableOps.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_TABLE_IMPL_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_TABLE_IMPL_INL_H_

#include "engine/kernels/simd/vectors-inl.h"
#include "engine/kernels/table/build-inl.h"
#include "engine/kernels/table/byte_lookup-inl.h"
#include "engine/kernels/table/lookup-inl.h"
#include "engine/kernels/table/planes-inl.h"
#include "engine/kernels/table/sums-inl.h"
#include "engine/kernels/table/table_ops.h"

HWY_BEFORE_NAMESPACE();
namespace tf_signbin {
namespace table {
namespace {

using namespace simd;

// Vectors of a tile: as many as leave a few registers free.
#if HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kTileVectors = 24;
#else
constexpr int kTileVectors = 12;
#endif

template <typename Element, int kVectors>
constexpr auto LookupOf() {
  if constexpr (sizeof(Element) == 1) {
    return &ByteLookup<kVectors>;
  } else {
    return &Lookup<Element, kVectors>;
  }
}

// lookup[1] to lookup[kVectors].
template <int kVectors, typename Element>
constexpr void SetLookups(ElementOps<Element>* ops) {
  ops->lookup[kVectors] = LookupOf<Element, kVectors>();
  if constexpr (kVectors > 1) SetLookups<kVectors - 1>(ops);
}

template <typename Element>
constexpr ElementOps<Element> MakeElementOps() {
  constexpr bool kBytes = sizeof(Element) == 1;
  constexpr int kVectors = kBytes ? kTileVectors / 2 : kTileVectors;  // bytes have two sums each
  ElementOps<Element> ops{};
  ops.max_vectors = kVectors;
  ops.list_multiple = kBytes ? 1 : EntryStream::kMultiple;
  ops.max_byte_sums = !kBytes ? 0 : TF_SIGNBIN_A64 ? kManyByteSums : kFewByteSums;
  ops.split_accumulators = kBytes ? kSplitByteSums : 0;
  ops.planes = &Planes;
  ops.build_full = &BuildFull<Element>;
#if HWY_TARGET != HWY_EMU128  // which has no registers to keep channels in
  ops.build_few = &BuildFew<Element>;
#endif
  ops.build_list = &BuildList<Element>;
  SetLookups<kVectors>(&ops);
  ops.spill = &Spill;
  ops.channel_sum = &ChannelSum;
  if constexpr (kBytes) {
    ops.window_sum = &WindowSumOfBytes;
  } else {
    ops.window_sum = &WindowSum;
  }
  return ops;
}

constexpr TableOps MakeTableOps(Isa isa) {
  TableOps ops{};
  ops.isa = isa;
  ops.vector_bytes = HWY_MAX_BYTES;
  ops.i16 = MakeElementOps<int16_t>();
#if HWY_TARGET != HWY_EMU128  // which would gain nothing
  ops.u8 = MakeElementOps<uint8_t>();
#endif
  ops.f32 = MakeElementOps<float>();
  return ops;
}

}  // namespace
}  // namespace table
}  // namespace tf_signbin
HWY_AFTER_NAMESPACE();

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_TABLE_IMPL_INL_H_

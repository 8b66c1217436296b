// The memory-table kernels for AVX-512 (F, BW, DQ, VL).
#include "engine/kernels/table/table_impl-inl.h"

static_assert(HWY_TARGET == HWY_AVX3, "compile this file for AVX-512 F, BW, DQ, VL, CD");

namespace tf_signbin {
namespace table {

const TableOps kTableOpsAvx512 = MakeTableOps(Isa::kAvx512);

}  // namespace table
}  // namespace tf_signbin

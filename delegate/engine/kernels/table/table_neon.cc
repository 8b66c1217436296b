// The memory-table kernels for NEON, 32 and 64 bit.
#include "engine/kernels/table/table_impl-inl.h"

static_assert(HWY_TARGET == HWY_NEON, "compile this file for NEON");

namespace tf_signbin {
namespace table {

const TableOps kTableOpsNeon = MakeTableOps(Isa::kNeon);
// The same code: products of int8 have no use here. The cost model tells the cores apart.
const TableOps kTableOpsNeonDot = MakeTableOps(Isa::kNeonDot);
const TableOps kTableOpsNeonI8mm = MakeTableOps(Isa::kNeonI8mm);

}  // namespace table
}  // namespace tf_signbin

// The memory-table kernels for AVX2.
#include "engine/kernels/table/table_impl-inl.h"

static_assert(HWY_TARGET == HWY_AVX2, "compile this file for AVX2, FMA, BMI2, F16C");

namespace tf_signbin {
namespace table {

const TableOps kTableOpsAvx2 = MakeTableOps(Isa::kAvx2);

}  // namespace table
}  // namespace tf_signbin

// The memory-table kernels in plain C++, for every processor.

// Highway keeps its 128-bit emulation away from GCC before 12.3, whose vectorizer miscompiles
// 16-bit high multiplications (GCC bug 106322). None is used here, and the tests compare every
// result.
#define HWY_BROKEN_EMU128 0
#define HWY_COMPILE_ONLY_EMU128
#include "engine/kernels/table/table_impl-inl.h"

static_assert(HWY_TARGET == HWY_EMU128, "plain C++ is wanted here");

namespace tf_signbin {
namespace table {

const TableOps kTableOpsPortable = MakeTableOps(Isa::kPortable);

}  // namespace table
}  // namespace tf_signbin

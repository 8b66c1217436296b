// What the memory-table kernels' work costs: a unit of each kind, on each instruction set.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_TABLE_COSTS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_TABLE_COSTS_H_

#include "engine/target.h"

namespace tf_signbin {
namespace table {

// How often each thing is done in one Run; "vector" is one of the instruction set's.
struct Work {
  double loads = 0;          // vectors of a table added to an accumulator, or to other bytes
  double misses = 0;         // vectors of a table read or written outside of near caches
  double offsets = 0;        // decoded
  double passes = 0;         // of a filter over a chunk of tables
  double accumulates = 0;    // vectors of accumulators stored (and loaded)
  double shifts = 0;         // vectors shifted by one lane
  double branch_misses = 0;  // ends of loops whose length varies
  double stores = 0;         // vectors of a table built
  double elements_in = 0;    // channels of pixels brought into planes
  double elements_out = 0;   // accumulators turned into output elements
  double widenings = 0;      // vectors of bytes widened and added to accumulators
  double summed_in = 0;      // elements_in that are summed over channels, for backgrounds
  double backgrounds = 0;    // elements_out to which one is added
};

enum class TableElements { kBytes, kInt16, kFloat };

struct UnitCosts {
  Work ns;              // of one of each
  double core_factor;   // how much longer it takes on this core than on the one it was measured on
  double run_ns;        // of a Run, whatever its work: what shows in layers of few microseconds
  double level1_bytes;  // of tables, that the first-level cache holds beside all else
  double near_bytes;    // as many or more, beyond which it costs something

  double Of(const Work& work) const;  // nanoseconds on one thread
};

UnitCosts UnitCostsOf(Isa isa, TableElements elements, const Target& target);

}  // namespace table
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_TABLE_COSTS_H_

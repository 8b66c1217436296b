// The kernel families the planner chooses from. Each family lives in its own folder under kernels/
// and is seen by the rest of the engine only through this table.
#ifndef TF_SIGNBIN_ENGINE_FAMILIES_H_
#define TF_SIGNBIN_ENGINE_FAMILIES_H_

#include <memory>
#include <vector>

#include "engine/conv.h"
#include "engine/cpu.h"
#include "engine/kernel.h"

namespace tf_signbin {

struct KernelFamily {
  const char* name;  // PlanOptions::family
  // Whether the family can run the problem with this ISA's kernels (and this group, if not 0).
  bool (*supports)(const ConvProblem& problem, Isa isa, const PlanOptions& options);
  // Predicted time of one Run on one thread, in nanoseconds, from the family's cost model.
  double (*cost_ns)(const ConvProblem& problem, Isa isa, const PlanOptions& options);
  // Never null when `supports` said yes, except when memory runs out.
  std::unique_ptr<ConvKernel> (*make)(const ConvProblem& problem, Isa isa,
                                      const PlanOptions& options, int threads);
  // Whether the family's kernels honour OutputStage::real_multiplier.
  bool real_multipliers = false;
};

// Plain C++ straight from the definition; every ISA, every problem, slow.
extern const KernelFamily kReferenceFamily;
// Look-up tables in memory, output pixels in lanes: AVX2, AVX-512, NEON, portable.
extern const KernelFamily kTableFamily;
// Look-up tables in registers, filters in lanes: AVX-512BW (x86 builds only).
extern const KernelFamily kPermuteFamily;
// Unpacked int8 weights, or dense ones, and dot products, filters in lanes: AVX-512 VNNI (x86
// builds only).
extern const KernelFamily kDenseFamily;
// The same as im2col and matrix products: AVX2; NEON, with dot products where the core has them.
extern const KernelFamily kGemmFamily;

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_FAMILIES_H_

// The interface between the planner and a kernel family.
#ifndef TF_SIGNBIN_ENGINE_KERNEL_H_
#define TF_SIGNBIN_ENGINE_KERNEL_H_

#include <cstddef>
#include <memory>
#include <string>

#include "engine/target.h"
#include "engine/thread_pool.h"
#include "engine/types.h"

namespace tf_signbin {

// One layer at one input shape, and the processor that will run it. `filters` and `output` outlive
// the kernel.
struct ConvProblem {
  DataType type = DataType::kFloat32;
  ConvShape shape;
  const PackedFilters* filters = nullptr;
  const OutputStage* output = nullptr;
  Target target = HostTarget();
  // int8: inputs lie between the zero point and 127, as a ReLU leaves them. Who sets this keeps
  // other inputs away from the kernel.
  bool nonnegative = false;

  // The range of an input of int8, zero point removed.
  int least_input() const { return nonnegative ? 0 : -128 - output->input_zero_point; }
  int most_input() const { return 127 - output->input_zero_point; }
};

// Nanoseconds spent in each stage of the last Run, summed over threads; only measured when
// profiling.
struct StageTimes {
  double tables_ns = 0, lookup_ns = 0, output_ns = 0;

  StageTimes& operator+=(const StageTimes& other) {
    tables_ns += other.tables_ns;
    lookup_ns += other.lookup_ns;
    output_ns += other.output_ns;
    return *this;
  }
};

// Of a kernel's workspaces, of which each thread has one, with its `times`.
template <typename Workspaces>
void ResetTimes(Workspaces* workspaces) {
  for (auto& workspace : *workspaces) workspace.times = StageTimes();
}
template <typename Workspaces>
StageTimes SumOfTimes(const Workspaces& workspaces) {
  StageTimes sum;
  for (const auto& workspace : workspaces) sum += workspace.times;
  return sum;
}

// A prepared convolution: weights re-ordered for one family, ISA and shape. Run may be called from
// one thread at a time; it spreads its work over the pool itself.
class ConvKernel {
 public:
  virtual ~ConvKernel() = default;
  virtual void Run(const void* input, void* output, ThreadPool& pool) = 0;
  // For example "permute_avx512bw_i8_m6_p8f2".
  virtual std::string name() const = 0;
  virtual size_t prepared_weight_bytes() const = 0;
  // Working memory for `threads` threads, tables and accumulators included.
  virtual size_t workspace_bytes(int threads) const = 0;
  virtual StageTimes stage_times() const { return {}; }
  // Whether it makes use of ConvProblem::nonnegative, and other inputs would give wrong outputs.
  virtual bool needs_nonnegative() const { return false; }
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNEL_H_

// The engine's public entry point: plan, prepare and run one signed-binary convolution.
#ifndef TF_SIGNBIN_ENGINE_CONV_H_
#define TF_SIGNBIN_ENGINE_CONV_H_

#include <memory>
#include <string>
#include <vector>

#include "engine/kernel.h"
#include "engine/thread_pool.h"
#include "engine/types.h"

namespace tf_signbin {

// Overrides of the planner's choice, for tests, benchmarks and users who measured better.
struct PlanOptions {
  std::string isa = "auto";     // auto, or a name of SupportedIsas()
  std::string family = "auto";  // auto, reference, permute, table, dense, gemm
  int group = 0;                // input channels a lookup covers; 0: planned
  bool profile = false;         // measure StageTimes
};

// Names of the instruction sets this build has kernels for and this CPU can run, best first;
// always ends with "portable".
const std::vector<std::string>& SupportedIsas();

class Conv2D {
 public:
  // Checks every size and index of an untrusted model. On failure returns null and fills `status`.
  static std::unique_ptr<Conv2D> Create(DataType type, PackedFilters filters, OutputStage output,
                                        const PlanOptions& options, Status* status);
  // Plans and prepares for a shape; cheap when the shape did not change. `threads` is the most that
  // a pool passed to Run may have. A batch of 0 is allowed: Run then does nothing.
  Status Resize(const ConvShape& shape, int threads);
  // input: [batch, in_h, in_w, in_c], output: [batch, out_h, out_w, out_c], not overlapping.
  Status Run(const void* input, void* output, ThreadPool& pool);

  const ConvKernel* kernel() const { return kernel_.get(); }

 private:
  Conv2D() = default;
  ConvProblem Problem(bool nonnegative) const;
  Status RunKernel(const void* input, void* output, ThreadPool& pool);
  DataType type_ = DataType::kFloat32;
  PackedFilters filters_;
  OutputStage output_;
  PlanOptions options_;
  ConvShape shape_;
  int threads_ = 0;
  std::unique_ptr<ConvKernel> kernel_;
  std::unique_ptr<ConvKernel> any_input_;  // instead of a kernel_ that needs inputs of few bits
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_CONV_H_

// The engine's public entry point: plan, prepare and run one signed-binary convolution.
#ifndef TF_SIGNBIN_ENGINE_CONV_H_
#define TF_SIGNBIN_ENGINE_CONV_H_

#include <memory>

#include "engine/kernel.h"
#include "engine/plan_options.h"
#include "engine/target.h"
#include "engine/thread_pool.h"
#include "engine/types.h"

namespace tf_signbin {

class Conv2D {
 public:
  // Checks every size and index of an untrusted model. On failure returns null and fills `status`.
  // `target` is planned for; running takes its instruction sets.
  static std::unique_ptr<Conv2D> Create(DataType type, PackedFilters filters, OutputStage output,
                                        const PlanOptions& options, Status* status,
                                        const Target& target = HostTarget());
  // Plans and prepares for a shape; cheap when the shape did not change. `threads` is the most that
  // a pool passed to Run may have. `profile`: the kernel measures StageTimes. A batch of 0 is
  // allowed: Run then does nothing.
  Status Resize(const ConvShape& shape, int threads, bool profile = false);
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
  Target target_;
  ConvShape shape_;
  int threads_ = 0;
  bool profile_ = false;
  std::unique_ptr<ConvKernel> kernel_;
  std::unique_ptr<ConvKernel> any_input_;  // instead of a kernel_ that needs inputs of few bits
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_CONV_H_

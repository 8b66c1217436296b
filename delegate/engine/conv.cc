#include "engine/conv.h"

#include <algorithm>
#include <exception>
#include <new>
#include <tuple>

#include "engine/cpu.h"
#include "engine/planner.h"
#include "engine/validate.h"

namespace tf_signbin {
namespace {

bool SameShape(const ConvShape& a, const ConvShape& b) {
  const auto key = [](const ConvShape& s) {
    return std::tie(s.batch, s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.out_c, s.kernel_h,
                    s.kernel_w, s.stride_h, s.stride_w, s.dilation_h, s.dilation_w, s.pad_top,
                    s.pad_left);
  };
  return key(a) == key(b);
}

Status Failure(const std::exception& error) {
  const bool memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
  return Status::Error(memory ? "out of memory" : error.what());
}

}  // namespace

const std::vector<std::string>& SupportedIsas() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Isa isa : SupportedIsaList()) list.push_back(IsaName(isa));
    return list;
  }();
  return names;
}

std::unique_ptr<Conv2D> Conv2D::Create(DataType type, PackedFilters filters, OutputStage output,
                                       const PlanOptions& options, Status* status) {
  try {
    *status = CheckPlanOptions(options);
    if (status->ok()) *status = CheckFilters(type, filters);
    if (status->ok()) *status = CheckOutputStage(type, filters, output);
    if (!status->ok()) return nullptr;
    std::unique_ptr<Conv2D> conv(new Conv2D());
    conv->type_ = type;
    conv->filters_ = std::move(filters);
    conv->output_ = std::move(output);
    conv->options_ = options;
    return conv;
  } catch (const std::exception& error) {
    *status = Failure(error);
    return nullptr;
  }
}

Status Conv2D::Resize(const ConvShape& shape, int threads) {
  if (kernel_ != nullptr && threads == threads_ && SameShape(shape, shape_)) return Status::Ok();
  kernel_.reset();  // a layer that could not be prepared must not run with its old kernel
  try {
    Status status = CheckShape(filters_, shape);
    if (!status.ok()) return status;
    shape_ = shape;
    threads_ = threads;
    ConvProblem problem{type_, shape, &filters_, &output_};
    problem.shape.batch = std::max(shape.batch, 1);  // kernels need not know of empty batches
    kernel_ = PlanKernel(problem, options_, threads, &status);
    return status;
  } catch (const std::exception& error) {
    return Failure(error);
  }
}

Status Conv2D::Run(const void* input, void* output, ThreadPool& pool) {
  if (kernel_ == nullptr) return Status::Error("the layer was not prepared");
  if (shape_.batch == 0) return Status::Ok();
  if (input == nullptr || output == nullptr) return Status::Error("the layer has no data");
  if (pool.threads() > threads_)
    return Status::Error("prepared for fewer threads than the pool has");
  try {
    kernel_->Run(input, output, pool);
  } catch (const std::exception& error) {
    return Failure(error);
  }
  return Status::Ok();
}

}  // namespace tf_signbin

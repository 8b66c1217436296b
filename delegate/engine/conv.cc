#include "engine/conv.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <new>
#include <tuple>

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

// The most steps above the zero point that inputs of few bits have: 6 bits. Where more are
// possible, kernels gain nothing from inputs that are not negative.
constexpr int kMostLowBitInput = 63;

// Whether one of `count` inputs is less than `least`, which is not negative. A word of them at a
// time: the baseline of 32-bit Arm has no vectors.
bool AnyBelow(const int8_t* input, size_t count, int8_t least) {
  constexpr size_t kOnes = ~size_t{0} / 255;  // 1 in every byte
  const size_t missing = kOnes * static_cast<size_t>(128 - least);
  size_t negative = 0, reached = ~size_t{0};  // in the highest bit of every byte
  size_t i = 0;
  for (; i + sizeof(size_t) <= count; i += sizeof(size_t)) {
    size_t x;
    std::memcpy(&x, input + i, sizeof(x));
    negative |= x;
    reached &= x + missing;  // only negative bytes carry into the next one
  }
  if (((negative | ~reached) & kOnes * 128) != 0) return true;
  for (; i < count; ++i) {
    if (input[i] < least) return true;
  }
  return false;
}

// Whether no input is less than `least`, which is not negative. Stops early at one that is.
bool AllAtLeast(const int8_t* input, size_t count, int8_t least, ThreadPool& pool) {
  constexpr size_t kBlock = 4096;
  std::atomic<bool> holds{true};
  const size_t blocks = (count + kBlock - 1) / kBlock;
  const int parts = static_cast<int>(std::min<size_t>(pool.threads(), blocks));
  pool.ParallelFor(parts, [&](int part, int) {
    const size_t begin = blocks * part / parts * kBlock;
    const size_t end = std::min(blocks * (part + 1) / parts * kBlock, count);
    for (size_t at = begin; at < end && holds.load(std::memory_order_relaxed); at += kBlock) {
      if (AnyBelow(input + at, std::min(kBlock, end - at), least)) {
        holds.store(false, std::memory_order_relaxed);
      }
    }
  });
  return holds.load();
}

Status Failure(const std::exception& error) {
  const bool memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
  return Status::Error(memory ? "out of memory" : error.what());
}

}  // namespace

std::unique_ptr<Conv2D> Conv2D::Create(DataType type, PackedFilters filters, OutputStage output,
                                       const PlanOptions& options, Status* status,
                                       const Target& target) {
  try {
    *status = CheckPlanOptions(options, target);
    if (status->ok()) *status = CheckFilters(type, filters);
    if (status->ok()) *status = CheckOutputStage(type, filters, output);
    if (!status->ok()) return nullptr;
    std::unique_ptr<Conv2D> conv(new Conv2D());
    conv->type_ = type;
    conv->filters_ = std::move(filters);
    conv->output_ = std::move(output);
    conv->options_ = options;
    conv->target_ = target;
    return conv;
  } catch (const std::exception& error) {
    *status = Failure(error);
    return nullptr;
  }
}

Status Conv2D::Resize(const ConvShape& shape, int threads, bool profile) {
  if (kernel_ != nullptr && threads == threads_ && profile == profile_ &&
      SameShape(shape, shape_)) {
    return Status::Ok();
  }
  kernel_.reset();  // a layer that could not be prepared must not run with its old kernel
  any_input_.reset();
  try {
    Status status = CheckShape(filters_, shape);
    if (!status.ok()) return status;
    shape_ = shape;
    threads_ = threads;
    profile_ = profile;
    const bool low_bits =
        type_ == DataType::kInt8 && 127 - output_.input_zero_point <= kMostLowBitInput;
    kernel_ = PlanKernel(Problem(low_bits), options_, threads, profile, &status);
    return status;
  } catch (const std::exception& error) {
    return Failure(error);
  }
}

ConvProblem Conv2D::Problem(bool nonnegative) const {
  ConvProblem problem{type_, shape_, &filters_, &output_, target_, nonnegative};
  problem.shape.batch = std::max(shape_.batch, 1);  // kernels need not know of empty batches
  return problem;
}

Status Conv2D::RunKernel(const void* input, void* output, ThreadPool& pool) {
  const size_t inputs = static_cast<size_t>(shape_.batch) * shape_.in_h * shape_.in_w * shape_.in_c;
  const auto least = static_cast<int8_t>(output_.input_zero_point);
  if (!kernel_->needs_nonnegative() ||
      AllAtLeast(static_cast<const int8_t*>(input), inputs, least, pool)) {
    kernel_->Run(input, output, pool);
    return Status::Ok();
  }
  if (any_input_ == nullptr) {
    Status status;
    any_input_ = PlanKernel(Problem(/*nonnegative=*/false), options_, threads_, profile_, &status);
    if (!status.ok()) return status;
  }
  any_input_->Run(input, output, pool);
  return Status::Ok();
}

Status Conv2D::Run(const void* input, void* output, ThreadPool& pool) {
  if (kernel_ == nullptr) return Status::Error("the layer was not prepared");
  if (shape_.batch == 0) return Status::Ok();
  if (input == nullptr || output == nullptr) return Status::Error("the layer has no data");
  if (pool.threads() > threads_)
    return Status::Error("prepared for fewer threads than the pool has");
  try {
    return RunKernel(input, output, pool);
  } catch (const std::exception& error) {
    return Failure(error);
  }
}

}  // namespace tf_signbin

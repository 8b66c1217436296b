// Runs one layer inside a TensorFlow Lite interpreter.
#ifndef TF_SIGNBIN_TFLITE_OP_KERNEL_H_
#define TF_SIGNBIN_TFLITE_OP_KERNEL_H_

#include <exception>
#include <memory>
#include <new>
#include <string>

#include "engine/conv.h"
#include "tflite/layer.h"
#include "tflite/node_kernel.h"
#include "tflite/runtime.h"
#include "tflite/tflite_abi.h"

namespace tf_signbin {

class OpKernel final : public NodeKernel {
 public:
  OpKernel(Layer layer, std::shared_ptr<Runtime> runtime);
  ~OpKernel() override;

  Status Prepare(abi::TfLiteContext* context) override;  // plans, too
  Status Invoke(abi::TfLiteContext* context) override;
  const char* op_name() const override { return OpName(layer_.op); }
  const std::string& name() const override { return layer_.name; }

 private:
  // "TfSignBinConv2D 'layer'", to begin a message with.
  std::string Describe() const;
  Status Shape(const abi::TfLiteTensor& input, ConvShape* shape, std::vector<int>* out_dims) const;

  Layer layer_;  // its filters go into conv_ at the first Prepare
  const std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<ThreadPool> pool_;
  std::unique_ptr<Conv2D> conv_;
  bool prepared_ = false;
  size_t input_bytes_ = 0, output_bytes_ = 0;
  NodeProfile profile_;
};

// Reports a failure of `layer` (null: the message names it) through the context, and keeps it for
// TakeError.
void ReportFailure(abi::TfLiteContext* context, const char* layer, const char* message) noexcept;

// Calls `body` (returning Status), reports its failure or exception and returns a TfLiteStatus:
// nothing is thrown into the runtime. `layer` is named when memory runs out, where no message can
// be put together.
template <typename Body>
int Guarded(abi::TfLiteContext* context, const Body& body, const char* layer = nullptr) {
  try {
    const Status status = body();
    if (status.ok()) return abi::kOk;
    ReportFailure(context, nullptr, status.message().c_str());
  } catch (const std::bad_alloc&) {
    ReportFailure(context, layer, "out of memory");
  } catch (const std::exception& error) {
    ReportFailure(context, nullptr, error.what());
  } catch (...) {
    ReportFailure(context, nullptr, "unknown failure");
  }
  return abi::kError;
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_OP_KERNEL_H_

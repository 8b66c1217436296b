#include "tflite/register.h"

#include <memory>
#include <string>

#include "tflite/op_kernel.h"
#include "tflite/tflite_abi.h"

namespace tf_signbin {
namespace {

// A packed operator in a program's own op resolver. Its tensors are only known at Prepare.
struct StaticOp {
  OpType op;
  std::string options;
  std::unique_ptr<OpKernel> kernel;
};

template <OpType op>
void* Init(abi::TfLiteContext* context, const char* buffer, size_t length) {
  StaticOp* result = nullptr;
  Guarded(context, [&] {
    result = new StaticOp{
        op, std::string(buffer == nullptr ? "" : buffer, buffer == nullptr ? 0 : length), nullptr};
    return Status::Ok();
  });
  return result;
}

void Free(abi::TfLiteContext*, void* op) { delete static_cast<StaticOp*>(op); }

Status PrepareOp(abi::TfLiteContext* context, const abi::TfLiteNode& node, StaticOp* op) {
  if (op == nullptr) return Status::Error("the operator was not initialised");
  if (op->kernel == nullptr) {
    Layer layer;
    const Status status =
        ReadPackedLayer(context, node, op->op, op->options.data(), op->options.size(), &layer);
    if (!status.ok()) {
      return Status::Error(std::string(OpName(op->op)) + " '" + layer.name +
                           "': " + status.message());
    }
    op->kernel =
        std::make_unique<OpKernel>(std::move(layer), std::make_shared<Runtime>(DelegateOptions()));
  }
  return op->kernel->Prepare(context);
}

int Prepare(abi::TfLiteContext* context, abi::TfLiteNode* node) {
  return Guarded(
      context, [&] { return PrepareOp(context, *node, static_cast<StaticOp*>(node->user_data)); });
}

int Invoke(abi::TfLiteContext* context, abi::TfLiteNode* node) {
  return Guarded(context, [&] {
    const auto* op = static_cast<const StaticOp*>(node->user_data);
    return op == nullptr || op->kernel == nullptr ? Status::Error("the operator was not prepared")
                                                  : op->kernel->Invoke(context);
  });
}

template <OpType op>
abi::TfLiteRegistration* Registration() {
  static abi::TfLiteRegistration registration = [] {
    abi::TfLiteRegistration r = {};
    r.init = Init<op>;
    r.free = Free;
    r.prepare = Prepare;
    r.invoke = Invoke;
    r.custom_name = OpName(op);
    r.version = 1;
    return r;
  }();
  return &registration;
}

}  // namespace
}  // namespace tf_signbin

TfLiteRegistration* TfSignBinRegister_CONV_2D() {
  return reinterpret_cast<TfLiteRegistration*>(
      tf_signbin::Registration<tf_signbin::OpType::kConv2D>());
}

TfLiteRegistration* TfSignBinRegister_FULLY_CONNECTED() {
  return reinterpret_cast<TfLiteRegistration*>(
      tf_signbin::Registration<tf_signbin::OpType::kFullyConnected>());
}

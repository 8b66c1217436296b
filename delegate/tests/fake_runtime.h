// Enough of a TensorFlow Lite interpreter to run a delegate: tensors, nodes, resizing, replacing.
// Every buffer is a heap block of its own, so that AddressSanitizer sees every overrun.
#ifndef TF_SIGNBIN_TESTS_FAKE_RUNTIME_H_
#define TF_SIGNBIN_TESTS_FAKE_RUNTIME_H_

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "tflite/tflite_abi.h"

namespace tf_signbin {

class FakeRuntime {
 public:
  FakeRuntime() {
    context_.impl_ = this;
    context_.recommended_num_threads = -1;
    context_.GetExecutionPlan = [](abi::TfLiteContext* c, abi::TfLiteIntArray** plan) {
      *plan = Self(c)->plan_;
      return abi::kOk;
    };
    context_.ResizeTensor = [](abi::TfLiteContext* c, abi::TfLiteTensor* tensor,
                               abi::TfLiteIntArray* dims) { return Self(c)->Resize(tensor, dims); };
    context_.ReportError = Report;
    context_.GetNodeAndRegistration = [](abi::TfLiteContext* c, int index, abi::TfLiteNode** node,
                                         abi::TfLiteRegistration** registration) {
      if (index < 0 || static_cast<size_t>(index) >= Self(c)->nodes_.size()) return abi::kError;
      *node = &Self(c)->nodes_[index].node;
      *registration = &Self(c)->nodes_[index].registration;
      return abi::kOk;
    };
    context_.ReplaceNodeSubsetsWithDelegateKernels =
        [](abi::TfLiteContext* c, abi::TfLiteRegistration registration,
           const abi::TfLiteIntArray* nodes, abi::TfLiteDelegate* delegate) {
          return Self(c)->Replace(registration, nodes, delegate);
        };
    plan_ = MakeArray({});
  }
  FakeRuntime(const FakeRuntime&) = delete;
  FakeRuntime& operator=(const FakeRuntime&) = delete;

  ~FakeRuntime() {
    for (Node& n : nodes_) {
      if (n.registration.free != nullptr && n.node.user_data != nullptr) {
        n.registration.free(&context_, n.node.user_data);
      }
      for (auto* array : {n.node.inputs, n.node.outputs}) std::free(array);
    }
    for (size_t i = 0; i < context_.tensors_size; ++i) {
      std::free(tensors_[i].dims);
      if (tensors_[i].allocation_type != abi::kMmapRo) std::free(tensors_[i].data);
    }
    for (void* block : blocks_) std::free(block);
    std::free(plan_);
  }

  // A tensor that Allocate() gives memory, or a constant when `data` is given.
  int AddTensor(int type, const std::vector<int>& dims, const void* data = nullptr,
                size_t bytes = 0) {
    abi::TfLiteTensor tensor = {};
    tensor.type = type;
    tensor.dims = MakeArray(dims);
    tensor.allocation_type = 2;
    tensor.name = "tensor";
    tensor.params = {0.5f, 3};
    if (data != nullptr) {
      tensor.allocation_type = abi::kMmapRo;
      tensor.data = Keep(data, bytes);
      tensor.bytes = bytes;
    }
    tensors_.push_back(tensor);
    context_.tensors = tensors_.data();
    context_.tensors_size = tensors_.size();
    return static_cast<int>(tensors_.size()) - 1;
  }

  void SetScales(int tensor, const std::vector<float>& scales) {
    std::vector<char> array(sizeof(int) + scales.size() * sizeof(float));
    const int size = static_cast<int>(scales.size());
    std::memcpy(array.data(), &size, sizeof(int));
    if (!scales.empty()) {
      std::memcpy(array.data() + sizeof(int), scales.data(), scales.size() * sizeof(float));
    }
    abi::TfLiteAffineQuantization affine = {};
    affine.scale = static_cast<abi::TfLiteFloatArray*>(Keep(array.data(), array.size()));
    const int no_zero_points = 0;
    affine.zero_point = static_cast<abi::TfLiteIntArray*>(Keep(&no_zero_points, sizeof(int)));
    tensors_[tensor].quantization = {abi::kAffineQuantization, Keep(&affine, sizeof(affine))};
    tensors_[tensor].params = {scales.empty() ? 0 : scales[0], 0};
  }

  // `parameters`: the builtin's attributes, or the custom operator's options.
  int AddNode(int builtin_code, const char* custom_name, const std::vector<int>& inputs,
              const std::vector<int>& outputs, const void* parameters, size_t bytes) {
    Node n;
    n.registration.builtin_code = builtin_code;
    n.registration.custom_name = custom_name;
    n.node.inputs = MakeArray(inputs);
    n.node.outputs = MakeArray(outputs);
    if (custom_name == nullptr) {
      n.node.builtin_data = Keep(parameters, bytes);
    } else {
      n.node.custom_initial_data = Keep(parameters, bytes);
      n.node.custom_initial_data_size = static_cast<int>(bytes);
    }
    nodes_.push_back(n);
    std::vector<int> plan(plan_->data, plan_->data + plan_->size);
    plan.push_back(static_cast<int>(nodes_.size()) - 1);
    std::free(plan_);
    plan_ = MakeArray(plan);
    return static_cast<int>(nodes_.size()) - 1;
  }

  int Prepare() { return ForEachReplaced(&abi::TfLiteRegistration::prepare); }
  int Invoke() { return ForEachReplaced(&abi::TfLiteRegistration::invoke); }

  void SetDims(int tensor, const std::vector<int>& dims) {
    std::free(tensors_[tensor].dims);
    tensors_[tensor].dims = MakeArray(dims);
  }
  // Gives a tensor that is not constant memory for its shape.
  void Allocate(int tensor) { Allocate(&tensors_[tensor]); }

  abi::TfLiteContext* context() { return &context_; }
  abi::TfLiteTensor& tensor(int index) { return tensors_[index]; }
  std::vector<int> Dims(int tensor) const {
    const abi::TfLiteIntArray* dims = tensors_[tensor].dims;
    return std::vector<int>(dims->data, dims->data + dims->size);
  }
  int replaced() const { return replaced_; }
  const abi::TfLiteRegistration& last_registration() const { return nodes_.back().registration; }

  std::string error;  // all that was reported

 private:
  struct Node {
    abi::TfLiteNode node = {};
    abi::TfLiteRegistration registration = {};
    bool delegated = false;
  };

  static FakeRuntime* Self(abi::TfLiteContext* context) {
    return static_cast<FakeRuntime*>(context->impl_);
  }

  static void Report(abi::TfLiteContext* context, const char* format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    Self(context)->error += text;
  }

  static abi::TfLiteIntArray* MakeArray(const std::vector<int>& values) {
    auto* array = static_cast<abi::TfLiteIntArray*>(
        std::malloc(sizeof(abi::TfLiteIntArray) + values.size() * sizeof(int)));
    array->size = static_cast<int>(values.size());
    for (size_t i = 0; i < values.size(); ++i) array->data[i] = values[i];
    return array;
  }

  void* Keep(const void* data, size_t bytes) {
    void* block = std::malloc(bytes == 0 ? 1 : bytes);
    if (bytes > 0) std::memcpy(block, data, bytes);
    blocks_.push_back(block);
    return block;
  }

  static void Allocate(abi::TfLiteTensor* tensor) {
    size_t bytes = tensor->type == abi::kFloat32 || tensor->type == abi::kInt32 ? 4 : 1;
    for (int i = 0; i < tensor->dims->size; ++i)
      bytes *= static_cast<size_t>(tensor->dims->data[i]);
    std::free(tensor->data);
    tensor->bytes = bytes;
    tensor->data = bytes == 0 ? nullptr : std::calloc(bytes, 1);
  }

  int Resize(abi::TfLiteTensor* tensor, abi::TfLiteIntArray* dims) {
    if (tensor->allocation_type == abi::kMmapRo) {
      std::free(dims);
      return abi::kError;
    }
    std::free(tensor->dims);
    tensor->dims = dims;
    Allocate(tensor);
    return abi::kOk;
  }

  int Replace(const abi::TfLiteRegistration& registration, const abi::TfLiteIntArray* nodes,
              abi::TfLiteDelegate* delegate) {
    abi::TfLiteDelegateParams params = {};
    params.delegate = delegate;
    params.nodes_to_replace = const_cast<abi::TfLiteIntArray*>(nodes);
    Node n;
    n.registration = registration;
    n.delegated = true;
    n.node.inputs = MakeArray({});
    n.node.outputs = MakeArray({});
    n.node.user_data = registration.init(&context_, reinterpret_cast<const char*>(&params), 0);
    nodes_.push_back(n);
    ++replaced_;
    return abi::kOk;
  }

  int ForEachReplaced(int (*abi::TfLiteRegistration::*function)(abi::TfLiteContext*,
                                                                abi::TfLiteNode*)) {
    for (Node& n : nodes_) {
      if (!n.delegated) continue;
      const int status = (n.registration.*function)(&context_, &n.node);
      if (status != abi::kOk) return status;
    }
    return abi::kOk;
  }

  abi::TfLiteContext context_ = {};
  std::vector<abi::TfLiteTensor> tensors_;
  std::deque<Node> nodes_;
  std::vector<void*> blocks_;
  abi::TfLiteIntArray* plan_ = nullptr;
  int replaced_ = 0;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TESTS_FAKE_RUNTIME_H_

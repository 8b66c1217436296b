#include "tflite/delegate.h"

#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tflite/claim.h"
#include "tflite/layer.h"
#include "tflite/op_kernel.h"
#include "tflite/requantize_kernel.h"
#include "tflite/runtime.h"
#include "tflite/tensor_access.h"

namespace tf_signbin {
namespace {

struct DelegateData {
  explicit DelegateData(const DelegateOptions& options)
      : runtime(std::make_shared<Runtime>(options)) {}
  std::shared_ptr<Runtime> runtime;
  // The kernel of the node that is being replaced: the runtime calls Init from within
  // ReplaceNodeSubsetsWithDelegateKernels.
  std::unique_ptr<NodeKernel> pending;
  std::string refusal;  // why no model may be run, if so
  // Over all subgraphs that were prepared.
  size_t nodes = 0, claimed = 0;
};

void* Init(abi::TfLiteContext* context, const char* buffer, size_t) {
  NodeKernel* kernel = nullptr;
  Guarded(context, [&] {
    const auto* params = reinterpret_cast<const abi::TfLiteDelegateParams*>(buffer);
    auto* data = static_cast<DelegateData*>(params->delegate->data_);
    if (data->pending == nullptr || params->nodes_to_replace->size != 1) {
      return Status::Error("the runtime replaces nodes in an unknown way");
    }
    kernel = data->pending.release();
    return Status::Ok();
  });
  return kernel;
}

void Free(abi::TfLiteContext*, void* kernel) { delete static_cast<NodeKernel*>(kernel); }

using Step = Status (NodeKernel::*)(abi::TfLiteContext*);

template <Step step>
int RunNode(abi::TfLiteContext* context, abi::TfLiteNode* node) {
  auto* kernel = static_cast<NodeKernel*>(node->user_data);
  if (kernel == nullptr) {  // Init failed, and said why
    return Guarded(context, [] { return Status::Error("the operator was not initialised"); });
  }
  return Guarded(
      context, [&] { return (kernel->*step)(context); }, kernel->name().c_str());
}

abi::TfLiteRegistration Registration(const char* op_name) {
  abi::TfLiteRegistration registration = {};
  registration.init = Init;
  registration.free = Free;
  registration.prepare = RunNode<&NodeKernel::Prepare>;
  registration.invoke = RunNode<&NodeKernel::Invoke>;
  registration.custom_name = op_name;  // the name in the runtime's operator profile
  registration.version = 1;
  return registration;
}

// Whether the node is one of ours, by name.
bool IsPackedOp(const abi::TfLiteRegistration& registration, OpType* op) {
  if (registration.builtin_code != abi::kBuiltinCustom || registration.custom_name == nullptr) {
    return false;
  }
  for (const OpType candidate : {OpType::kConv2D, OpType::kFullyConnected}) {
    if (std::strcmp(registration.custom_name, OpName(candidate)) == 0) {
      *op = candidate;
      return true;
    }
  }
  return false;
}

// Reads the layer of a node that the delegate takes; null when it leaves the node to the runtime.
Status ReadLayer(abi::TfLiteContext* context, const abi::TfLiteNode& node,
                 const abi::TfLiteRegistration& registration, const Runtime& runtime,
                 std::unique_ptr<Layer>* layer) {
  auto candidate = std::make_unique<Layer>();
  OpType op;
  if (IsPackedOp(registration, &op)) {
    const int size = node.custom_initial_data_size;
    const Status status =
        ReadPackedLayer(context, node, op, node.custom_initial_data,
                        size > 0 ? static_cast<size_t>(size) : 0, candidate.get());
    if (!status.ok()) {
      return Status::Error(std::string(OpName(op)) + " '" + candidate->name +
                           "': " + status.message());
    }
    *layer = std::move(candidate);
    return Status::Ok();
  }
  if (!runtime.options().claim_builtin) return Status::Ok();
  std::string reason;
  switch (ClaimBuiltin(context, node, registration, candidate.get(), &reason)) {
    case Claim::kYes:
      *layer = std::move(candidate);
      break;
    case Claim::kUnsupported:
      reason = "builtin layer '" + candidate->name +
               "' has signed-binary filters but is not claimed: " + reason;
      if (runtime.options().strict) return Status::Error(reason);
      runtime.Log(LogLevel::kInfo, reason);
      break;
    case Claim::kNo:
      break;
  }
  return Status::Ok();
}

Status ReplaceNode(abi::TfLiteContext* context, abi::TfLiteDelegate* delegate, int node_index,
                   std::unique_ptr<NodeKernel> kernel) {
  auto* data = static_cast<DelegateData*>(delegate->data_);
  const char* op_name = kernel->op_name();
  const std::string name = kernel->name();
  const int nodes[] = {1, node_index};  // a TfLiteIntArray of one
  data->pending = std::move(kernel);
  const int status = context->ReplaceNodeSubsetsWithDelegateKernels(
      context, Registration(op_name), reinterpret_cast<const abi::TfLiteIntArray*>(nodes),
      delegate);
  const bool initialised = data->pending == nullptr;
  data->pending.reset();
  const char* failure = status != abi::kOk ? "the runtime refused the node"
                        : !initialised     ? "the operator could not be initialised"
                                           : nullptr;
  if (failure == nullptr) return Status::Ok();
  return Status::Error(std::string(op_name) + " '" + name + "': " + failure);
}

// Claims nodes of one graph.
class GraphClaims {
 public:
  GraphClaims(abi::TfLiteContext* context, abi::TfLiteDelegate* delegate)
      : context_(context),
        delegate_(delegate),
        runtime_(static_cast<DelegateData*>(delegate->data_)->runtime) {}

  bool empty() const { return claimed_.empty(); }
  size_t size() const { return claimed_.size(); }

  // The signed-binary layers.
  Status ClaimLayers(const std::vector<int>& nodes) {
    return ForEach(nodes, [this](int index, const abi::TfLiteNode& node,
                                 const abi::TfLiteRegistration& registration) {
      std::unique_ptr<Layer> layer;
      const Status status = ReadLayer(context_, node, registration, *runtime_, &layer);
      return status.ok() && layer != nullptr ? Take(index, std::move(layer)) : status;
    });
  }

  // Dense convolutions that the engine wants beside them.
  Status ClaimDenseLayers(const std::vector<int>& nodes) {
    return ForEach(nodes, [this](int index, const abi::TfLiteNode& node,
                                 const abi::TfLiteRegistration& registration) {
      auto layer = std::make_unique<Layer>();
      return ClaimDense(context_, node, registration, runtime_->options().plan, layer.get())
                 ? Take(index, std::move(layer))
                 : Status::Ok();
    });
  }

  // What only requantizes an input of theirs.
  Status ClaimRequantizations(const std::vector<int>& nodes) {
    return ForEach(nodes, [this](int index, const abi::TfLiteNode& node,
                                 const abi::TfLiteRegistration& registration) {
      if (inputs_.count(TensorIndex(node.outputs, 0)) == 0) return Status::Ok();
      auto kernel = ClaimRequantization(context_, node, registration, runtime_);
      if (kernel == nullptr) return Status::Ok();
      runtime_->Log(LogLevel::kInfo, std::string(kernel->op_name()) + " '" + kernel->name() + "'");
      return Take(index, std::move(kernel));
    });
  }

 private:
  template <typename ClaimNode>
  Status ForEach(const std::vector<int>& nodes, const ClaimNode& claim) {
    for (const int index : nodes) {
      if (claimed_.count(index) != 0) continue;
      abi::TfLiteNode* node = nullptr;
      abi::TfLiteRegistration* registration = nullptr;
      if (context_->GetNodeAndRegistration(context_, index, &node, &registration) != abi::kOk) {
        return Status::Error("the runtime has no node " + std::to_string(index));
      }
      const Status status = claim(index, *node, *registration);
      if (!status.ok()) return status;
    }
    return Status::Ok();
  }

  Status Take(int index, std::unique_ptr<Layer> layer) {
    inputs_.insert(layer->input);
    return Take(index, std::make_unique<OpKernel>(std::move(*layer), runtime_));
  }

  Status Take(int index, std::unique_ptr<NodeKernel> kernel) {
    const Status status = ReplaceNode(context_, delegate_, index, std::move(kernel));
    if (status.ok()) claimed_.insert(index);
    return status;
  }

  abi::TfLiteContext* const context_;
  abi::TfLiteDelegate* const delegate_;
  const std::shared_ptr<Runtime> runtime_;
  std::set<int> claimed_;
  std::set<int> inputs_;  // of the claimed layers
};

std::string Claimed(size_t claimed, size_t nodes) {
  return "claimed " + std::to_string(claimed) + " of " + std::to_string(nodes) + " nodes";
}

int PrepareGraph(abi::TfLiteContext* context, abi::TfLiteDelegate* delegate) {
  return Guarded(context, [&] {
    auto* data = static_cast<DelegateData*>(delegate->data_);
    if (!data->refusal.empty()) return Status::Error(data->refusal);
    Runtime& runtime = *data->runtime;
    abi::TfLiteIntArray* plan = nullptr;
    if (context->GetExecutionPlan(context, &plan) != abi::kOk) {
      return Status::Error("the runtime has no execution plan");
    }
    // A copy: every claim changes the plan.
    const std::vector<int> nodes(plan->data, plan->data + plan->size);
    GraphClaims claims(context, delegate);
    Status status = claims.ClaimLayers(nodes);
    // A model without signed-binary layers is none of the delegate's business.
    if (status.ok() && !claims.empty() && runtime.options().claim_dense) {
      status = claims.ClaimDenseLayers(nodes);
      if (status.ok()) status = claims.ClaimRequantizations(nodes);
    }
    if (!status.ok()) return status;
    runtime.Log(LogLevel::kInfo, Claimed(claims.size(), nodes.size()));
    data->claimed += claims.size();
    data->nodes += nodes.size();
    return Status::Ok();
  });
}

}  // namespace

abi::TfLiteDelegate* CreateDelegate(const DelegateOptions& options) {
  auto data = std::make_unique<DelegateData>(options);
  data->runtime->Log(LogLevel::kInfo,
                     "options: " + (options.given.empty() ? "all default" : options.given));
  auto delegate = std::make_unique<abi::TfLiteDelegate>();
  *delegate = {};
  delegate->data_ = data.release();
  delegate->Prepare = PrepareGraph;
  delegate->flags = abi::kAllowDynamicTensors;
  return delegate.release();
}

abi::TfLiteDelegate* CreateRefusingDelegate(const std::string& message) {
  abi::TfLiteDelegate* delegate = CreateDelegate({});
  static_cast<DelegateData*>(delegate->data_)->refusal = message;
  return delegate;
}

const char* DescribeDelegate(abi::TfLiteDelegate* delegate) {
  return static_cast<DelegateData*>(delegate->data_)->runtime->Describe();
}

void DestroyDelegate(abi::TfLiteDelegate* delegate) {
  if (delegate == nullptr) return;
  auto* data = static_cast<DelegateData*>(delegate->data_);
  const DelegateOptions& options = data->runtime->options();
  // Only now is it known: the runtime prepares one subgraph after the other, and layers may be in
  // the body of a loop or in another signature's subgraph.
  if (data->claimed == 0 && data->nodes > 0) {
    data->runtime->Log(LogLevel::kWarning, Claimed(0, data->nodes));
  }
  if (options.profile && options.log_level != LogLevel::kError) data->runtime->PrintProfile();
  delete data;
  delete delegate;
}

}  // namespace tf_signbin

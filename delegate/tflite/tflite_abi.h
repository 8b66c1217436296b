// The part of TensorFlow Lite's C ABI that an external delegate touches.
//
// No TensorFlow Lite package for Python ships its C headers, so the structures are declared here,
// complete (they are copied by value) and in the order that runtimes from 2.14 to LiteRT 2 share.
// abi_check.cc compares every field with the upstream headers where a path to them is given.
// Pointers that are never followed are void*; an enum is an int.
#ifndef TF_SIGNBIN_TFLITE_TFLITE_ABI_H_
#define TF_SIGNBIN_TFLITE_TFLITE_ABI_H_

#include <cstddef>
#include <cstdint>

namespace tf_signbin {
namespace abi {

// TfLiteStatus
constexpr int kOk = 0, kError = 1, kDelegateError = 2;
// TfLiteType
constexpr int kFloat32 = 1, kInt32 = 2, kUInt8 = 3, kInt8 = 9;
// TfLiteAllocationType: constant data of the model file.
constexpr int kMmapRo = 1;
// TfLiteQuantizationType
constexpr int kAffineQuantization = 1;
// TfLiteDelegateFlags: claim nodes before every tensor has a shape. Without it the runtime refuses
// a graph that holds operators it does not know before the delegate is asked.
constexpr int64_t kAllowDynamicTensors = 1;
// BuiltinOperator
constexpr int kBuiltinConv2D = 3, kBuiltinDepthwiseConv2D = 4, kBuiltinFullyConnected = 9,
              kBuiltinRelu = 19, kBuiltinCustom = 32;
// TfLitePadding
constexpr int kPaddingSame = 1, kPaddingValid = 2;
// TfLiteFusedActivation
constexpr int kActNone = 0, kActRelu = 1, kActReluN1To1 = 2, kActRelu6 = 3;
// An absent optional input.
constexpr int kOptionalTensor = -1;

struct TfLiteContext;
struct TfLiteDelegate;
struct TfLiteNode;

struct TfLiteIntArray {
  int size;
  int data[];  // allocated with malloc
};

struct TfLiteFloatArray {
  int size;
  float data[];
};

struct TfLiteQuantizationParams {
  float scale;
  int32_t zero_point;
};

struct TfLiteAffineQuantization {
  TfLiteFloatArray* scale;
  TfLiteIntArray* zero_point;
  int32_t quantized_dimension;
};

struct TfLiteQuantization {
  int type;
  void* params;
};

struct TfLiteTensor {
  int type;
  void* data;
  TfLiteIntArray* dims;
  TfLiteQuantizationParams params;
  int allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  TfLiteDelegate* delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  TfLiteQuantization quantization;
  void* sparsity;
  const TfLiteIntArray* dims_signature;
};

struct TfLiteNode {
  TfLiteIntArray* inputs;
  TfLiteIntArray* outputs;
  TfLiteIntArray* intermediates;
  TfLiteIntArray* temporaries;
  void* user_data;
  void* builtin_data;
  const void* custom_initial_data;
  int custom_initial_data_size;
  TfLiteDelegate* delegate;
  bool might_have_side_effect;
};

struct TfLiteRegistration {
  void* (*init)(TfLiteContext* context, const char* buffer, size_t length);
  void (*free)(TfLiteContext* context, void* buffer);
  int (*prepare)(TfLiteContext* context, TfLiteNode* node);
  int (*invoke)(TfLiteContext* context, TfLiteNode* node);
  const char* (*profiling_string)(const TfLiteContext* context, const TfLiteNode* node);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external;
  void* (*async_kernel)(TfLiteContext* context, TfLiteNode* node);
  uint64_t inplace_operator;
};

struct TfLiteDelegateParams {
  TfLiteDelegate* delegate;
  TfLiteIntArray* nodes_to_replace;
  TfLiteIntArray* input_tensors;
  TfLiteIntArray* output_tensors;
};

struct TfLiteContext {
  size_t tensors_size;
  int (*GetExecutionPlan)(TfLiteContext* context, TfLiteIntArray** execution_plan);
  TfLiteTensor* tensors;
  void* impl_;
  int (*ResizeTensor)(TfLiteContext* context, TfLiteTensor* tensor, TfLiteIntArray* new_size);
  void (*ReportError)(TfLiteContext* context, const char* format, ...);
  int (*AddTensors)(TfLiteContext* context, int tensors_to_add, int* first_new_tensor_index);
  int (*GetNodeAndRegistration)(TfLiteContext* context, int node_index, TfLiteNode** node,
                                TfLiteRegistration** registration);
  int (*ReplaceNodeSubsetsWithDelegateKernels)(TfLiteContext* context,
                                               TfLiteRegistration registration,
                                               const TfLiteIntArray* nodes_to_replace,
                                               TfLiteDelegate* delegate);
  int recommended_num_threads;
  void* GetExternalContext;
  void* SetExternalContext;
  bool allow_fp32_relax_to_fp16;
  void* profiler;
  void* AllocatePersistentBuffer;
  void* AllocateBufferForEval;
  void* RequestScratchBufferInArena;
  void* GetScratchBuffer;
  void* ResizeTensorExplicit;
  void* PreviewDelegatePartitioning;
  void* GetTensor;
  void* GetEvalTensor;
  void* GetModelMetadata;
  void* AcquireSubgraphContext;
  void* ReleaseSubgraphContext;
};

struct TfLiteDelegate {
  void* data_;
  int (*Prepare)(TfLiteContext* context, TfLiteDelegate* delegate);
  void* CopyFromBufferHandle;
  void* CopyToBufferHandle;
  void* FreeBufferHandle;
  int64_t flags;
  void* opaque_delegate_builder;
};

// Only the leading fields that are read; later versions append others.
struct TfLiteConvParams {
  int padding;
  int stride_width;
  int stride_height;
  int activation;
  int dilation_width_factor;
  int dilation_height_factor;
};

struct TfLiteDepthwiseConvParams {
  int padding;
  int stride_width;
  int stride_height;
  int depth_multiplier;
  int activation;
  int dilation_width_factor;
  int dilation_height_factor;
};

struct TfLiteFullyConnectedParams {
  int activation;
  int weights_format;
  bool keep_num_dims;
};

#define TF_SIGNBIN_LAYOUT(type, field, offset64, offset32)                               \
  static_assert(offsetof(type, field) == (sizeof(void*) == 8 ? (offset64) : (offset32)), \
                #type "." #field " is not where the C ABI has it")
#define TF_SIGNBIN_SIZE(type, size64, size32)                               \
  static_assert(sizeof(type) == (sizeof(void*) == 8 ? (size64) : (size32)), \
                #type " has not the size it has in the C ABI")

TF_SIGNBIN_SIZE(TfLiteContext, 200, 100);
TF_SIGNBIN_LAYOUT(TfLiteContext, GetExecutionPlan, 8, 4);
TF_SIGNBIN_LAYOUT(TfLiteContext, tensors, 16, 8);
TF_SIGNBIN_LAYOUT(TfLiteContext, ResizeTensor, 32, 16);
TF_SIGNBIN_LAYOUT(TfLiteContext, ReportError, 40, 20);
TF_SIGNBIN_LAYOUT(TfLiteContext, GetNodeAndRegistration, 56, 28);
TF_SIGNBIN_LAYOUT(TfLiteContext, ReplaceNodeSubsetsWithDelegateKernels, 64, 32);
TF_SIGNBIN_LAYOUT(TfLiteContext, recommended_num_threads, 72, 36);
TF_SIGNBIN_LAYOUT(TfLiteContext, allow_fp32_relax_to_fp16, 96, 48);
TF_SIGNBIN_LAYOUT(TfLiteContext, profiler, 104, 52);
TF_SIGNBIN_LAYOUT(TfLiteContext, ReleaseSubgraphContext, 192, 96);
TF_SIGNBIN_SIZE(TfLiteDelegate, 56, 40);
TF_SIGNBIN_LAYOUT(TfLiteDelegate, Prepare, 8, 4);
TF_SIGNBIN_LAYOUT(TfLiteDelegate, flags, 40, 24);
TF_SIGNBIN_LAYOUT(TfLiteDelegate, opaque_delegate_builder, 48, 32);
TF_SIGNBIN_SIZE(TfLiteRegistration, 88, 48);
TF_SIGNBIN_LAYOUT(TfLiteRegistration, builtin_code, 40, 20);
TF_SIGNBIN_LAYOUT(TfLiteRegistration, custom_name, 48, 24);
TF_SIGNBIN_LAYOUT(TfLiteRegistration, version, 56, 28);
TF_SIGNBIN_LAYOUT(TfLiteRegistration, inplace_operator, 80, 40);
TF_SIGNBIN_SIZE(TfLiteNode, 80, 40);
TF_SIGNBIN_LAYOUT(TfLiteNode, user_data, 32, 16);
TF_SIGNBIN_LAYOUT(TfLiteNode, builtin_data, 40, 20);
TF_SIGNBIN_LAYOUT(TfLiteNode, custom_initial_data, 48, 24);
TF_SIGNBIN_LAYOUT(TfLiteNode, custom_initial_data_size, 56, 28);
TF_SIGNBIN_LAYOUT(TfLiteNode, delegate, 64, 32);
TF_SIGNBIN_SIZE(TfLiteTensor, 112, 64);
TF_SIGNBIN_LAYOUT(TfLiteTensor, data, 8, 4);
TF_SIGNBIN_LAYOUT(TfLiteTensor, dims, 16, 8);
TF_SIGNBIN_LAYOUT(TfLiteTensor, params, 24, 12);
TF_SIGNBIN_LAYOUT(TfLiteTensor, allocation_type, 32, 20);
TF_SIGNBIN_LAYOUT(TfLiteTensor, bytes, 40, 24);
TF_SIGNBIN_LAYOUT(TfLiteTensor, name, 56, 32);
TF_SIGNBIN_LAYOUT(TfLiteTensor, buffer_handle, 72, 40);
TF_SIGNBIN_LAYOUT(TfLiteTensor, is_variable, 77, 45);
TF_SIGNBIN_LAYOUT(TfLiteTensor, quantization, 80, 48);
TF_SIGNBIN_LAYOUT(TfLiteTensor, sparsity, 96, 56);
TF_SIGNBIN_LAYOUT(TfLiteTensor, dims_signature, 104, 60);
TF_SIGNBIN_SIZE(TfLiteAffineQuantization, 24, 12);
TF_SIGNBIN_LAYOUT(TfLiteAffineQuantization, quantized_dimension, 16, 8);
TF_SIGNBIN_SIZE(TfLiteDelegateParams, 32, 16);
TF_SIGNBIN_SIZE(TfLiteConvParams, 24, 24);
TF_SIGNBIN_SIZE(TfLiteDepthwiseConvParams, 28, 28);
TF_SIGNBIN_LAYOUT(TfLiteFullyConnectedParams, keep_num_dims, 8, 8);

#undef TF_SIGNBIN_LAYOUT
#undef TF_SIGNBIN_SIZE

}  // namespace abi
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_TFLITE_ABI_H_

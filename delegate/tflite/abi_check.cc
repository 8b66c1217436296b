// Compares our declarations of TensorFlow Lite's C ABI with upstream's headers, field by field, at
// compile time. Built when TF_SIGNBIN_TFLITE_HEADERS names a folder that holds them.
#if __has_include("tflite/core/c/common.h")
#include "tflite/builtin_ops.h"
#include "tflite/core/c/builtin_op_data.h"
#include "tflite/core/c/common.h"
#else
#include "tensorflow/lite/builtin_ops.h"
#include "tensorflow/lite/core/c/builtin_op_data.h"
#include "tensorflow/lite/core/c/common.h"
#endif

#include <cstddef>

#include "tflite/tflite_abi.h"

namespace abi = tf_signbin::abi;

#define SAME_FIELD(type, field)                                          \
  static_assert(offsetof(abi::type, field) == offsetof(::type, field) && \
                    sizeof(abi::type::field) == sizeof(::type::field),   \
                #type "." #field " differs from upstream's")
#define SAME_SIZE(type)                                                                       \
  static_assert(sizeof(abi::type) == sizeof(::type) && alignof(abi::type) == alignof(::type), \
                #type " differs in size from upstream's")
#define SAME_VALUE(ours, upstream)                                                     \
  static_assert(static_cast<long long>(abi::ours) == static_cast<long long>(upstream), \
                #upstream " has another value")

SAME_SIZE(TfLiteContext);
SAME_FIELD(TfLiteContext, tensors_size);
SAME_FIELD(TfLiteContext, GetExecutionPlan);
SAME_FIELD(TfLiteContext, tensors);
SAME_FIELD(TfLiteContext, impl_);
SAME_FIELD(TfLiteContext, ResizeTensor);
SAME_FIELD(TfLiteContext, ReportError);
SAME_FIELD(TfLiteContext, AddTensors);
SAME_FIELD(TfLiteContext, GetNodeAndRegistration);
SAME_FIELD(TfLiteContext, ReplaceNodeSubsetsWithDelegateKernels);
SAME_FIELD(TfLiteContext, recommended_num_threads);
SAME_FIELD(TfLiteContext, GetExternalContext);
SAME_FIELD(TfLiteContext, SetExternalContext);
SAME_FIELD(TfLiteContext, allow_fp32_relax_to_fp16);
SAME_FIELD(TfLiteContext, profiler);
SAME_FIELD(TfLiteContext, AllocatePersistentBuffer);
SAME_FIELD(TfLiteContext, AllocateBufferForEval);
SAME_FIELD(TfLiteContext, RequestScratchBufferInArena);
SAME_FIELD(TfLiteContext, GetScratchBuffer);
SAME_FIELD(TfLiteContext, ResizeTensorExplicit);
SAME_FIELD(TfLiteContext, PreviewDelegatePartitioning);
SAME_FIELD(TfLiteContext, GetTensor);
SAME_FIELD(TfLiteContext, GetEvalTensor);
SAME_FIELD(TfLiteContext, GetModelMetadata);
SAME_FIELD(TfLiteContext, AcquireSubgraphContext);
SAME_FIELD(TfLiteContext, ReleaseSubgraphContext);

SAME_SIZE(TfLiteDelegate);
SAME_FIELD(TfLiteDelegate, data_);
SAME_FIELD(TfLiteDelegate, Prepare);
SAME_FIELD(TfLiteDelegate, CopyFromBufferHandle);
SAME_FIELD(TfLiteDelegate, CopyToBufferHandle);
SAME_FIELD(TfLiteDelegate, FreeBufferHandle);
SAME_FIELD(TfLiteDelegate, flags);
SAME_FIELD(TfLiteDelegate, opaque_delegate_builder);

SAME_SIZE(TfLiteRegistration);
SAME_FIELD(TfLiteRegistration, init);
SAME_FIELD(TfLiteRegistration, free);
SAME_FIELD(TfLiteRegistration, prepare);
SAME_FIELD(TfLiteRegistration, invoke);
SAME_FIELD(TfLiteRegistration, profiling_string);
SAME_FIELD(TfLiteRegistration, builtin_code);
SAME_FIELD(TfLiteRegistration, custom_name);
SAME_FIELD(TfLiteRegistration, version);
SAME_FIELD(TfLiteRegistration, registration_external);
SAME_FIELD(TfLiteRegistration, async_kernel);
SAME_FIELD(TfLiteRegistration, inplace_operator);

SAME_SIZE(TfLiteNode);
SAME_FIELD(TfLiteNode, inputs);
SAME_FIELD(TfLiteNode, outputs);
SAME_FIELD(TfLiteNode, intermediates);
SAME_FIELD(TfLiteNode, temporaries);
SAME_FIELD(TfLiteNode, user_data);
SAME_FIELD(TfLiteNode, builtin_data);
SAME_FIELD(TfLiteNode, custom_initial_data);
SAME_FIELD(TfLiteNode, custom_initial_data_size);
SAME_FIELD(TfLiteNode, delegate);
SAME_FIELD(TfLiteNode, might_have_side_effect);

SAME_SIZE(TfLiteTensor);
SAME_FIELD(TfLiteTensor, type);
SAME_FIELD(TfLiteTensor, data);
SAME_FIELD(TfLiteTensor, dims);
SAME_FIELD(TfLiteTensor, params);
SAME_FIELD(TfLiteTensor, allocation_type);
SAME_FIELD(TfLiteTensor, bytes);
SAME_FIELD(TfLiteTensor, allocation);
SAME_FIELD(TfLiteTensor, name);
SAME_FIELD(TfLiteTensor, delegate);
SAME_FIELD(TfLiteTensor, buffer_handle);
SAME_FIELD(TfLiteTensor, data_is_stale);
SAME_FIELD(TfLiteTensor, is_variable);
SAME_FIELD(TfLiteTensor, quantization);
SAME_FIELD(TfLiteTensor, sparsity);
SAME_FIELD(TfLiteTensor, dims_signature);

SAME_SIZE(TfLiteQuantizationParams);
SAME_FIELD(TfLiteQuantizationParams, scale);
SAME_FIELD(TfLiteQuantizationParams, zero_point);
SAME_SIZE(TfLiteQuantization);
SAME_FIELD(TfLiteQuantization, type);
SAME_FIELD(TfLiteQuantization, params);
SAME_SIZE(TfLiteAffineQuantization);
SAME_FIELD(TfLiteAffineQuantization, scale);
SAME_FIELD(TfLiteAffineQuantization, zero_point);
SAME_FIELD(TfLiteAffineQuantization, quantized_dimension);
SAME_SIZE(TfLiteDelegateParams);
SAME_FIELD(TfLiteDelegateParams, delegate);
SAME_FIELD(TfLiteDelegateParams, nodes_to_replace);
SAME_FIELD(TfLiteDelegateParams, input_tensors);
SAME_FIELD(TfLiteDelegateParams, output_tensors);
// Their data is a flexible array, which has no size: compare where it starts.
SAME_SIZE(TfLiteIntArray);
SAME_FIELD(TfLiteIntArray, size);
static_assert(offsetof(abi::TfLiteIntArray, data) == offsetof(::TfLiteIntArray, data), "");
SAME_SIZE(TfLiteFloatArray);
SAME_FIELD(TfLiteFloatArray, size);
static_assert(offsetof(abi::TfLiteFloatArray, data) == offsetof(::TfLiteFloatArray, data), "");

// We read a prefix of these.
SAME_FIELD(TfLiteConvParams, padding);
SAME_FIELD(TfLiteConvParams, stride_width);
SAME_FIELD(TfLiteConvParams, stride_height);
SAME_FIELD(TfLiteConvParams, activation);
SAME_FIELD(TfLiteConvParams, dilation_width_factor);
SAME_FIELD(TfLiteConvParams, dilation_height_factor);
SAME_FIELD(TfLiteDepthwiseConvParams, padding);
SAME_FIELD(TfLiteDepthwiseConvParams, stride_width);
SAME_FIELD(TfLiteDepthwiseConvParams, stride_height);
SAME_FIELD(TfLiteDepthwiseConvParams, depth_multiplier);
SAME_FIELD(TfLiteDepthwiseConvParams, activation);
SAME_FIELD(TfLiteDepthwiseConvParams, dilation_width_factor);
SAME_FIELD(TfLiteDepthwiseConvParams, dilation_height_factor);
SAME_FIELD(TfLiteFullyConnectedParams, activation);
SAME_FIELD(TfLiteFullyConnectedParams, weights_format);
SAME_FIELD(TfLiteFullyConnectedParams, keep_num_dims);

SAME_VALUE(kOk, kTfLiteOk);
SAME_VALUE(kError, kTfLiteError);
SAME_VALUE(kDelegateError, kTfLiteDelegateError);
SAME_VALUE(kFloat32, kTfLiteFloat32);
SAME_VALUE(kInt32, kTfLiteInt32);
SAME_VALUE(kUInt8, kTfLiteUInt8);
SAME_VALUE(kInt8, kTfLiteInt8);
SAME_VALUE(kMmapRo, kTfLiteMmapRo);
SAME_VALUE(kAffineQuantization, kTfLiteAffineQuantization);
SAME_VALUE(kAllowDynamicTensors, kTfLiteDelegateFlagsAllowDynamicTensors);
SAME_VALUE(kPaddingSame, kTfLitePaddingSame);
SAME_VALUE(kPaddingValid, kTfLitePaddingValid);
SAME_VALUE(kActNone, kTfLiteActNone);
SAME_VALUE(kActRelu, kTfLiteActRelu);
SAME_VALUE(kActReluN1To1, kTfLiteActReluN1To1);
SAME_VALUE(kActRelu6, kTfLiteActRelu6);
SAME_VALUE(kOptionalTensor, kTfLiteOptionalTensor);
SAME_VALUE(kBuiltinConv2D, kTfLiteBuiltinConv2d);
SAME_VALUE(kBuiltinFullyConnected, kTfLiteBuiltinFullyConnected);
SAME_VALUE(kBuiltinDepthwiseConv2D, kTfLiteBuiltinDepthwiseConv2d);
SAME_VALUE(kBuiltinRelu, kTfLiteBuiltinRelu);
SAME_VALUE(kBuiltinCustom, kTfLiteBuiltinCustom);

// Compares our declarations of LiteRT's C ABI with upstream's headers, field by field, at compile
// time. Built when TF_SIGNBIN_LITERT_HEADERS names a folder that holds litert/ and tflite/.
#include <cstddef>

#include "litert/c/internal/litert_abi_header.h"
#include "litert/c/internal/litert_accelerator_def.h"
#include "litert/c/internal/litert_custom_tensor_buffer_handlers_def.h"
#include "litert/c/internal/litert_runtime_context.h"
#include "litert/c/litert_common.h"
#include "litert/c/litert_environment_options.h"
#include "litert/litert_abi.h"

namespace ours = tf_signbin::litert;

#define SAME_FIELD(type, field)                                           \
  static_assert(offsetof(ours::type, field) == offsetof(::type, field) && \
                    sizeof(ours::type::field) == sizeof(::type::field),   \
                #type "." #field " differs from upstream's")
#define SAME_SIZE(type)                                                                         \
  static_assert(sizeof(ours::type) == sizeof(::type) && alignof(ours::type) == alignof(::type), \
                #type " differs in size from upstream's")
#define SAME_VALUE(ours_, upstream)                                                      \
  static_assert(static_cast<long long>(ours::ours_) == static_cast<long long>(upstream), \
                #upstream " has another value")

SAME_SIZE(LiteRtAbiHeader);
SAME_FIELD(LiteRtAbiHeader, struct_size);
SAME_FIELD(LiteRtAbiHeader, major_version);
SAME_FIELD(LiteRtAbiHeader, minor_version);
SAME_SIZE(LiteRtApiVersion);
// We read a prefix of it.
SAME_FIELD(LiteRtRuntimeContext, get_opaque_options);
SAME_FIELD(LiteRtRuntimeContext, find_opaque_options_data);
SAME_FIELD(LiteRtRuntimeContext, wrap_delegate);
SAME_SIZE(LiteRtCustomTensorBufferHandlersDef);
SAME_FIELD(LiteRtCustomTensorBufferHandlersDef, device_tag);
SAME_FIELD(LiteRtCustomTensorBufferHandlersDef, queue_tag);
SAME_FIELD(LiteRtCustomTensorBufferHandlersDef, num_supported_buffer_types);
SAME_FIELD(LiteRtCustomTensorBufferHandlersDef, supported_buffer_types);
SAME_SIZE(LiteRtAcceleratorDef);
SAME_FIELD(LiteRtAcceleratorDef, get_name);
SAME_FIELD(LiteRtAcceleratorDef, get_version);
SAME_FIELD(LiteRtAcceleratorDef, get_hardware_support);
SAME_FIELD(LiteRtAcceleratorDef, is_tflite_delegate_responsible_for_jit_compilation);
SAME_FIELD(LiteRtAcceleratorDef, create_delegate);
SAME_FIELD(LiteRtAcceleratorDef, start_metrics_collection);
SAME_FIELD(LiteRtAcceleratorDef, stop_metrics_collection);
SAME_FIELD(LiteRtAcceleratorDef, buffer_handlers);
SAME_VALUE(kOk, kLiteRtStatusOk);
SAME_VALUE(kInvalidArgument, kLiteRtStatusErrorInvalidArgument);
SAME_VALUE(kMemoryAllocationFailure, kLiteRtStatusErrorMemoryAllocationFailure);
SAME_VALUE(kWrongVersion, kLiteRtStatusErrorWrongVersion);
SAME_VALUE(kCpu, kLiteRtHwAcceleratorCpu);
SAME_VALUE(kTagNull, kLiteRtEnvOptionTagNull);

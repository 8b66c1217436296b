// The part of LiteRT's C ABI that an accelerator touches, from LiteRT 2.2 on.
//
// The runtime loads an accelerator's library and reads one structure from it; the functions that
// the accelerator calls come in a table. So nothing is linked, and it does not matter which file
// the runtime is in: libLiteRt.so, or one of the Python package's. Both structures begin with their
// size and version. abi_check.cc compares every field with upstream's headers where a path is
// given. Handles are void*; an enum is an int.
#ifndef TF_SIGNBIN_LITERT_LITERT_ABI_H_
#define TF_SIGNBIN_LITERT_LITERT_ABI_H_

#include <cstddef>
#include <cstdint>

#include "tflite/tflite_abi.h"

namespace tf_signbin {
namespace litert {

// LiteRtStatus
constexpr int kOk = 0, kInvalidArgument = 1, kMemoryAllocationFailure = 2, kWrongVersion = 8;
// LiteRtHwAccelerators
constexpr int kCpu = 1;
// LiteRtEnvOptionTag: no such option.
constexpr int kTagNull = 255;

struct LiteRtAbiHeader {
  uint16_t struct_size;
  uint16_t major_version;  // another one: another layout
  uint16_t minor_version;  // a higher one: fields were appended
  uint16_t reserved;
};

struct LiteRtApiVersion {
  int major, minor, patch;
};

// The leading fields that are used; later versions append others.
struct LiteRtRuntimeContext {
  LiteRtAbiHeader abi_header;
  void* tensor_buffer_requirements_and_buffer_context[9];
  int (*get_opaque_options)(void* options, void** opaque_options);
  int (*find_opaque_options_data)(void* opaque_options, const char* identifier, void** data);
  void* options_and_environment[6];
  int (*wrap_delegate)(abi::TfLiteDelegate* delegate, void (*deleter)(abi::TfLiteDelegate*),
                       void** wrapper);
};

struct LiteRtCustomTensorBufferHandlersDef {
  LiteRtAbiHeader abi_header;
  void* functions[6];
  int device_tag;
  int queue_tag;
  size_t num_supported_buffer_types;
  int supported_buffer_types[16];
};

struct LiteRtAcceleratorDef {
  LiteRtAbiHeader abi_header;
  int (*get_name)(const void* accelerator, const char** name);
  int (*get_version)(const void* accelerator, LiteRtApiVersion* version);
  int (*get_hardware_support)(const void* accelerator, int* hardware);
  int (*is_tflite_delegate_responsible_for_jit_compilation)(const void* accelerator, bool* is);
  int (*create_delegate)(LiteRtRuntimeContext* runtime, void* environment, const void* accelerator,
                         void* options, void** wrapper);
  void* start_metrics_collection;
  void* stop_metrics_collection;
  LiteRtCustomTensorBufferHandlersDef buffer_handlers;
};

#define TF_SIGNBIN_LAYOUT(type, field, offset64, offset32)                               \
  static_assert(offsetof(type, field) == (sizeof(void*) == 8 ? (offset64) : (offset32)), \
                #type "." #field " is not where the C ABI has it")
#define TF_SIGNBIN_SIZE(type, size64, size32)                               \
  static_assert(sizeof(type) == (sizeof(void*) == 8 ? (size64) : (size32)), \
                #type " has not the size it has in the C ABI")

TF_SIGNBIN_SIZE(LiteRtAbiHeader, 8, 8);
TF_SIGNBIN_LAYOUT(LiteRtRuntimeContext, get_opaque_options, 80, 44);
TF_SIGNBIN_LAYOUT(LiteRtRuntimeContext, find_opaque_options_data, 88, 48);
TF_SIGNBIN_LAYOUT(LiteRtRuntimeContext, wrap_delegate, 144, 76);
TF_SIGNBIN_SIZE(LiteRtCustomTensorBufferHandlersDef, 136, 108);
TF_SIGNBIN_LAYOUT(LiteRtCustomTensorBufferHandlersDef, device_tag, 56, 32);
TF_SIGNBIN_LAYOUT(LiteRtCustomTensorBufferHandlersDef, num_supported_buffer_types, 64, 40);
TF_SIGNBIN_SIZE(LiteRtAcceleratorDef, 200, 144);
TF_SIGNBIN_LAYOUT(LiteRtAcceleratorDef, get_name, 8, 8);
TF_SIGNBIN_LAYOUT(LiteRtAcceleratorDef, create_delegate, 40, 24);
TF_SIGNBIN_LAYOUT(LiteRtAcceleratorDef, buffer_handlers, 64, 36);

#undef TF_SIGNBIN_LAYOUT
#undef TF_SIGNBIN_SIZE

}  // namespace litert
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_LITERT_LITERT_ABI_H_

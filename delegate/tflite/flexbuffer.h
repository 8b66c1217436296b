// Reads a FlexBuffer whose root is a map of integers and strings: the options of our operators.
// The bytes come from a model file: every offset and length is checked before it is followed.
#ifndef TF_SIGNBIN_TFLITE_FLEXBUFFER_H_
#define TF_SIGNBIN_TFLITE_FLEXBUFFER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "engine/types.h"

namespace tf_signbin {

struct FlexValue {
  bool is_string = false;
  int64_t integer = 0;
  std::string string;
};

// Fails on anything that is not such a map, and on a key that occurs twice.
Status ReadFlexMap(const uint8_t* data, size_t size, std::map<std::string, FlexValue>* values);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_FLEXBUFFER_H_

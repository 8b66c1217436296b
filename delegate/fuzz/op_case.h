// One operator of an untrusted model, as bytes: what the fuzzer mutates, and what a test replays.
#ifndef TF_SIGNBIN_FUZZ_OP_CASE_H_
#define TF_SIGNBIN_FUZZ_OP_CASE_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace tf_signbin {

struct TensorCase {
  uint8_t type = 0;           // TfLiteType
  std::vector<int16_t> dims;  // at most 7
  std::vector<uint8_t> data;  // of a constant; empty: the runtime allocates it
  float scale = 0;
  int16_t zero_point = 0;
  std::vector<float> scales;  // per channel; empty: no affine quantization
};

enum OpCode : uint8_t { kPackedConv, kPackedFullyConnected, kBuiltinConv, kBuiltinFullyConnected };

struct OpCase {
  uint8_t op = kPackedConv;
  // What the delegate is asked for; taken modulo the number of choices.
  uint8_t isa = 0, family = 0, group = 0, threads = 0;
  std::vector<uint8_t> options;          // packed: the FlexBuffer; builtin: one byte an attribute
  std::vector<uint8_t> inputs, outputs;  // tensor indices; 255: none
  TensorCase tensors[5];                 // activation, masks or weights, values, bias, output
  std::vector<int16_t> resized;     // the activation's shape for a second run; empty: no second run
  std::vector<uint8_t> activation;  // repeated to fill the activation
};

// Reads a case from any bytes; what is missing at the end is 0.
class CaseReader {
 public:
  CaseReader(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  template <typename T>
  void Value(T* value) {
    const size_t bytes = std::min(size_, sizeof(T));
    *value = T{};
    if (bytes > 0) std::memcpy(value, data_, bytes);
    data_ += bytes;
    size_ -= bytes;
  }
  template <typename Count, typename T>
  void List(std::vector<T>* values, size_t most) {
    Count count;
    Value(&count);
    const size_t left = size_ / sizeof(T);
    values->resize(std::min({static_cast<size_t>(count), left, most}));
    for (T& value : *values) Value(&value);
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

// Writes what CaseReader reads.
class CaseWriter {
 public:
  template <typename T>
  void Value(const T* value) {
    const auto* first = reinterpret_cast<const uint8_t*>(value);
    bytes.insert(bytes.end(), first, first + sizeof(T));
  }
  template <typename Count, typename T>
  void List(const std::vector<T>* values, size_t) {
    const Count count = static_cast<Count>(values->size());
    Value(&count);
    for (const T& value : *values) Value(&value);
  }

  std::vector<uint8_t> bytes;
};

// The layout of a case, for reading and for writing.
template <typename Archive, typename Case>
void VisitCase(Archive* archive, Case* c) {
  for (auto* byte : {&c->op, &c->isa, &c->family, &c->group, &c->threads}) archive->Value(byte);
  archive->template List<uint16_t>(&c->options, 4096);
  archive->template List<uint8_t>(&c->inputs, 8);
  archive->template List<uint8_t>(&c->outputs, 8);
  for (auto& tensor : c->tensors) {
    archive->Value(&tensor.type);
    archive->template List<uint8_t>(&tensor.dims, 7);
    archive->template List<uint16_t>(&tensor.data, 65535);
    archive->Value(&tensor.scale);
    archive->Value(&tensor.zero_point);
    archive->template List<uint8_t>(&tensor.scales, 255);
  }
  archive->template List<uint8_t>(&c->resized, 7);
  archive->template List<uint16_t>(&c->activation, 65535);
}

inline OpCase ReadCase(const uint8_t* data, size_t size) {
  OpCase op_case;
  CaseReader reader(data, size);
  VisitCase(&reader, &op_case);
  return op_case;
}

inline std::vector<uint8_t> WriteCase(const OpCase& op_case) {
  CaseWriter writer;
  VisitCase(&writer, &op_case);
  return writer.bytes;
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_FUZZ_OP_CASE_H_

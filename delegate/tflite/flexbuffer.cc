#include "tflite/flexbuffer.h"

#include <cstring>
#include <limits>

namespace tf_signbin {
namespace {

// FlexBuffer types that options use.
enum Type : uint8_t {
  kInt = 1,
  kUint = 2,
  kKey = 4,
  kString = 5,
  kIndirectInt = 6,
  kIndirectUint = 7,
  kMap = 9,
};

// No operator has more options; a map that claims more is not ours.
constexpr uint64_t kMaxEntries = 64;

// Little-endian access to the buffer that fails instead of leaving it.
class Reader {
 public:
  Reader(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool Unsigned(size_t at, unsigned width, uint64_t* value) const {
    if (width > size_ || at > size_ - width) return false;
    *value = 0;
    for (unsigned i = 0; i < width; ++i) *value |= static_cast<uint64_t>(data_[at + i]) << (8 * i);
    return true;
  }

  bool Signed(size_t at, unsigned width, int64_t* value) const {
    uint64_t bits;
    if (!Unsigned(at, width, &bits)) return false;
    const unsigned unused = 64 - 8 * width;
    *value = static_cast<int64_t>(bits << unused) >> unused;
    return true;
  }

  // Offsets point backwards from where they are stored.
  bool Follow(size_t at, unsigned width, size_t* target) const {
    uint64_t offset;
    if (!Unsigned(at, width, &offset) || offset > at) return false;
    *target = at - static_cast<size_t>(offset);
    return true;
  }

  bool Bytes(size_t at, uint64_t length, std::string* text) const {
    if (at > size_ || length > size_ - at) return false;
    text->assign(reinterpret_cast<const char*>(data_) + at, static_cast<size_t>(length));
    return true;
  }

  bool ZeroTerminated(size_t at, std::string* text) const {
    if (at >= size_) return false;
    const void* end = std::memchr(data_ + at, 0, size_ - at);
    if (end == nullptr) return false;
    return Bytes(at, static_cast<const uint8_t*>(end) - (data_ + at), text);
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

bool IsWidth(uint64_t width) { return width == 1 || width == 2 || width == 4 || width == 8; }

// A value of type `packed_type` stored at `at` in a container of elements of `width` bytes.
bool ReadValue(const Reader& reader, size_t at, unsigned width, uint8_t packed_type,
               FlexValue* value) {
  const uint8_t type = packed_type >> 2;
  const unsigned child_width = 1u << (packed_type & 3);
  size_t target = at;
  unsigned target_width = width;
  if (type != kInt && type != kUint) {
    if (!reader.Follow(at, width, &target)) return false;
    target_width = child_width;
  }
  switch (type) {
    case kInt:
    case kIndirectInt:
      return reader.Signed(target, target_width, &value->integer);
    case kUint:
    case kIndirectUint: {
      uint64_t bits;
      if (!reader.Unsigned(target, target_width, &bits)) return false;
      if (bits > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return false;
      value->integer = static_cast<int64_t>(bits);
      return true;
    }
    case kKey:
      value->is_string = true;
      return reader.ZeroTerminated(target, &value->string);
    case kString: {
      uint64_t length;
      value->is_string = true;
      return target >= target_width &&
             reader.Unsigned(target - target_width, target_width, &length) &&
             reader.Bytes(target, length, &value->string);
    }
    default:
      return false;
  }
}

}  // namespace

Status ReadFlexMap(const uint8_t* data, size_t size, std::map<std::string, FlexValue>* values) {
  const Status malformed = Status::Error("the options are not a valid FlexBuffer map");
  values->clear();
  if (data == nullptr || size < 3) return malformed;
  const Reader reader(data, size);
  const unsigned root_width = data[size - 1];
  const uint8_t root_type = data[size - 2];
  if (!IsWidth(root_width) || size - 2 < root_width || root_type >> 2 != kMap) return malformed;
  const unsigned width = 1u << (root_type & 3);
  size_t map;
  if (!reader.Follow(size - 2 - root_width, root_width, &map)) return malformed;

  // In front of the values: offset to the keys, byte width of the keys, number of entries.
  uint64_t entries, key_width, key_entries;
  size_t keys;
  if (map < 3 * width || !reader.Unsigned(map - width, width, &entries) ||
      !reader.Unsigned(map - 2 * width, width, &key_width) ||
      !reader.Follow(map - 3 * width, width, &keys) || !IsWidth(key_width) ||
      entries > kMaxEntries || keys < key_width ||
      !reader.Unsigned(keys - static_cast<size_t>(key_width), static_cast<unsigned>(key_width),
                       &key_entries) ||
      key_entries != entries) {
    return malformed;
  }
  const size_t types = map + static_cast<size_t>(entries) * width;
  for (size_t i = 0; i < entries; ++i) {
    size_t key_at;
    std::string key;
    uint64_t type;
    if (!reader.Follow(keys + i * static_cast<size_t>(key_width), static_cast<unsigned>(key_width),
                       &key_at) ||
        !reader.ZeroTerminated(key_at, &key) || !reader.Unsigned(types + i, 1, &type)) {
      return malformed;
    }
    FlexValue value;
    if (!ReadValue(reader, map + i * width, width, static_cast<uint8_t>(type), &value)) {
      return Status::Error("option '" + key + "' is neither an integer nor a string");
    }
    if (!values->emplace(key, std::move(value)).second) {
      return Status::Error("option '" + key + "' occurs twice");
    }
  }
  return Status::Ok();
}

}  // namespace tf_signbin

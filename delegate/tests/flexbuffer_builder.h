// Writes a FlexBuffer map of integers and strings, every element 8 bytes wide.
#ifndef TF_SIGNBIN_TESTS_FLEXBUFFER_BUILDER_H_
#define TF_SIGNBIN_TESTS_FLEXBUFFER_BUILDER_H_

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace tf_signbin {

using FlexFields = std::map<std::string, std::variant<int64_t, std::string>>;

inline std::vector<uint8_t> BuildFlexMap(const FlexFields& fields) {
  std::vector<uint8_t> bytes;
  const auto put8 = [&](uint64_t value) {
    for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  };
  const auto put_text = [&](const std::string& text) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    bytes.push_back(0);
  };
  std::vector<size_t> keys, strings;
  for (const auto& [key, value] : fields) {
    keys.push_back(bytes.size());
    put_text(key);
    strings.push_back(0);
    if (const auto* text = std::get_if<std::string>(&value)) {
      put8(text->size());
      strings.back() = bytes.size();
      put_text(*text);
    }
  }
  put8(fields.size());
  const size_t keys_at = bytes.size();
  for (const size_t key : keys) put8(bytes.size() - key);
  put8(bytes.size() - keys_at);
  put8(8);  // width of the keys
  put8(fields.size());
  const size_t map_at = bytes.size();
  size_t index = 0;
  for (const auto& [key, value] : fields) {
    if (const auto* number = std::get_if<int64_t>(&value)) {
      put8(static_cast<uint64_t>(*number));
    } else {
      put8(bytes.size() - strings[index]);
    }
    ++index;
  }
  constexpr uint8_t kInt = 1, kString = 5, kMap = 9, kWidth8 = 3;
  for (const auto& [key, value] : fields) {
    bytes.push_back((std::holds_alternative<int64_t>(value) ? kInt : kString) << 2 | kWidth8);
  }
  put8(bytes.size() - map_at);
  bytes.push_back(kMap << 2 | kWidth8);
  bytes.push_back(8);  // width of the root
  return bytes;
}

// The options of a convolution that ReadOpOptions accepts.
inline FlexFields ConvFields() {
  return {{"version", 1},     {"kind", "two_valued"}, {"kernel_h", 3},     {"kernel_w", 3},
          {"in_channels", 8}, {"out_channels", 4},    {"stride_h", 2},     {"stride_w", 1},
          {"dilation_h", 1},  {"dilation_w", 2},      {"padding", "SAME"}, {"activation", "RELU6"},
          {"regions", 1},     {"pattern_n", 2},       {"pattern_m", 7},    {"keep_num_dims", 0}};
}

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TESTS_FLEXBUFFER_BUILDER_H_

#include "tflite/op_options.h"

#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tflite/flexbuffer.h"

namespace tf_signbin {
namespace {

constexpr int kVersion = 1;

// Takes the known keys out of the map; what is left over is unknown. Keeps the first error.
class OptionTaker {
 public:
  explicit OptionTaker(std::map<std::string, FlexValue> values) : values_(std::move(values)) {}

  int Int(const char* key, int least, int most) {
    FlexValue value;
    if (!Take(key, &value)) return least;
    if (value.is_string) {
      Fail(std::string("option ") + key + " is the string '" + value.string +
           "'; it must be an integer");
      return least;
    }
    if (value.integer < least || value.integer > most) {
      Fail(std::string("option ") + key + " is " + std::to_string(value.integer) +
           "; it must be at least " + std::to_string(least) +
           (most == std::numeric_limits<int>::max() ? "" : " and at most " + std::to_string(most)));
      return least;
    }
    return static_cast<int>(value.integer);
  }

  template <typename T>
  T Choice(const char* key, const std::vector<std::pair<const char*, T>>& choices) {
    FlexValue value;
    if (!Take(key, &value)) return choices[0].second;
    std::string known;
    for (const auto& choice : choices) {
      if (value.is_string && value.string == choice.first) return choice.second;
      known += (known.empty() ? "" : ", ") + std::string(choice.first);
    }
    Fail(std::string("option ") + key + " is " +
         (value.is_string ? "'" + value.string + "'" : std::to_string(value.integer)) +
         "; it must be one of " + known);
    return choices[0].second;
  }

  Status Finish() {
    if (status_.ok() && !values_.empty()) {
      Fail("option '" + values_.begin()->first + "' is unknown to version " +
           std::to_string(kVersion));
    }
    return status_;
  }

  const Status& status() const { return status_; }

 private:
  bool Take(const char* key, FlexValue* value) {
    const auto found = values_.find(key);
    if (found == values_.end()) {
      Fail(std::string("option ") + key + " is missing");
      return false;
    }
    *value = std::move(found->second);
    values_.erase(found);
    return true;
  }

  void Fail(std::string message) {
    if (status_.ok()) status_ = Status::Error(std::move(message));
  }

  std::map<std::string, FlexValue> values_;
  Status status_;
};

}  // namespace

Status ReadOpOptions(OpType op, const uint8_t* data, size_t size, OpOptions* options) {
  std::map<std::string, FlexValue> values;
  const Status read = ReadFlexMap(data, size, &values);
  if (!read.ok()) return read;
  OptionTaker take(std::move(values));
  const int version = take.Int("version", 1, std::numeric_limits<int>::max());
  if (!take.status().ok()) return take.status();
  if (version != kVersion) {
    return Status::Error("option version is " + std::to_string(version) +
                         "; this delegate knows version " + std::to_string(kVersion) +
                         ". Update the delegate or convert the model with an older converter");
  }
  constexpr int kAny = std::numeric_limits<int>::max();
  const bool conv = op == OpType::kConv2D;
  const int one = conv ? kAny : 1;
  OpOptions& o = *options;
  o.kind = take.Choice<WeightKind>(
      "kind", {{"two_valued", WeightKind::kTwoValued}, {"ternary", WeightKind::kTernary}});
  o.kernel_h = take.Int("kernel_h", 1, one);
  o.kernel_w = take.Int("kernel_w", 1, one);
  o.in_channels = take.Int("in_channels", 1, kAny);
  o.out_channels = take.Int("out_channels", 1, kAny);
  o.stride_h = take.Int("stride_h", 1, one);
  o.stride_w = take.Int("stride_w", 1, one);
  o.dilation_h = take.Int("dilation_h", 1, one);
  o.dilation_w = take.Int("dilation_w", 1, one);
  o.padding =
      conv ? take.Choice<Padding>("padding", {{"SAME", Padding::kSame}, {"VALID", Padding::kValid}})
           : take.Choice<Padding>("padding", {{"VALID", Padding::kValid}});
  o.activation = take.Choice<Activation>("activation", {{"NONE", Activation::kNone},
                                                        {"RELU", Activation::kRelu},
                                                        {"RELU6", Activation::kRelu6},
                                                        {"RELU_N1_TO_1", Activation::kReluN1To1}});
  o.regions = take.Int("regions", 1, kAny);
  o.pattern_n = take.Int("pattern_n", 0, kAny);
  o.pattern_m = take.Int("pattern_m", 0, kAny);
  o.keep_num_dims = take.Int("keep_num_dims", 0, conv ? 0 : 1) == 1;
  return take.Finish();
}

}  // namespace tf_signbin

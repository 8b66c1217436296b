// The FlexBuffer reader and the operators' options, with what Python's flexbuffers writes, with
// every truncation of it and with damaged bytes. Run under AddressSanitizer, this proves that no
// read leaves the buffer.
#include "tflite/op_options.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/flexbuffer_builder.h"
#include "tests/random_layer.h"
#include "tflite/flexbuffer.h"

namespace tf_signbin {
namespace {

// flatbuffers.flexbuffers.Dumps of a 3x3 convolution of 300 channels (so that elements are 2 bytes
// wide), made with Python's flatbuffers 25.12.
const uint8_t kFromPython[] = {
    0x76, 0x65, 0x72, 0x73, 0x69, 0x6f, 0x6e, 0x00, 0x6b, 0x69, 0x6e, 0x64, 0x00, 0x0a, 0x74, 0x77,
    0x6f, 0x5f, 0x76, 0x61, 0x6c, 0x75, 0x65, 0x64, 0x00, 0x6b, 0x65, 0x72, 0x6e, 0x65, 0x6c, 0x5f,
    0x68, 0x00, 0x6b, 0x65, 0x72, 0x6e, 0x65, 0x6c, 0x5f, 0x77, 0x00, 0x69, 0x6e, 0x5f, 0x63, 0x68,
    0x61, 0x6e, 0x6e, 0x65, 0x6c, 0x73, 0x00, 0x6f, 0x75, 0x74, 0x5f, 0x63, 0x68, 0x61, 0x6e, 0x6e,
    0x65, 0x6c, 0x73, 0x00, 0x73, 0x74, 0x72, 0x69, 0x64, 0x65, 0x5f, 0x68, 0x00, 0x73, 0x74, 0x72,
    0x69, 0x64, 0x65, 0x5f, 0x77, 0x00, 0x64, 0x69, 0x6c, 0x61, 0x74, 0x69, 0x6f, 0x6e, 0x5f, 0x68,
    0x00, 0x64, 0x69, 0x6c, 0x61, 0x74, 0x69, 0x6f, 0x6e, 0x5f, 0x77, 0x00, 0x70, 0x61, 0x64, 0x64,
    0x69, 0x6e, 0x67, 0x00, 0x04, 0x53, 0x41, 0x4d, 0x45, 0x00, 0x61, 0x63, 0x74, 0x69, 0x76, 0x61,
    0x74, 0x69, 0x6f, 0x6e, 0x00, 0x05, 0x52, 0x45, 0x4c, 0x55, 0x36, 0x00, 0x72, 0x65, 0x67, 0x69,
    0x6f, 0x6e, 0x73, 0x00, 0x70, 0x61, 0x74, 0x74, 0x65, 0x72, 0x6e, 0x5f, 0x6e, 0x00, 0x70, 0x61,
    0x74, 0x74, 0x65, 0x72, 0x6e, 0x5f, 0x6d, 0x00, 0x6b, 0x65, 0x65, 0x70, 0x5f, 0x6e, 0x75, 0x6d,
    0x5f, 0x64, 0x69, 0x6d, 0x73, 0x00, 0x10, 0x3d, 0x62, 0x58, 0x8f, 0x13, 0xa3, 0x9b, 0xb6, 0x88,
    0x54, 0x23, 0x2e, 0x37, 0x80, 0x78, 0xc6, 0x00, 0x11, 0x00, 0x01, 0x00, 0x10, 0x00, 0x48, 0x00,
    0x01, 0x00, 0x02, 0x00, 0x2c, 0x01, 0x00, 0x00, 0x03, 0x00, 0x03, 0x00, 0xce, 0x00, 0x04, 0x00,
    0x6b, 0x00, 0x07, 0x00, 0x02, 0x00, 0x01, 0x00, 0x02, 0x00, 0x01, 0x00, 0x01, 0x00, 0x14, 0x05,
    0x05, 0x05, 0x05, 0x05, 0x05, 0x14, 0x05, 0x14, 0x05, 0x05, 0x05, 0x05, 0x05, 0x05, 0x30, 0x25,
    0x01,
};

// Reads from a heap block of exactly `bytes`, so that AddressSanitizer sees every overrun.
Status Read(const std::vector<uint8_t>& bytes, OpOptions* options, OpType op = OpType::kConv2D) {
  std::unique_ptr<uint8_t[]> exact(new uint8_t[bytes.size()]);
  std::copy(bytes.begin(), bytes.end(), exact.get());
  return ReadOpOptions(op, exact.get(), bytes.size(), options);
}

std::string Error(const FlexFields& fields, OpType op = OpType::kConv2D) {
  OpOptions options;
  return Read(BuildFlexMap(fields), &options, op).message();
}

std::string ErrorWith(const char* key, std::variant<int64_t, std::string> value) {
  FlexFields fields = ConvFields();
  fields[key] = value;
  return Error(fields);
}

std::vector<uint8_t> FromPython() {
  return std::vector<uint8_t>(std::begin(kFromPython), std::end(kFromPython));
}

void CheckConv(const OpOptions& o, int in_channels) {
  EXPECT_EQ(o.kind, WeightKind::kTwoValued);
  EXPECT_EQ(o.kernel_h, 3);
  EXPECT_EQ(o.kernel_w, 3);
  EXPECT_EQ(o.in_channels, in_channels);
  EXPECT_EQ(o.out_channels, 4);
  EXPECT_EQ(o.stride_h, 2);
  EXPECT_EQ(o.stride_w, 1);
  EXPECT_EQ(o.dilation_h, 1);
  EXPECT_EQ(o.dilation_w, 2);
  EXPECT_EQ(o.padding, Padding::kSame);
  EXPECT_EQ(o.activation, Activation::kRelu6);
  EXPECT_EQ(o.regions, 1);
  EXPECT_EQ(o.pattern_n, 2);
  EXPECT_EQ(o.pattern_m, 7);
  EXPECT_FALSE(o.keep_num_dims);
}

TEST(OpOptions, ReadsWhatPythonWrites) {
  OpOptions options;
  const Status status = Read(FromPython(), &options);
  ASSERT_TRUE(status.ok()) << status.message();
  CheckConv(options, 300);
}

TEST(OpOptions, ReadsWideElements) {
  OpOptions options;
  const Status status = Read(BuildFlexMap(ConvFields()), &options);
  ASSERT_TRUE(status.ok()) << status.message();
  CheckConv(options, 8);
}

TEST(OpOptions, EveryTruncationIsAnError) {
  for (const std::vector<uint8_t>& whole : {FromPython(), BuildFlexMap(ConvFields())}) {
    for (size_t size = 0; size < whole.size(); ++size) {
      OpOptions options;
      const Status status =
          Read(std::vector<uint8_t>(whole.begin(), whole.begin() + size), &options);
      EXPECT_FALSE(status.ok()) << size << " bytes";
    }
  }
}

TEST(OpOptions, NullIsAnError) {
  OpOptions options;
  EXPECT_FALSE(ReadOpOptions(OpType::kConv2D, nullptr, 0, &options).ok());
}

TEST(OpOptions, EverySingleByteChangeIsReadSafely) {
  for (const std::vector<uint8_t>& whole : {FromPython(), BuildFlexMap(ConvFields())}) {
    for (size_t at = 0; at < whole.size(); ++at) {
      for (int value = 0; value < 256; ++value) {
        std::vector<uint8_t> damaged = whole;
        damaged[at] = static_cast<uint8_t>(value);
        OpOptions options;
        if (!Read(damaged, &options).ok()) continue;
        EXPECT_GE(options.kernel_h, 1);
        EXPECT_GE(options.stride_w, 1);
        EXPECT_GE(options.pattern_m, 0);
      }
    }
  }
}

TEST(OpOptions, RandomDamageIsReadSafely) {
  for (const uint64_t seed : Seeds(20000)) {
    Rng rng(seed);
    std::vector<uint8_t> damaged = rng.Chance(0.5) ? FromPython() : BuildFlexMap(ConvFields());
    for (int i = rng.Int(1, 8); i > 0; --i) {
      // Mostly near the end, where the offsets are.
      const int last = static_cast<int>(damaged.size()) - 1;
      const int at = rng.Chance(0.7) ? last - rng.Int(0, std::min(last, 120)) : rng.Int(0, last);
      damaged[at] = static_cast<uint8_t>(rng.Chance(0.3) ? 0xff : rng.Int(0, 255));
    }
    OpOptions options;
    Read(damaged, &options);
  }
}

TEST(OpOptions, NamesWhatIsWrong) {
  EXPECT_NE(ErrorWith("version", 2).find("version is 2"), std::string::npos);
  EXPECT_NE(ErrorWith("kind", "quaternary").find("kind is 'quaternary'"), std::string::npos);
  EXPECT_NE(ErrorWith("kind", 3).find("kind is 3"), std::string::npos);
  EXPECT_NE(ErrorWith("kernel_h", 0).find("kernel_h is 0"), std::string::npos);
  EXPECT_NE(ErrorWith("kernel_h", int64_t{1} << 40).find("kernel_h is 1099511627776"),
            std::string::npos);
  EXPECT_NE(ErrorWith("stride_w", "two").find("stride_w is the string 'two'"), std::string::npos);
  EXPECT_NE(ErrorWith("padding", "REFLECT").find("SAME, VALID"), std::string::npos);
  EXPECT_NE(ErrorWith("activation", "TANH").find("RELU_N1_TO_1"), std::string::npos);
  EXPECT_NE(ErrorWith("pattern_n", -1).find("pattern_n is -1"), std::string::npos);
  EXPECT_NE(ErrorWith("keep_num_dims", 1).find("keep_num_dims"), std::string::npos);
  EXPECT_NE(ErrorWith("groups", 2).find("'groups' is unknown"), std::string::npos);
}

TEST(OpOptions, EveryKeyIsRequired) {
  for (const auto& [key, value] : ConvFields()) {
    FlexFields fields = ConvFields();
    fields.erase(key);
    EXPECT_NE(Error(fields).find(key + " is missing"), std::string::npos) << Error(fields);
  }
}

TEST(OpOptions, FullyConnectedHasNoWindow) {
  FlexFields fields = ConvFields();
  for (const char* key : {"kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h",
                          "dilation_w", "keep_num_dims"}) {
    fields[key] = 1;
  }
  fields["padding"] = "VALID";
  EXPECT_EQ(Error(fields, OpType::kFullyConnected), "");
  fields["kernel_w"] = 3;
  EXPECT_NE(Error(fields, OpType::kFullyConnected).find("kernel_w is 3"), std::string::npos);
}

TEST(FlexMap, RefusesTooManyEntriesAndOtherTypes) {
  FlexFields many;
  for (int i = 0; i < 65; ++i) many["key" + std::to_string(i)] = i;
  std::map<std::string, FlexValue> values;
  const std::vector<uint8_t> bytes = BuildFlexMap(many);
  EXPECT_FALSE(ReadFlexMap(bytes.data(), bytes.size(), &values).ok());
  const uint8_t integer[] = {5, 4, 1};  // a root that is the integer 5
  EXPECT_FALSE(ReadFlexMap(integer, sizeof(integer), &values).ok());
}

}  // namespace
}  // namespace tf_signbin

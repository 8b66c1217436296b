// The adapter inside a fake runtime: what Python cannot reach (hostile tensors, calls out of
// order). The results themselves are held against TensorFlow Lite in tests/delegate.
#include "tflite/delegate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/fake_runtime.h"
#include "tests/flexbuffer_builder.h"
#include "tests/random_layer.h"
#include "tflite/op_options.h"
#include "tflite/register.h"

namespace tf_signbin {
namespace {

// A 2x2 VALID convolution of 3 channels with 2 filters on a 3x3 image; filter 0 has the value 2
// where a mask bit is 1, filter 1 has -1; backgrounds 0.
constexpr int kInputs = 3 * 3 * 3, kWeights = 2 * 2 * 3;
const uint8_t kMasks[] = {0x01, 0x00, 0xff, 0x0f};  // filter 0: weight 0 only; filter 1: all 12

FlexFields Fields() {
  FlexFields fields = ConvFields();
  fields["kernel_h"] = fields["kernel_w"] = 2;
  fields["in_channels"] = 3;
  fields["out_channels"] = 2;
  fields["stride_h"] = fields["dilation_w"] = 1;
  fields["padding"] = "VALID";
  fields["activation"] = "NONE";
  fields["pattern_n"] = fields["pattern_m"] = 0;
  return fields;
}

struct Model {
  FakeRuntime runtime;
  int input, masks, values, bias, output;

  Model(bool is_float, const std::vector<uint8_t>& options) {
    const int type = is_float ? abi::kFloat32 : abi::kInt8;
    input = runtime.AddTensor(type, {1, 3, 3, 3});
    masks = runtime.AddTensor(abi::kUInt8, {1, 2, 2}, kMasks, sizeof(kMasks));
    const float values_f32[] = {0, 2, 0, -1};
    const int8_t values_i8[] = {0, 2, 0, -1};
    values = is_float ? runtime.AddTensor(type, {2, 1, 2}, values_f32, sizeof(values_f32))
                      : runtime.AddTensor(type, {2, 1, 2}, values_i8, sizeof(values_i8));
    const float bias_f32[] = {10, 20};
    const int32_t bias_i32[] = {10, 20};
    bias = is_float ? runtime.AddTensor(abi::kFloat32, {2}, bias_f32, sizeof(bias_f32))
                    : runtime.AddTensor(abi::kInt32, {2}, bias_i32, sizeof(bias_i32));
    output = runtime.AddTensor(type, {1, 2, 2, 2});
    if (!is_float) runtime.SetScales(values, {1.0f, 1.0f});
    runtime.AddNode(abi::kBuiltinCustom, kConvOpName, {input, masks, values, bias}, {output},
                    options.data(), options.size());
  }

  // Fills the input with 0, 1, 2, ...
  void SetInput() {
    runtime.Allocate(input);
    abi::TfLiteTensor& tensor = runtime.tensor(input);
    for (int i = 0; i < kInputs; ++i) {
      if (tensor.type == abi::kFloat32) {
        static_cast<float*>(tensor.data)[i] = static_cast<float>(i);
      } else {
        static_cast<int8_t*>(tensor.data)[i] = static_cast<int8_t>(i);
      }
    }
  }
};

struct DelegateOwner {
  abi::TfLiteDelegate* delegate;
  explicit DelegateOwner(const DelegateOptions& options = {}) : delegate(CreateDelegate(options)) {}
  ~DelegateOwner() { DestroyDelegate(delegate); }
  int Apply(FakeRuntime* runtime) { return delegate->Prepare(runtime->context(), delegate); }
};

DelegateOptions Quiet() {
  DelegateOptions options;
  options.log_level = LogLevel::kError;
  return options;
}

// What filter 0 (2 * first weight) and filter 1 (minus the window sum) give at output (y, x).
int Expected(int filter, int y, int x) {
  if (filter == 0) return 10 + 2 * (3 * (3 * y + x));
  int sum = 0;
  for (int dy = 0; dy < 2; ++dy) {
    for (int i = 0; i < 6; ++i) sum += 3 * (3 * (y + dy) + x) + i;
  }
  return 20 - sum;
}

TEST(Delegate, RunsAPackedFloatConvolution) {
  DelegateOwner owner(Quiet());
  Model model(true, BuildFlexMap(Fields()));
  ASSERT_EQ(owner.Apply(&model.runtime), abi::kOk) << model.runtime.error;
  ASSERT_EQ(model.runtime.replaced(), 1);
  EXPECT_STREQ(model.runtime.last_registration().custom_name, kConvOpName);
  model.SetInput();
  ASSERT_EQ(model.runtime.Prepare(), abi::kOk) << model.runtime.error;
  ASSERT_EQ(model.runtime.Invoke(), abi::kOk) << model.runtime.error;
  const auto* output = static_cast<const float*>(model.runtime.tensor(model.output).data);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(output[i], Expected(i % 2, i / 4, i / 2 % 2)) << i;
}

TEST(Delegate, RunsAPackedInt8Convolution) {
  DelegateOwner owner(Quiet());
  Model model(false, BuildFlexMap(Fields()));
  // Input scale 1 and zero point 0; output scale 2, so every sum is halved.
  model.runtime.tensor(model.input).params = {1, 0};
  model.runtime.tensor(model.output).params = {2, 5};
  ASSERT_EQ(owner.Apply(&model.runtime), abi::kOk) << model.runtime.error;
  model.SetInput();
  ASSERT_EQ(model.runtime.Prepare(), abi::kOk) << model.runtime.error;
  ASSERT_EQ(model.runtime.Invoke(), abi::kOk) << model.runtime.error;
  const auto* output = static_cast<const int8_t*>(model.runtime.tensor(model.output).data);
  for (int i = 0; i < 8; ++i) {
    const int half = static_cast<int>(std::lround(Expected(i % 2, i / 4, i / 2 % 2) / 2.0));
    EXPECT_EQ(output[i], std::max(-128, half + 5)) << i;
  }
}

TEST(Delegate, StaticRegistrationRunsTheSameOperator) {
  Model model(true, BuildFlexMap(Fields()));
  auto* registration = reinterpret_cast<abi::TfLiteRegistration*>(TfSignBinRegister_CONV_2D());
  EXPECT_STREQ(registration->custom_name, kConvOpName);
  abi::TfLiteNode* node;
  abi::TfLiteRegistration* unresolved;
  abi::TfLiteContext* context = model.runtime.context();
  ASSERT_EQ(context->GetNodeAndRegistration(context, 0, &node, &unresolved), abi::kOk);
  const auto* bytes = static_cast<const char*>(node->custom_initial_data);
  node->user_data = registration->init(context, bytes, node->custom_initial_data_size);
  EXPECT_EQ(registration->invoke(context, node), abi::kError);  // not prepared
  model.SetInput();
  ASSERT_EQ(registration->prepare(context, node), abi::kOk) << model.runtime.error;
  ASSERT_EQ(registration->invoke(context, node), abi::kOk) << model.runtime.error;
  const auto* output = static_cast<const float*>(model.runtime.tensor(model.output).data);
  EXPECT_EQ(output[0], Expected(0, 0, 0));
  EXPECT_EQ(output[7], Expected(1, 1, 1));
  registration->free(context, node->user_data);
  node->user_data = nullptr;
  EXPECT_STREQ(
      reinterpret_cast<abi::TfLiteRegistration*>(TfSignBinRegister_FULLY_CONNECTED())->custom_name,
      kFullyConnectedOpName);
}

TEST(Delegate, ResizesBetweenInvokes) {
  DelegateOwner owner(Quiet());
  Model model(true, BuildFlexMap(Fields()));
  ASSERT_EQ(owner.Apply(&model.runtime), abi::kOk);
  for (const std::vector<int>& dims :
       std::vector<std::vector<int>>{{1, 3, 3, 3}, {2, 5, 4, 3}, {0, 3, 3, 3}, {1, 2, 2, 3}}) {
    model.runtime.SetDims(model.input, dims);
    model.runtime.Allocate(model.input);
    ASSERT_EQ(model.runtime.Prepare(), abi::kOk) << model.runtime.error;
    EXPECT_EQ(model.runtime.Dims(model.output),
              (std::vector<int>{dims[0], dims[1] - 1, dims[2] - 1, 2}));
    ASSERT_EQ(model.runtime.Invoke(), abi::kOk) << model.runtime.error;
  }
}

TEST(Delegate, FailedPrepareLeavesNothingToInvoke) {
  DelegateOwner owner(Quiet());
  Model model(true, BuildFlexMap(Fields()));
  ASSERT_EQ(owner.Apply(&model.runtime), abi::kOk);
  model.SetInput();
  ASSERT_EQ(model.runtime.Prepare(), abi::kOk);
  model.runtime.SetDims(model.input, {1, 1, 3, 3});  // too small for the window
  EXPECT_EQ(model.runtime.Prepare(), abi::kError);
  EXPECT_NE(model.runtime.error.find("height 1 is smaller"), std::string::npos);
  EXPECT_EQ(model.runtime.Invoke(), abi::kError);
  model.runtime.SetDims(model.input, {1, 3, 3, 3});
  EXPECT_EQ(model.runtime.Prepare(), abi::kOk);
  EXPECT_EQ(model.runtime.Invoke(), abi::kOk);
}

TEST(Delegate, NoticesATensorThatChangedItsSize) {
  DelegateOwner owner(Quiet());
  Model model(true, BuildFlexMap(Fields()));
  ASSERT_EQ(owner.Apply(&model.runtime), abi::kOk);
  model.SetInput();
  ASSERT_EQ(model.runtime.Prepare(), abi::kOk);
  model.runtime.SetDims(model.input, {1, 2, 2, 3});
  model.runtime.Allocate(model.input);
  EXPECT_EQ(model.runtime.Invoke(), abi::kError);
  EXPECT_NE(model.runtime.error.find("changed its size"), std::string::npos);
}

TEST(Delegate, ErrorsNameTheLayerAndTheValue) {
  const auto error = [](const char* key, std::variant<int64_t, std::string> value) {
    FlexFields fields = Fields();
    fields[key] = value;
    DelegateOwner owner(Quiet());
    Model model(true, BuildFlexMap(fields));
    EXPECT_EQ(owner.Apply(&model.runtime), abi::kError);
    return model.runtime.error;
  };
  EXPECT_EQ(error("version", 9).find("tf_signbin: TfSignBinConv2D 'tensor': option version is 9"),
            0u);
  EXPECT_NE(error("out_channels", 3).find("masks tensor has shape [1, 2, 2]"), std::string::npos);
  EXPECT_NE(error("in_channels", 5).find("call for [1, 2, 3]"), std::string::npos);
  EXPECT_NE(error("kernel_h", 0x7fffffff).find("too large"), std::string::npos);
  // What is no UTF-8 is replaced: a good letter, half of one, an overlong one, a surrogate.
  EXPECT_NE(error("padding", "\xc3\xb6 \xc3 \xe0\x80\x80 \xed\xa0\x80 \xf0\x9f\x98\x80")
                .find("\xc3\xb6 ? ??? ??? \xf0\x9f\x98\x80"),
            std::string::npos);
}

TEST(Delegate, LeavesOtherOperatorsAlone) {
  DelegateOwner owner(Quiet());
  Model model(true, BuildFlexMap(Fields()));
  model.runtime.AddNode(abi::kBuiltinCustom, "SomebodyElses", {0}, {4}, "", 0);
  model.runtime.AddNode(98, nullptr, {0}, {4}, "", 0);
  ASSERT_EQ(owner.Apply(&model.runtime), abi::kOk);
  EXPECT_EQ(model.runtime.replaced(), 1);
}

// A builtin CONV_2D with the weights of `Model`; `last` replaces the last weight.
struct BuiltinModel {
  FakeRuntime runtime;
  int input, output;
  explicit BuiltinModel(float last, int activation = abi::kActNone) {
    float weights[2 * kWeights] = {2};
    for (int i = kWeights; i < 2 * kWeights; ++i) weights[i] = -1;
    weights[2 * kWeights - 1] = last;
    input = runtime.AddTensor(abi::kFloat32, {1, 3, 3, 3});
    const int filter = runtime.AddTensor(abi::kFloat32, {2, 2, 2, 3}, weights, sizeof(weights));
    output = runtime.AddTensor(abi::kFloat32, {1, 2, 2, 2});
    const abi::TfLiteConvParams params = {abi::kPaddingValid, 1, 1, activation, 1, 1};
    runtime.AddNode(abi::kBuiltinConv2D, nullptr, {input, filter}, {output}, &params,
                    sizeof(params));
  }
};

TEST(Delegate, ClaimsBuiltinsByValue) {
  for (const auto& [last, claimed] : {std::pair{-1.0f, 1}, {-1.0000001f, 1}, {0.5f, 1}, {NAN, 0}}) {
    DelegateOwner owner(Quiet());
    BuiltinModel model(last);
    ASSERT_EQ(owner.Apply(&model.runtime), abi::kOk);
    EXPECT_EQ(model.runtime.replaced(), claimed) << last;
  }
  DelegateOptions no_builtins = Quiet();
  no_builtins.claim_builtin = false;
  DelegateOwner owner(no_builtins);
  BuiltinModel model(-1);
  ASSERT_EQ(owner.Apply(&model.runtime), abi::kOk);
  EXPECT_EQ(model.runtime.replaced(), 0);
}

// A file's constants may lie in memory that is mapped read-only.
TEST(Delegate, WritesIntoNoConstant) {
  float constant[8] = {};
  const auto make_constant = [&constant](abi::TfLiteTensor* tensor) {
    tensor->allocation_type = abi::kMmapRo;
    tensor->data = constant;
    tensor->bytes = sizeof(constant);
  };
  {
    DelegateOwner owner(Quiet());
    Model model(true, BuildFlexMap(Fields()));
    make_constant(&model.runtime.tensor(model.output));
    EXPECT_EQ(owner.Apply(&model.runtime), abi::kError);
    EXPECT_NE(model.runtime.error.find("output is a constant"), std::string::npos);
  }
  DelegateOwner owner(Quiet());
  BuiltinModel model(-1);
  make_constant(&model.runtime.tensor(model.output));
  EXPECT_EQ(owner.Apply(&model.runtime), abi::kOk);
  EXPECT_EQ(model.runtime.replaced(), 0);
}

TEST(Delegate, StrictRefusesToLeaveAClaimableOperator) {
  constexpr int kTanh = 4;
  {
    DelegateOwner owner(Quiet());
    BuiltinModel model(-1, kTanh);
    EXPECT_EQ(owner.Apply(&model.runtime), abi::kOk);
    EXPECT_EQ(model.runtime.replaced(), 0);
  }
  DelegateOptions strict = Quiet();
  strict.strict = true;
  DelegateOwner owner(strict);
  BuiltinModel model(-1, kTanh);
  EXPECT_EQ(owner.Apply(&model.runtime), abi::kError);
  EXPECT_NE(model.runtime.error.find("not claimed"), std::string::npos) << model.runtime.error;
}

// Anything the file decides may be nonsense: there must be an error or a result, never a crash.
TEST(Delegate, HostileModelsAreRefusedOrRun) {
  int refused = 0, ran = 0;
  for (const uint64_t seed : Seeds(4000)) {
    Rng rng(seed);
    FlexFields fields = Fields();
    const int64_t numbers[] = {-1, 0, 1, 2, 3, 7, 8, 255, 65536, 0x7fffffff, int64_t{1} << 40};
    if (rng.Chance(0.5)) {
      auto field = fields.begin();
      std::advance(field, rng.Int(0, static_cast<int>(fields.size()) - 1));
      if (std::holds_alternative<int64_t>(field->second)) field->second = numbers[rng.Int(0, 10)];
    }
    Model model(rng.Chance(0.5), BuildFlexMap(fields));
    FakeRuntime& runtime = model.runtime;
    if (rng.Chance(0.7)) {
      abi::TfLiteTensor& tensor = runtime.tensor(rng.Int(0, 4));
      switch (rng.Int(0, 5)) {
        case 0:
          tensor.type = rng.Int(0, 12);
          break;
        case 1:
          runtime.SetDims(static_cast<int>(&tensor - &runtime.tensor(0)),
                          {rng.Int(-1, 3), rng.Int(-1, 5), rng.Int(0, 5), rng.Int(0, 4)});
          break;
        case 2:
          tensor.bytes = rng.Chance(0.5) ? 0 : tensor.bytes / 2;
          break;
        case 3:
          tensor.params = {rng.Chance(0.5) ? NAN : -1.0f, rng.Int(-1000, 1000)};
          break;
        case 4:
          runtime.SetScales(static_cast<int>(&tensor - &runtime.tensor(0)),
                            std::vector<float>(rng.Int(0, 3), rng.Chance(0.5) ? 1.0f : INFINITY));
          break;
        case 5:
          tensor.quantization = {};
          break;
      }
    }
    abi::TfLiteNode* node;
    abi::TfLiteRegistration* registration;
    abi::TfLiteContext* context = runtime.context();
    context->GetNodeAndRegistration(context, 0, &node, &registration);
    if (rng.Chance(0.2)) node->inputs->data[rng.Int(0, 3)] = rng.Int(-2, 6);
    if (rng.Chance(0.1)) node->inputs->size = rng.Int(0, 4);
    if (rng.Chance(0.1)) node->outputs->data[0] = rng.Int(-2, 6);

    DelegateOwner owner(Quiet());
    bool ok = owner.Apply(&runtime) == abi::kOk;
    bool allocatable = true;
    for (const int size : runtime.Dims(model.input)) allocatable &= size >= 0;
    if (ok && allocatable && runtime.tensor(model.input).allocation_type != abi::kMmapRo) {
      runtime.Allocate(model.input);
      ok = runtime.Prepare() == abi::kOk && runtime.Invoke() == abi::kOk;
    }
    EXPECT_EQ(ok, runtime.error.empty()) << runtime.error;
    ++(ok ? ran : refused);
    // The runtime frees its nodes before the delegate is destroyed.
  }
  if (std::getenv("TF_SIGNBIN_SEED") == nullptr) {
    EXPECT_GT(refused, 500);
    EXPECT_GT(ran, 500);
  }
}

}  // namespace
}  // namespace tf_signbin

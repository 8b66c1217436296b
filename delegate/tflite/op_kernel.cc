#include "tflite/op_kernel.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <utility>

#include "tflite/last_error.h"
#include "tflite/tensor_access.h"

namespace tf_signbin {
namespace {

// TFLite's output size and padding of one dimension.
Status WindowedSize(const char* name, int in, int kernel, int stride, int dilation, Padding padding,
                    int* out, int* pad) {
  const int64_t window = (int64_t{kernel} - 1) * dilation + 1;
  const int64_t size = padding == Padding::kSame ? (int64_t{in} + stride - 1) / stride
                                                 : (int64_t{in} + stride - window) / stride;
  if (in < 1 || size < 1) {
    return Status::Error(std::string("input ") + name + " " + std::to_string(in) +
                         " is smaller than the kernel's window of " + std::to_string(window));
  }
  const int64_t missing = (size - 1) * stride + window - in;
  *out = static_cast<int>(size);
  *pad = padding == Padding::kSame ? static_cast<int>(std::max<int64_t>(missing, 0) / 2) : 0;
  return Status::Ok();
}

// Bytes of a well-formed UTF-8 sequence (Unicode 15, table 3-7), 0 where none begins.
int Utf8Length(const unsigned char* text) noexcept {
  const unsigned char first = text[0], second = first < 0x80 ? 0 : text[1];
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const unsigned char least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned char most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  const int length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  for (int i = 2; i < length; ++i) {
    if ((text[i] & 0xc0) != 0x80) return 0;
  }
  return length;
}

// Damaged files have names of any bytes, and some versions of Python drop a message that is not
// UTF-8.
void ReplaceInvalidUtf8(char* text) noexcept {
  while (*text != '\0') {
    const int length = Utf8Length(reinterpret_cast<unsigned char*>(text));
    if (length == 0) *text = '?';
    text += length == 0 ? 1 : length;
  }
}

}  // namespace

void ReportFailure(abi::TfLiteContext* context, const char* layer, const char* message) noexcept {
  char text[2048];
  if (layer != nullptr) {
    std::snprintf(text, sizeof(text), "tf_signbin: layer '%s': %s", layer, message);
  } else {
    std::snprintf(text, sizeof(text), "tf_signbin: %s", message);
  }
  ReplaceInvalidUtf8(text);
  RecordError(text);
  context->ReportError(context, "%s\n", text);
}

OpKernel::OpKernel(Layer layer, std::shared_ptr<Runtime> runtime)
    : layer_(std::move(layer)), runtime_(std::move(runtime)) {
  profile_.op = OpName(layer_.op);
  profile_.layer = layer_.name;
  runtime_->Track(&profile_);
}

OpKernel::~OpKernel() {
  runtime_->Untrack(&profile_);
  if (runtime_->options().profile && profile_.runs > 0) {
    runtime_->AddProfile(std::move(profile_));
  }
}

std::string OpKernel::Describe() const {
  return std::string(OpName(layer_.op)) + " '" + layer_.name + "'";
}

Status OpKernel::Shape(const abi::TfLiteTensor& input, ConvShape* shape,
                       std::vector<int>* out_dims) const {
  const OpOptions& o = layer_.options;
  const std::vector<int> dims = Dims(input);
  for (const int size : dims) {
    if (size < 0) return Status::Error("input has shape " + DimsText(dims));
  }
  shape->in_c = o.in_channels;
  shape->out_c = o.out_channels;
  shape->kernel_h = o.kernel_h;
  shape->kernel_w = o.kernel_w;
  shape->stride_h = o.stride_h;
  shape->stride_w = o.stride_w;
  shape->dilation_h = o.dilation_h;
  shape->dilation_w = o.dilation_w;
  if (layer_.op == OpType::kConv2D) {
    if (dims.size() != 4 || dims[3] != o.in_channels) {
      return Status::Error("input has shape " + DimsText(dims) + "; it must be [N, H, W, " +
                           std::to_string(o.in_channels) + "]");
    }
    shape->batch = dims[0];
    shape->in_h = dims[1];
    shape->in_w = dims[2];
    Status status = WindowedSize("height", dims[1], o.kernel_h, o.stride_h, o.dilation_h, o.padding,
                                 &shape->out_h, &shape->pad_top);
    if (!status.ok()) return status;
    status = WindowedSize("width", dims[2], o.kernel_w, o.stride_w, o.dilation_w, o.padding,
                          &shape->out_w, &shape->pad_left);
    *out_dims = {shape->batch, shape->out_h, shape->out_w, shape->out_c};
    return status;
  }
  int64_t elements = 1;
  for (const int size : dims) {
    if (size != 0 && elements > std::numeric_limits<int32_t>::max() / size) {
      return Status::Error("input of shape " + DimsText(dims) + " is too large");
    }
    elements *= size;
  }
  const bool fits = o.keep_num_dims ? !dims.empty() && dims.back() == o.in_channels
                                    : !dims.empty() && elements % o.in_channels == 0;
  if (!fits) {
    return Status::Error("input has shape " + DimsText(dims) + "; its " +
                         (o.keep_num_dims ? "last size must be " : "size must be a multiple of ") +
                         std::to_string(o.in_channels));
  }
  shape->batch = static_cast<int>(elements / o.in_channels);
  if (o.keep_num_dims) {
    *out_dims = dims;
    out_dims->back() = o.out_channels;
  } else {
    *out_dims = {shape->batch, o.out_channels};
  }
  return Status::Ok();
}

Status OpKernel::Prepare(abi::TfLiteContext* context) {
  prepared_ = false;
  const auto fail = [this](const Status& status) {
    return Status::Error(Describe() + ": " + status.message());
  };
  abi::TfLiteTensor* input = GetTensor(context, layer_.input);
  abi::TfLiteTensor* output = GetTensor(context, layer_.output);
  if (input == nullptr || output == nullptr) return fail(Status::Error("tensors are missing"));
  const int type = layer_.type == DataType::kFloat32 ? abi::kFloat32 : abi::kInt8;
  if (input->type != type || output->type != type) {
    return fail(Status::Error("input and output have types " + std::to_string(input->type) +
                              " and " + std::to_string(output->type) + "; both must be type " +
                              std::to_string(type)));
  }
  ConvShape shape;
  std::vector<int> out_dims;
  Status status = Shape(*input, &shape, &out_dims);
  if (!status.ok()) return fail(status);
  if (conv_ == nullptr) {
    OutputStage stage;
    status = MakeOutputStage(layer_, *input, *output, &stage);
    if (!status.ok()) return fail(status);
    // A copy: when memory runs out here, the next attempt still has them.
    conv_ = Conv2D::Create(layer_.type, layer_.filters, std::move(stage), runtime_->options().plan,
                           &status);
    if (conv_ == nullptr) return fail(status);
    layer_.filters = PackedFilters();
  }
  pool_ = runtime_->Pool(context->recommended_num_threads);
  status = conv_->Resize(shape, pool_->threads(), runtime_->options().profile);
  if (!status.ok()) return fail(status);
  status = ResizeOutput(context, output, out_dims);
  if (!status.ok()) return fail(status);

  const size_t element_bytes = layer_.type == DataType::kFloat32 ? sizeof(float) : sizeof(int8_t);
  input_bytes_ = element_bytes * shape.batch * shape.in_h * shape.in_w * shape.in_c;
  output_bytes_ = element_bytes * shape.batch * shape.out_h * shape.out_w * shape.out_c;
  if (profile_.kernel != conv_->kernel()->name()) {
    profile_.kernel = conv_->kernel()->name();
    runtime_->Log(LogLevel::kInfo, Describe() + ": " + profile_.kernel);
  }
  profile_.weight_bytes = conv_->kernel()->prepared_weight_bytes();
  profile_.workspace_bytes = conv_->kernel()->workspace_bytes(pool_->threads());
  prepared_ = true;
  return Status::Ok();
}

Status OpKernel::Invoke(abi::TfLiteContext* context) {
  if (!prepared_) return Status::Error(Describe() + ": invoked without being prepared");
  const abi::TfLiteTensor& input = context->tensors[layer_.input];
  const abi::TfLiteTensor& output = context->tensors[layer_.output];
  if (input.bytes != input_bytes_ || output.bytes != output_bytes_) {
    return Status::Error(Describe() + ": a tensor changed its size since it was prepared");
  }
  const bool profile = runtime_->options().profile;
  const auto start = std::chrono::steady_clock::now();
  const Status status = conv_->Run(input.data, output.data, *pool_);
  if (!status.ok()) return Status::Error(Describe() + ": " + status.message());
  if (profile) {
    const std::chrono::duration<double, std::nano> wall = std::chrono::steady_clock::now() - start;
    const StageTimes stages = conv_->kernel()->stage_times();
    profile_.total_ns += wall.count();
    profile_.stages.tables_ns += stages.tables_ns;
    profile_.stages.lookup_ns += stages.lookup_ns;
    profile_.stages.output_ns += stages.output_ns;
    ++profile_.runs;
  }
  return Status::Ok();
}

}  // namespace tf_signbin

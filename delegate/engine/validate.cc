#include "engine/validate.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "engine/weight_totals.h"

namespace tf_signbin {
namespace {

// Scaled accumulators of a real multiplier stay below this, zero point included.
constexpr double kMaxScaled = 2147483000.0;
// Pixels, rows and elements of a tensor fit an int.
constexpr int64_t kMaxElements = std::numeric_limits<int32_t>::max();

std::string Str(int64_t value) { return std::to_string(value); }

// Product of sizes >= 0, or -1 when it exceeds kMaxElements.
template <typename... Sizes>
int64_t BoundedProduct(Sizes... sizes) {
  int64_t product = 1;
  for (const int64_t size : {static_cast<int64_t>(sizes)...}) {
    if (size == 0) return 0;
    if (product > kMaxElements / size) return -1;
    product *= size;
  }
  return product;
}

Status CheckAtLeast(const char* name, int value, int least) {
  if (value >= least) return Status::Ok();
  return Status::Error(std::string(name) + " is " + Str(value) + "; it must be at least " +
                       Str(least));
}

Status CheckLength(const char* name, size_t actual, int64_t expected) {
  if (static_cast<int64_t>(actual) == expected) return Status::Ok();
  return Status::Error(std::string(name) + " has " + Str(static_cast<int64_t>(actual)) +
                       " entries; the attributes call for " + Str(expected));
}

Status CheckMaskBits(const PackedFilters& f) {
  const size_t row_bytes = f.mask_row_bytes();
  const size_t plane_bytes = row_bytes * f.out_c;
  const int used = static_cast<int>(f.weights_per_filter() % 8);
  if (used != 0) {
    const uint8_t unused = static_cast<uint8_t>(0xff << used);
    for (int row = 0; row < f.planes() * f.out_c; ++row) {
      if (f.masks[(row + size_t{1}) * row_bytes - 1] & unused) {
        return Status::Error("masks: filter " + Str(row % f.out_c) +
                             " has bits beyond its last weight");
      }
    }
  }
  if (f.kind == WeightKind::kTernary) {
    for (size_t i = 0; i < plane_bytes; ++i) {
      if (f.masks[i] & f.masks[plane_bytes + i]) {
        return Status::Error("masks: filter " + Str(static_cast<int64_t>(i / row_bytes)) +
                             " has a weight that is both +s and -s");
      }
    }
  }
  return Status::Ok();
}

// -s must exist, too.
Status CheckTernaryValues(const PackedFilters& f) {
  if (f.kind != WeightKind::kTernary) return Status::Ok();
  const auto least = std::find(f.values_i8.begin(), f.values_i8.end(), -128);
  if (least == f.values_i8.end()) return Status::Ok();
  return Status::Error("values: ternary filter " + Str((least - f.values_i8.begin()) / f.regions) +
                       " has the value -128, whose negative is no int8");
}

Status CheckPattern(const PackedFilters& f) {
  if (f.pattern_n == 0 && f.pattern_m == 0) return Status::Ok();
  if (f.pattern_n < 1 || f.pattern_m <= f.pattern_n) {
    return Status::Error("pattern " + Str(f.pattern_n) + ":" + Str(f.pattern_m) +
                         " is not of the form n:m with 1 <= n < m");
  }
  const int taps = f.kernel_h * f.kernel_w;
  for (int filter = 0; filter < f.out_c; ++filter) {
    size_t weight = 0;
    for (int tap = 0; tap < taps; ++tap) {
      int set = 0, left = f.pattern_m;
      for (int channel = 0; channel < f.in_c; ++channel, ++weight) {
        for (int plane = 0; plane < f.planes(); ++plane) set += f.bit(plane, filter, weight);
        if (set > f.pattern_n) {
          return Status::Error("masks: filter " + Str(filter) + " breaks the promised pattern " +
                               Str(f.pattern_n) + ":" + Str(f.pattern_m) + " at channel " +
                               Str(channel) + " of tap " + Str(tap));
        }
        if (--left == 0) set = 0, left = f.pattern_m;
      }
    }
  }
  return Status::Ok();
}

Status CheckFinite(const char* name, const std::vector<float>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return Status::Error(std::string(name) + "[" + Str(static_cast<int64_t>(i)) +
                           "] is not finite");
    }
  }
  return Status::Ok();
}

Status CheckAccumulators(const PackedFilters& f, const OutputStage& output) {
  const int64_t above = 127 - output.input_zero_point, below = 128 + output.input_zero_point;
  for (int filter = 0; filter < f.out_c; ++filter) {
    const WeightTotals sums = TotalsOf(f, filter);
    const int64_t bias = output.bias_i32.empty() ? 0 : output.bias_i32[filter];
    const int64_t most = bias + sums.positive * above + sums.negative * below;
    const int64_t least = bias - sums.positive * below - sums.negative * above;
    if (most > std::numeric_limits<int32_t>::max() || least < std::numeric_limits<int32_t>::min()) {
      return Status::Error("filter " + Str(filter) +
                           ": its weights and bias can overflow a 32-bit accumulator");
    }
    const double scale = output.real_multiplier.empty() ? 0 : output.real_multiplier[filter];
    if (static_cast<double>(std::max(most, -least)) * scale > kMaxScaled) {
      return Status::Error("filter " + Str(filter) + ": its outputs can exceed 32 bits");
    }
  }
  return Status::Ok();
}

}  // namespace

#define TF_SIGNBIN_RETURN_IF_ERROR(expression) \
  do {                                         \
    const Status status = (expression);        \
    if (!status.ok()) return status;           \
  } while (false)

Status CheckFilters(DataType type, const PackedFilters& f) {
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("out_channels", f.out_c, 1));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("in_channels", f.in_c, 1));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("kernel_h", f.kernel_h, 1));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("kernel_w", f.kernel_w, 1));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("regions", f.regions, 1));
  if (BoundedProduct(f.kernel_h, f.kernel_w, f.in_c, f.out_c, std::max(f.planes(), 1)) < 0) {
    return Status::Error("a filter bank of " + Str(f.out_c) + " x " + Str(f.kernel_h) + " x " +
                         Str(f.kernel_w) + " x " + Str(f.in_c) + " weights is too large");
  }
  if (f.kind == WeightKind::kDense && (f.regions != 1 || f.pattern_n != 0 || f.pattern_m != 0)) {
    return Status::Error("dense filters have neither regions nor a pattern");
  }
  if (f.in_c % f.regions != 0) {
    return Status::Error("regions is " + Str(f.regions) + ", which does not divide in_channels " +
                         Str(f.in_c));
  }
  TF_SIGNBIN_RETURN_IF_ERROR(CheckLength(
      "masks", f.masks.size(),
      static_cast<int64_t>(f.planes()) * f.out_c * static_cast<int64_t>(f.mask_row_bytes())));
  const int64_t values = static_cast<int64_t>(f.out_c) * f.regions * f.values_per_region();
  const bool is_float = type == DataType::kFloat32;
  TF_SIGNBIN_RETURN_IF_ERROR(
      CheckLength("values", is_float ? f.values_f32.size() : f.values_i8.size(), values));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckFinite("values", f.values_f32));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckTernaryValues(f));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckMaskBits(f));
  return CheckPattern(f);
}

namespace {

Status CheckMultipliers(const PackedFilters& filters, const OutputStage& output) {
  if (!output.real_multiplier.empty()) {
    TF_SIGNBIN_RETURN_IF_ERROR(
        CheckLength("real_multiplier", output.real_multiplier.size(), filters.out_c));
    TF_SIGNBIN_RETURN_IF_ERROR(CheckLength("multiplier", output.multiplier.size(), 0));
    TF_SIGNBIN_RETURN_IF_ERROR(CheckLength("shift", output.shift.size(), 0));
    for (int filter = 0; filter < filters.out_c; ++filter) {
      const double multiplier = output.real_multiplier[filter];
      if (!std::isfinite(multiplier) || multiplier < 0) {
        return Status::Error("filter " + Str(filter) + ": multiplier " +
                             std::to_string(multiplier) + " is negative or not finite");
      }
    }
    return Status::Ok();
  }
  TF_SIGNBIN_RETURN_IF_ERROR(CheckLength("multiplier", output.multiplier.size(), filters.out_c));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckLength("shift", output.shift.size(), filters.out_c));
  for (int filter = 0; filter < filters.out_c; ++filter) {
    const int32_t multiplier = output.multiplier[filter], shift = output.shift[filter];
    const bool normal = multiplier >= 1 << 30 && shift >= -31 && shift <= 30;
    if (!normal && !(multiplier == 0 && shift == 0)) {
      return Status::Error("filter " + Str(filter) + ": multiplier " + Str(multiplier) +
                           " with shift " + Str(shift) + " is no quantized multiplier");
    }
  }
  return Status::Ok();
}

}  // namespace

Status CheckOutputStage(DataType type, const PackedFilters& filters, const OutputStage& output) {
  if (type == DataType::kFloat32) {
    if (!output.bias_f32.empty()) {
      TF_SIGNBIN_RETURN_IF_ERROR(CheckLength("bias", output.bias_f32.size(), filters.out_c));
    }
    TF_SIGNBIN_RETURN_IF_ERROR(CheckFinite("bias", output.bias_f32));
    if (!(output.clamp_min_f32 <= output.clamp_max_f32)) {
      return Status::Error("the fused activation's range is empty");
    }
    return Status::Ok();
  }
  if (!output.bias_i32.empty()) {
    TF_SIGNBIN_RETURN_IF_ERROR(CheckLength("bias", output.bias_i32.size(), filters.out_c));
  }
  TF_SIGNBIN_RETURN_IF_ERROR(CheckMultipliers(filters, output));
  for (const int32_t zero_point : {output.input_zero_point, output.output_zero_point}) {
    if (zero_point < -128 || zero_point > 127) {
      return Status::Error("zero point " + Str(zero_point) + " is outside int8");
    }
  }
  if (output.clamp_min_i8 < -128 || output.clamp_max_i8 > 127 ||
      output.clamp_min_i8 > output.clamp_max_i8) {
    return Status::Error("the fused activation's range [" + Str(output.clamp_min_i8) + ", " +
                         Str(output.clamp_max_i8) + "] is empty or outside int8");
  }
  return CheckAccumulators(filters, output);
}

Status CheckShape(const PackedFilters& f, const ConvShape& s) {
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("batch", s.batch, 0));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("input height", s.in_h, 1));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("input width", s.in_w, 1));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("output height", s.out_h, 1));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("output width", s.out_w, 1));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("stride_h", s.stride_h, 1));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("stride_w", s.stride_w, 1));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("dilation_h", s.dilation_h, 1));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("dilation_w", s.dilation_w, 1));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("pad_top", s.pad_top, 0));
  TF_SIGNBIN_RETURN_IF_ERROR(CheckAtLeast("pad_left", s.pad_left, 0));
  if (s.in_c != f.in_c || s.out_c != f.out_c || s.kernel_h != f.kernel_h ||
      s.kernel_w != f.kernel_w) {
    return Status::Error("the shape asks for filters of " + Str(s.out_c) + " x " + Str(s.kernel_h) +
                         " x " + Str(s.kernel_w) + " x " + Str(s.in_c) + ", the model has " +
                         Str(f.out_c) + " x " + Str(f.kernel_h) + " x " + Str(f.kernel_w) + " x " +
                         Str(f.in_c));
  }
  // Every coordinate a kernel computes must fit an int, whatever the model claims.
  const auto span = [](int64_t out, int64_t stride, int64_t kernel, int64_t dilation) {
    return (out - 1) * stride + (kernel - 1) * dilation;
  };
  const int64_t limit = std::numeric_limits<int32_t>::max() / 2;
  if (span(s.out_h, s.stride_h, s.kernel_h, s.dilation_h) > limit ||
      span(s.out_w, s.stride_w, s.kernel_w, s.dilation_w) > limit || s.pad_top > limit ||
      s.pad_left > limit) {
    return Status::Error("stride, dilation and padding reach beyond any input");
  }
  if (BoundedProduct(std::max(s.batch, 1), s.in_h, s.in_w, s.in_c) < 0 ||
      BoundedProduct(std::max(s.batch, 1), s.out_h, s.out_w, s.out_c) < 0) {
    return Status::Error("an activation of 2^31 elements or more is not supported");
  }
  return Status::Ok();
}

}  // namespace tf_signbin

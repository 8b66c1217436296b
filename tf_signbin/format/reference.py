"""The packed operators in NumPy: their executable specification.

Float: every sum is made in float64, then rounded to float32 once.
int8: TensorFlow Lite's builtin reference kernels bit for bit: 32-bit accumulation, then for
convolutions a fixed-point multiplier with two roundings (as in gemmlowp), for fully connected
layers one rounding of the product in double precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tf_signbin.format.pack import unpack_filters
from tf_signbin.format.spec import OpOptions, PackedFilters

_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1


@dataclass(frozen=True)
class Int8Quantization:
    """Scales and zero points of an int8 operator; `filter_scales`: one, or one a filter."""

    input_scale: float
    input_zero_point: int
    filter_scales: np.ndarray
    output_scale: float
    output_zero_point: int


def conv_2d(
    x: np.ndarray,
    packed: PackedFilters,
    options: OpOptions,
    bias: np.ndarray | None = None,
    quantization: Int8Quantization | None = None,
) -> np.ndarray:
    """TfSignBinConv2D. x: [N, H, W, Ci], float32 or (with `quantization`) int8.

    Returns [N, OH, OW, Co] in the type of x.
    """
    sums = window_sums(x, unpack_filters(packed), options, _zero_point(quantization))
    if quantization is None:
        return _float_output(sums, bias, options.activation)
    # TFLite multiplies the three scales in double precision.
    filter_scales = quantization.filter_scales.astype(np.float32)
    scales = np.float64(np.float32(quantization.input_scale)) * filter_scales.astype(np.float64)
    return _int8_output(sums, bias, scales, quantization, options.activation)


def fully_connected(
    x: np.ndarray,
    packed: PackedFilters,
    options: OpOptions,
    bias: np.ndarray | None = None,
    quantization: Int8Quantization | None = None,
    old_kernel: bool = False,
) -> np.ndarray:
    """TfSignBinFullyConnected. x: [..., Ci], float32 or (with `quantization`) int8.

    `old_kernel` is not part of the operator: it rescales int8 sums as the reference kernels up to
    TensorFlow 2.16 did (twice rounded, as in convolutions), to compare with such runtimes.

    Returns [rows, Co], or [..., Co] with keep_num_dims.
    """
    rows = x.reshape(-1, 1, 1, options.in_channels)
    sums = window_sums(rows, unpack_filters(packed), options, _zero_point(quantization))
    if quantization is None:
        out = _float_output(sums, bias, options.activation)
    else:
        filter_scales = quantization.filter_scales.astype(np.float32)
        input_scale = np.float32(quantization.input_scale)
        scales = np.float64(input_scale) * filter_scales.astype(np.float64)
        if old_kernel and filter_scales.size == 1:
            scales = (input_scale * filter_scales).astype(np.float64)  # rounded to float32
        out = _int8_output(
            sums, bias, scales, quantization, options.activation, round_once=not old_kernel
        )
    leading = x.shape[:-1] if options.keep_num_dims else (-1,)
    return out.reshape(*leading, options.out_channels)


def output_size(size: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """Output height or width of a convolution; ValueError when the window does not fit."""
    window = (kernel - 1) * dilation + 1
    if padding == "SAME":
        return -(-size // stride)
    if window > size:
        raise ValueError(f"window of {window} pixels does not fit into {size} with VALID padding")
    return (size - window) // stride + 1


def quantize_multiplier(multiplier: float) -> tuple[int, int]:
    """TFLite's (Q31 multiplier, shift) of a real multiplier; shift > 0 is to the left."""
    if multiplier == 0.0:
        return 0, 0
    fraction, shift = math.frexp(multiplier)
    scaled = fraction * (1 << 31)
    fixed = int(math.copysign(math.floor(abs(scaled) + 0.5), scaled))  # halves away from zero
    if fixed == 1 << 31:
        fixed //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    return fixed, shift


def multiply_by_quantized_multiplier(
    sums: np.ndarray, multiplier: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """int32 sums times multiplier * 2**(shift - 31), rounded twice: first the product's high half
    (halves away from zero), then the right shift (halves away from zero)."""
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    shifted = _wrap_int32(sums.astype(np.int64) << left)
    product = shifted * multiplier.astype(np.int64)
    nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    # C++ division truncates towards zero.
    high = np.sign(product + nudge) * (np.abs(product + nudge) >> 31)
    high = np.minimum(high, _INT32_MAX)  # only INT32_MIN * INT32_MIN exceeds it
    mask = (np.int64(1) << right) - 1
    remainder = high & mask
    threshold = (mask >> 1) + (high < 0)
    return (high >> right) + (remainder > threshold)


def _zero_point(quantization: Int8Quantization | None) -> int:
    return 0 if quantization is None else quantization.input_zero_point


def window_sums(
    x: np.ndarray, filters: np.ndarray, options: OpOptions, zero_point: int = 0
) -> np.ndarray:
    """Sum of weight * (x - zero_point) over each window, in float64 (exact for int8 operands).

    Pixels outside the image count as the zero point, that is, as 0.
    """
    _, height, width, _ = x.shape
    kernel = options.kernel_h, options.kernel_w
    stride = options.stride_h, options.stride_w
    dilation = options.dilation_h, options.dilation_w
    out, taps = [], []
    for axis, size in enumerate((height, width)):
        out.append(output_size(size, kernel[axis], stride[axis], dilation[axis], options.padding))
        reach = (out[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1
        before = max(reach - size, 0) // 2 if options.padding == "SAME" else 0
        taps.append(_taps(size, out[axis], kernel[axis], stride[axis], dilation[axis], before))
    centered = x.astype(np.float64) - zero_point
    weights = filters.astype(np.float64)
    sums = np.zeros((x.shape[0], *out, options.out_channels))
    for dy, out_rows, rows in taps[0]:
        for dx, out_columns, columns in taps[1]:
            target = sums[:, out_rows, out_columns]
            pixels = centered[:, rows, columns].reshape(-1, x.shape[3])  # one large product: BLAS
            target += (pixels @ weights[:, dy, dx].T).reshape(target.shape)
    return sums


def _taps(
    size: int, out: int, kernel: int, stride: int, dilation: int, before: int
) -> list[tuple[int, slice, slice]]:
    """The taps of one dimension that meet the image: (tap, outputs that it reaches, the pixels it
    reads for them). No padded copy: a file may ask for a dilation of a thousand million."""
    met = []
    for tap in range(kernel):
        offset = tap * dilation - before  # the pixel that output 0 reads
        first = max(0, -(offset // stride))  # ceil(-offset / stride)
        end = min(out, (size - 1 - offset) // stride + 1)
        if first < end:
            start = first * stride + offset
            pixels = slice(start, start + (end - first - 1) * stride + 1, stride)
            met.append((tap, slice(first, end), pixels))
    return met


def _float_output(sums: np.ndarray, bias: np.ndarray | None, activation: str) -> np.ndarray:
    if bias is not None:
        sums = sums + bias.astype(np.float64)
    low, high = {
        "NONE": (-np.inf, np.inf),
        "RELU": (0, np.inf),
        "RELU6": (0, 6),
        "RELU_N1_TO_1": (-1, 1),
    }[activation]
    return np.clip(sums, low, high).astype(np.float32)


def _int8_output(
    sums: np.ndarray,
    bias: np.ndarray | None,
    product_scales: np.ndarray,
    quantization: Int8Quantization,
    activation: str,
    round_once: bool = False,
) -> np.ndarray:
    accumulator = sums.astype(np.int64)
    if bias is not None:
        accumulator = accumulator + bias.astype(np.int64)
    accumulator = _wrap_int32(accumulator)
    output_scale = float(np.float32(quantization.output_scale))
    scaled: np.ndarray
    if round_once:
        real = accumulator * (product_scales / output_scale)
        scaled = np.copysign(np.floor(np.abs(real) + 0.5), real).astype(np.int64)
    else:
        pairs = [quantize_multiplier(float(scale) / output_scale) for scale in product_scales.flat]
        multiplier, shift = np.array(pairs, dtype=np.int64).T
        scaled = multiply_by_quantized_multiplier(accumulator, multiplier, shift)
    low, high = _int8_range(activation, quantization)
    return np.clip(scaled + quantization.output_zero_point, low, high).astype(np.int8)


def _int8_range(activation: str, quantization: Int8Quantization) -> tuple[int, int]:
    """The fused activation's limits in the output's int8 steps, as TFLite rounds them."""

    def quantize(value: float) -> int:
        steps = np.float32(value) / np.float32(quantization.output_scale)
        rounded = math.copysign(math.floor(abs(float(steps)) + 0.5), float(steps))
        return quantization.output_zero_point + int(rounded)

    low, high = -128, 127
    if activation in ("RELU", "RELU6"):
        low = max(low, quantize(0.0))
    if activation == "RELU6":
        high = min(high, quantize(6.0))
    if activation == "RELU_N1_TO_1":
        low, high = max(low, quantize(-1.0)), min(high, quantize(1.0))
    return low, high


def _wrap_int32(values: np.ndarray) -> np.ndarray:
    """Two's complement wrap-around, as 32-bit accumulators have it."""
    return ((values - _INT32_MIN) & 0xFFFFFFFF) + _INT32_MIN

"""Small one-layer .tflite files: the same layer as a builtin operator and as a packed one.

Written with the generated schema, so that the tests of the delegate do not depend on the converter.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from tests.format.tflite_builder import Builder

CONV = "TfSignBinConv2D"
FULLY_CONNECTED = "TfSignBinFullyConnected"
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


@dataclass
class Layer:
    """One convolution or fully connected layer with two-valued or ternary weights.

    masks: bool [planes, O, KH, KW, I]; values: [O, R, V] (docs/format.md).
    """

    op: str
    dtype: str
    masks: np.ndarray
    values: np.ndarray
    input_shape: tuple[int, ...]
    bias: np.ndarray | None
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str = "SAME"
    activation: str = "NONE"
    pattern: tuple[int, int] = (0, 0)
    keep_num_dims: bool = False
    input_scale: float = 1.0
    input_zero_point: int = 0
    output_scale: float = 1.0
    output_zero_point: int = 0
    weight_scales: np.ndarray = field(default_factory=lambda: np.ones(1, np.float32))

    @property
    def kind(self) -> str:
        return "two_valued" if len(self.masks) == 1 else "ternary"

    @property
    def weights(self) -> np.ndarray:
        """Dense [O, KH, KW, I] in the type of the values."""
        out_channels, _kernel_h, _kernel_w, in_channels = self.masks.shape[1:]
        regions = self.values.shape[1]
        values = np.repeat(self.values, in_channels // regions, axis=1)
        values = values.reshape(out_channels, 1, 1, in_channels, -1)
        if self.kind == "two_valued":
            return np.where(self.masks[0], values[..., 1], values[..., 0])
        sign = self.masks[0].astype(np.int8) - self.masks[1].astype(np.int8)
        return (sign * values[..., 0]).astype(self.values.dtype)

    @property
    def options(self) -> dict[str, int | str]:
        _, out_channels, kernel_h, kernel_w, in_channels = self.masks.shape
        return {
            "version": 1, "kind": self.kind, "kernel_h": kernel_h, "kernel_w": kernel_w,
            "in_channels": in_channels, "out_channels": out_channels, "stride_h": self.stride[0],
            "stride_w": self.stride[1],
            "dilation_h": self.dilation[0], "dilation_w": self.dilation[1],
            "padding": self.padding, "activation": self.activation, "regions": self.values.shape[1],
            "pattern_n": self.pattern[0], "pattern_m": self.pattern[1],
            "keep_num_dims": int(self.keep_num_dims),
        }  # fmt: skip

    def describe(self) -> str:
        weights = "x".join(map(str, self.masks.shape[1:]))
        return (
            f"{self.op} {self.dtype} {self.kind} weights {weights} regions {self.values.shape[1]} "
            f"input {self.input_shape} stride {self.stride} dilation {self.dilation} "
            f"{self.padding} {self.activation} pattern {self.pattern}"
        )


def add_input(b: Builder, layer: Layer) -> int:
    return b.tensor(layer.input_shape, layer.dtype, "input", **_activation(layer, "input"))


def add_layer(
    b: Builder, layer: Layer, source: int, packed: bool, name: str = "output",
    options: bytes | None = None,
) -> int:  # fmt: skip
    """Appends the layer as a packed or as a builtin operator; returns its output tensor.

    options: bytes that replace the packed operator's FlexBuffer.
    """
    quantized = layer.dtype == "int8"
    weights = layer.weights
    conv = layer.op == "conv"
    output = b.tensor(output_shape(layer), layer.dtype, name, **_activation(layer, "output"))
    scales = layer.weight_scales if quantized else None
    if packed:
        rows = layer.masks.reshape(*layer.masks.shape[:2], -1)
        masks = np.packbits(rows, axis=-1, bitorder="little")
        inputs = [
            source,
            b.constant(masks, f"{name}/masks"),
            b.constant(layer.values, f"{name}/values", scales),
        ]
    else:
        if not conv:
            weights = weights.reshape(weights.shape[0], -1)
        inputs = [
            source,
            b.constant(weights, f"{name}/weights", scales),
        ]
    bias = layer.bias
    if bias is None and not packed and conv:  # CONV_2D insists on a bias
        bias = np.zeros(len(weights), np.int32 if quantized else np.float32)
    if bias is None:
        inputs.append(-1)
    else:
        bias_scale = layer.weight_scales * np.float32(layer.input_scale) if quantized else None
        inputs.append(b.constant(bias, f"{name}/bias", bias_scale))
    if packed:
        if options is None:
            options = bytes(flexbuffers.Dumps(layer.options))
        b.custom_op(CONV if conv else FULLY_CONNECTED, inputs, [output], options)
    elif conv:
        b.conv_2d(
            inputs, output, version=3 if quantized else 1, stride=layer.stride,
            dilation=layer.dilation, padding=layer.padding, activation=layer.activation,
        )  # fmt: skip
    else:
        b.fully_connected(
            inputs, output, version=4 if quantized else 5, activation=layer.activation,
            keep_num_dims=layer.keep_num_dims,
        )  # fmt: skip
    return output


def one_layer_model(
    layer: Layer, *, packed: bool, options: bytes | None = None, activation_type: str | None = None
) -> bytes:
    """A model of this layer alone; `activation_type` makes it a hybrid one."""
    b = Builder()
    source = add_input(b, layer)
    output = add_layer(b, layer, source, packed, options=options)
    if activation_type is not None:
        for index in (source, output):
            tensor = b.model.subgraphs[-1].tensors[index]
            tensor.type = getattr(schema.TensorType, activation_type.upper())
            tensor.quantization = None
    b.io([source], [output])
    return b.bytes()


def add_dense(
    b: Builder, layer: Layer, source: int, rng: np.random.Generator, name: str = "output"
) -> int:
    """Appends the layer as a builtin operator with weights that are not signed-binary."""
    output = add_layer(b, layer, source, packed=False, name=name)
    weights = b.model.subgraphs[-1].tensors[b.model.subgraphs[-1].operators[-1].inputs[1]]
    if layer.dtype == "int8":
        data = rng.integers(-127, 128, weights.shape).astype(np.int8)
    else:
        data = rng.standard_normal(weights.shape).astype(np.float32)
    b.model.buffers[weights.buffer].data = np.frombuffer(data.tobytes(), np.uint8)
    return output


def dense_model(layer: Layer, rng: np.random.Generator) -> bytes:
    """A model of one builtin operator of this layer's geometry with dense weights."""
    b = Builder()
    source = add_input(b, layer)
    b.io([source], [add_dense(b, layer, source, rng)])
    return b.bytes()


def dense_weights(model: bytes, name: str) -> np.ndarray:
    """The float32 constant `name` of a model file."""
    tree = schema.ModelT.InitFromPackedBuf(model)
    (tensor,) = [t for t in tree.subgraphs[0].tensors if t.name.decode() == name]
    data = np.asarray(tree.buffers[tensor.buffer].data, np.uint8)
    return np.frombuffer(data.tobytes(), np.float32).reshape(tensor.shape)


def all_outputs(interpreter, x: np.ndarray) -> list[np.ndarray]:
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def dense_then_packed(seed: int, channels: int, least_kernel: int = 1) -> tuple[bytes, np.ndarray]:
    """A dense int8 convolution of so many channels, then a claimable layer; and an input.

    The outputs are the second layer's and the first one's.
    """
    rng = np.random.default_rng(seed)
    kernel = tuple(int(size) for size in rng.integers(least_kernel, 8, 2))
    first = random_layer(
        rng, "int8", op="conv", shape=(16, *kernel, channels), regions=1, pattern=(0, 0)
    )
    second = random_layer(
        rng, "int8", op="conv", shape=(8, 3, 3, 16), regions=1, padding="SAME", dilation=(1, 1),
        kind="two_valued", pattern=(0, 0), input_shape=output_shape(first),
        input_scale=first.output_scale, input_zero_point=first.output_zero_point,
    )  # fmt: skip
    b = Builder()
    source = add_input(b, first)
    middle = add_dense(b, first, source, rng, "middle")
    output = add_layer(b, second, middle, packed=False)
    b.io([source], [output, middle])
    return b.bytes(), random_input(rng, first)


def reshaped_model(layer: Layer) -> bytes:
    """Inputs: flat activations and the shape to give them before the (packed) layer."""
    b = Builder()
    quantization = _activation(layer, "input")
    elements = int(np.prod(layer.input_shape))
    flat = b.tensor((elements,), layer.dtype, "flat", **quantization)
    target = b.tensor((len(layer.input_shape),), "int32", "target")
    shaped = b.tensor(
        layer.input_shape, layer.dtype, "shaped", signature=[-1] * len(layer.input_shape),
        **quantization,
    )  # fmt: skip
    b.op("RESHAPE", [flat, target], [shaped], "ReshapeOptions")
    output = add_layer(b, layer, shaped, packed=True)
    b.io([flat, target], [output])
    return b.bytes()


def float64_conv(layer: Layer, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The layer's geometry with other weights, in float64."""
    return _conv(layer, x.astype(np.float64), weights.astype(np.float64))


def output_shape(layer: Layer) -> tuple[int, ...]:
    out_channels = layer.masks.shape[1]
    if layer.op != "conv":
        if layer.keep_num_dims:
            return (*layer.input_shape[:-1], out_channels)
        return (int(np.prod(layer.input_shape)) // layer.masks.shape[-1], out_channels)
    batch, height, width, _ = layer.input_shape
    return (
        batch,
        window(height, layer.masks.shape[2], layer.stride[0], layer.dilation[0], layer.padding)[0],
        window(width, layer.masks.shape[3], layer.stride[1], layer.dilation[1], layer.padding)[0],
        out_channels,
    )


def window(size: int, kernel: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """Output size and padding before the first pixel, as TensorFlow defines them."""
    span = (kernel - 1) * dilation + 1
    if padding == "VALID":
        return (size - span) // stride + 1, 0
    out = -(-size // stride)
    return out, max((out - 1) * stride + span - size, 0) // 2


def float64_result(layer: Layer, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The layer in float64, and the sum of the magnitudes that went into each output."""
    weights = layer.weights.astype(np.float64)
    if layer.op != "conv":
        rows = x.astype(np.float64).reshape(-1, 1, 1, weights.shape[-1])
    else:
        rows = x.astype(np.float64)
    result = _conv(layer, rows, weights)
    size = _conv(layer, np.abs(rows), np.abs(weights))
    if layer.bias is not None:
        result, size = result + layer.bias, size + np.abs(layer.bias)
    low, high = {
        "NONE": (-np.inf, np.inf), "RELU": (0, np.inf), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1),
    }[layer.activation]  # fmt: skip
    shape = output_shape(layer)
    return np.clip(result, low, high).reshape(shape), size.reshape(shape)


def random_layer(rng: np.random.Generator, dtype: str, **fixed: object) -> Layer:
    """A layer of random geometry, density, kind, values, quantization; `fixed` overrides fields.

    `fixed` may also hold shape=(O, KH, KW, I), kind, regions and density.
    """
    op = str(fixed.pop("op", "conv" if rng.random() < 0.75 else "fc"))
    conv = op == "conv"
    kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6))) if conv else (1, 1)
    if conv and rng.random() < 0.4:
        kernel = (3, 3)
    regions = int(fixed.pop("regions", rng.choice([1, 1, 1, 1, 2, 3])))
    in_channels = regions * int(rng.integers(1, 1 + 40 // regions))
    out_channels = int(rng.integers(1, 41))
    shape = tuple(fixed.pop("shape", (out_channels, *kernel, in_channels)))
    stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4))) if conv else (1, 1)
    dilation = (1, 1)
    if conv and rng.random() < 0.25:
        stride, dilation = (1, 1), (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    stride, dilation = fixed.pop("stride", stride), fixed.pop("dilation", dilation)
    padding = str(fixed.pop("padding", rng.choice(["SAME", "VALID"]))) if conv else "VALID"
    if conv:
        least = [
            (k - 1) * d + 1 if padding == "VALID" else 1
            for k, d in zip(shape[1:3], dilation, strict=False)
        ]
        spatial = [int(rng.integers(low, low + 12)) for low in least]
        input_shape = (int(rng.choice([1, 1, 2, 3])), *spatial, shape[3])
    else:
        input_shape = (int(rng.integers(1, 7)), shape[3])
    input_shape = tuple(fixed.pop("input_shape", input_shape))
    masks, pattern = _random_masks(rng, shape, fixed)
    values = _random_values(rng, dtype, masks, regions)
    layer = Layer(
        op, dtype, masks, values, input_shape, None, stride, dilation, padding,
        str(rng.choice(ACTIVATIONS)), pattern,
    )  # fmt: skip
    layer = _quantize(rng, layer) if dtype == "int8" else _float_bias(rng, layer)
    return dataclasses.replace(layer, **fixed)


def random_input(rng: np.random.Generator, layer: Layer) -> np.ndarray:
    if layer.dtype == "float32":
        return rng.standard_normal(layer.input_shape).astype(np.float32)
    if layer.input_zero_point >= 64 and rng.random() < 0.7:
        return low_bit_input(rng, layer)
    low, high = (-128, 128) if rng.random() < 0.8 else (126, 128)  # sometimes all extreme
    return rng.integers(low, high, layer.input_shape).astype(np.int8)


def low_bit_input(rng: np.random.Generator, layer: Layer) -> np.ndarray:
    """Values from the zero point up to 127, as a ReLU leaves them."""
    return rng.integers(layer.input_zero_point, 128, layer.input_shape).astype(np.int8)


def _random_masks(rng, shape, fixed) -> tuple[np.ndarray, tuple[int, int]]:
    kind = fixed.pop("kind", "ternary" if rng.random() < 0.2 else "two_valued")
    density = fixed.pop("density", rng.choice([0, 1, rng.random(), rng.random(), rng.random()]))
    pattern = tuple(fixed.pop("pattern", (0, 0)))
    effectual = rng.random(shape) < density
    if kind == "two_valued" and pattern == (0, 0) and rng.random() < 0.3:
        pattern = tuple(int(i) for i in rng.choice([(2, 10), (3, 7), (2, 7), (2, 6)]))
    if pattern != (0, 0):
        n, m = pattern
        for start in range(0, shape[-1], m):
            group = effectual[..., start : start + m]
            group &= np.cumsum(group, axis=-1) <= n
    if kind == "two_valued":
        return effectual[None], pattern
    sign = rng.random(shape) < 0.5
    return np.stack([effectual & sign, effectual & ~sign]), pattern


def _random_values(rng, dtype, masks, regions) -> np.ndarray:
    """Signed-binary of either sign, binary, and any pair; sizes as quantization leaves them."""
    count = (masks.shape[1], regions)
    size = np.full(count, 127.0) if dtype == "int8" else rng.uniform(0.01, 1, count)
    if dtype == "int8" and rng.random() < 0.3:
        size = rng.integers(1, 128, count).astype(np.float64)
    sign = rng.choice([-1, 1], count)
    if len(masks) == 2:
        return _cast(size[..., None], dtype)
    form = rng.choice(["signed_binary", "binary", "any"], p=[0.5, 0.2, 0.3])
    background = {"signed_binary": np.zeros(count), "binary": -size * sign,
                  "any": size * rng.uniform(-1, 1, count)}[form]  # fmt: skip
    return _cast(np.stack([background, size * sign], axis=-1), dtype)


def _cast(values, dtype) -> np.ndarray:
    return np.rint(values).astype(np.int8) if dtype == "int8" else values.astype(np.float32)


def _float_bias(rng, layer: Layer) -> Layer:
    if rng.random() < 0.2:
        return layer
    bias = rng.standard_normal(layer.masks.shape[1]).astype(np.float32)
    return dataclasses.replace(layer, bias=bias)


def _quantize(rng, layer: Layer) -> Layer:
    """Scales and zero points that make good use of int8, sometimes bad use."""
    out_channels = layer.masks.shape[1]
    scales = rng.uniform(0.001, 0.02, out_channels if rng.random() < 0.8 else 1)
    scales = scales.astype(np.float32)
    input_scale = np.float32(rng.uniform(0.005, 0.05))
    weights = layer.weights.astype(np.float64).reshape(out_channels, -1)
    spread = 70 * np.sqrt((weights**2).sum(axis=1)) * scales * input_scale
    output_scale = np.float32(max(float(np.median(spread)) / 60, 1e-6) * rng.choice([1, 1, 0.2, 5]))
    bias = None
    if rng.random() > 0.2:
        steps = spread / (scales * input_scale)
        bias = np.rint(rng.standard_normal(out_channels) * (steps + 10)).astype(np.int32)
    return dataclasses.replace(
        layer, bias=bias, input_scale=float(input_scale), output_scale=float(output_scale),
        weight_scales=scales,
        input_zero_point=int(rng.choice([rng.integers(-128, 128), 128 - 2 ** rng.integers(1, 7)])),
        output_zero_point=int(rng.choice([-128, 0, rng.integers(-128, 128)])),
    )  # fmt: skip


def _activation(layer: Layer, which: str) -> dict[str, object]:
    if layer.dtype != "int8":
        return {}
    return {
        "scale": getattr(layer, f"{which}_scale"),
        "zero": getattr(layer, f"{which}_zero_point"),
    }


def _conv(layer: Layer, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    _, kernel_h, kernel_w, _ = weights.shape
    sizes, pads = [], []
    for axis, kernel in enumerate((kernel_h, kernel_w)):
        out, before = window(
            x.shape[1 + axis], kernel, layer.stride[axis], layer.dilation[axis], layer.padding
        )
        last = (out - 1) * layer.stride[axis] + (kernel - 1) * layer.dilation[axis]
        sizes.append(out)
        pads.append((before, max(last - before - x.shape[1 + axis] + 1, 0)))
    x = np.pad(x, ((0, 0), *pads, (0, 0)))
    result = np.zeros((x.shape[0], *sizes, weights.shape[0]))
    for dy in range(kernel_h):
        for dx in range(kernel_w):
            rows = x[:, dy * layer.dilation[0] :: layer.stride[0]][:, : sizes[0]]
            taps = rows[:, :, dx * layer.dilation[1] :: layer.stride[1]][:, :, : sizes[1]]
            result += taps @ weights[:, dy, dx].T
    return result

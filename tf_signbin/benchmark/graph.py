"""Builds .tflite models straight from the schema: no TensorFlow, no training, milliseconds.

The same description gives a float32 or an int8 model. Weights are integers (`int8_filters`) with
one scale a filter, so both types compute the same network; scales are chosen so that activations
keep their spread from layer to layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_signbin.format.model import schema, write_model
from tf_signbin.format.reference import output_size

FLOAT32, INT8 = "float32", "int8"
# An int8 activation's standard deviation in steps: +-3 deviations fill the range.
_SPREAD = 40.0
_DEVIATIONS = 3.0  # that the range of an activation of fewer bits covers, from 0 up


@dataclass(frozen=True)
class Value:
    """A tensor of the graph: its number, NHWC (or [N, C]) shape, int8 scale and bits."""

    index: int
    shape: tuple[int, ...]
    scale: float
    bits: int = 8


class GraphBuilder:
    """One subgraph; every method adds an operator and returns its output."""

    def __init__(self, activations: str) -> None:
        if activations not in (FLOAT32, INT8):
            raise ValueError(f"activations={activations!r}: must be {FLOAT32!r} or {INT8!r}")
        self.int8 = activations == INT8
        self._fb = schema()
        self._buffers: list[Any] = [self._fb.BufferT()]
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}
        self._inputs: list[Value] = []

    def input(self, shape: tuple[int, ...], bits: int = 8) -> Value:
        value = self._activation(shape, 1.0 / _SPREAD, bits)
        self._inputs.append(value)
        return value

    def conv(
        self,
        x: Value,
        weights: np.ndarray,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "SAME",
        activation: str = "RELU",
        bits: int = 8,
    ) -> Value:
        """CONV_2D; weights: int8 [O, KH, KW, I], `bits` of an int8 output."""
        out_channels, kernel_h, kernel_w, _ = weights.shape
        size = [
            output_size(x.shape[axis + 1], kernel, stride, dilation, padding)
            for axis, kernel in enumerate((kernel_h, kernel_w))
        ]
        y = self._activation((x.shape[0], *size, out_channels), 1.0 / _SPREAD, bits)
        options = self._fb.Conv2DOptionsT(
            padding=getattr(self._fb.Padding, padding), strideH=stride, strideW=stride,
            dilationHFactor=dilation, dilationWFactor=dilation,
            fusedActivationFunction=self._fused(activation),
        )  # fmt: skip
        inputs = [x, *self._weights(x, weights, weights.shape)]
        self._operator("CONV_2D", 3 if self.int8 else 2, inputs, y, options)
        return y

    def fully_connected(self, x: Value, weights: np.ndarray, activation: str = "NONE") -> Value:
        """FULLY_CONNECTED; x: [N, I], weights: int8 [O, 1, 1, I]."""
        y = self._activation((x.shape[0], weights.shape[0]), 1.0 / _SPREAD)
        options = self._fb.FullyConnectedOptionsT(fusedActivationFunction=self._fused(activation))
        # One scale for all filters: scales of their own need a runtime of 2024 or later.
        shape = (weights.shape[0], weights.shape[3])
        inputs = [x, *self._weights(x, weights, shape, per_filter=False)]
        self._operator("FULLY_CONNECTED", 4 if self.int8 else 1, inputs, y, options)
        return y

    def add(self, a: Value, b: Value, activation: str = "RELU") -> Value:
        y = self._activation(a.shape, a.scale)
        options = self._fb.AddOptionsT(fusedActivationFunction=self._fused(activation))
        self._operator("ADD", 2 if self.int8 else 1, [a, b], y, options)
        return y

    def requantize(self, x: Value, bits: int) -> Value:
        """An int8 tensor of fewer bits: DEPTHWISE_CONV_2D by 1 and a ReLU, as in training."""
        channels = x.shape[3]
        y = self._activation(x.shape, x.scale, bits)
        number = len(self._tensors)
        ones = np.full((1, 1, 1, channels), 127, np.int8)
        scale = np.array([1 / 127], np.float32)
        inputs = [
            x,
            self._constant(ones, f"w{number}", scale),
            self._constant(np.zeros(channels, np.int32), f"b{number}", x.scale * scale),
        ]
        options = self._fb.DepthwiseConv2DOptionsT(
            strideH=1, strideW=1, depthMultiplier=1, dilationHFactor=1, dilationWFactor=1,
            fusedActivationFunction=self._fused("RELU"),
        )  # fmt: skip
        self._operator("DEPTHWISE_CONV_2D", 3, inputs, y, options)
        return y

    def max_pool(self, x: Value, size: int, stride: int) -> Value:
        return self._pool("MAX_POOL_2D", x, size, stride, "SAME")

    def global_average_pool(self, x: Value) -> Value:
        """[N, H, W, C] to [N, C]."""
        pooled = self._pool("AVERAGE_POOL_2D", x, x.shape[1], 1, "VALID")
        y = self._activation((x.shape[0], x.shape[3]), x.scale, x.bits)
        # -1: the batch may be resized.
        shape = np.array([-1, x.shape[3]], np.int32)
        options = self._fb.ReshapeOptionsT(newShape=shape)
        self._operator("RESHAPE", 1, [pooled, self._constant(shape, "shape")], y, options)
        return y

    def finish(self, output: Value) -> bytes:
        """The .tflite file."""
        graph = self._fb.SubGraphT(
            tensors=self._tensors, operators=self._operators,
            inputs=np.array([value.index for value in self._inputs], np.int32),
            outputs=np.array([output.index], np.int32), name=b"main",
        )  # fmt: skip
        codes = [
            self._fb.OperatorCodeT(
                deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version
            )
            for code, version in self._codes
        ]
        return write_model(
            self._fb.ModelT(
                version=3,
                operatorCodes=codes,
                subgraphs=[graph],
                buffers=self._buffers,
                metadata=[],
                signatureDefs=[],
                description=b"tf_signbin benchmark",
            )
        )

    def _pool(self, op: str, x: Value, size: int, stride: int, padding: str) -> Value:
        out = [output_size(side, size, stride, 1, padding) for side in x.shape[1:3]]
        y = self._activation((x.shape[0], *out, x.shape[3]), x.scale, x.bits)
        options = self._fb.Pool2DOptionsT(
            padding=getattr(self._fb.Padding, padding), strideH=stride, strideW=stride,
            filterHeight=size, filterWidth=size,
        )  # fmt: skip
        self._operator(op, 2 if self.int8 else 1, [x], y, options)
        return y

    def _weights(
        self, x: Value, weights: np.ndarray, shape: tuple[int, ...], per_filter: bool = True
    ) -> tuple[Value, Value]:
        """Filter and bias tensors, scaled to keep the activations' spread."""
        flat = weights.reshape(weights.shape[0], -1).astype(np.float32)
        norm = np.sqrt(np.maximum((flat * flat).sum(axis=1), 1.0))
        if not per_filter:
            norm = norm.mean(keepdims=True)
        scale = (1.0 / norm).astype(np.float32)
        bias = np.linspace(-0.5, 0.5, weights.shape[0], dtype=np.float32)
        number = len(self._tensors)
        if not self.int8:
            real = (flat * scale[:, None]).reshape(shape).astype(np.float32)
            return self._constant(real, f"w{number}"), self._constant(bias, f"b{number}")
        steps = np.rint(bias / (x.scale * scale)).astype(np.int32)
        return (
            self._constant(weights.reshape(shape), f"w{number}", scale),
            self._constant(steps, f"b{number}", (x.scale * scale).astype(np.float32)),
        )

    def _activation(self, shape: tuple[int, ...], scale: float, bits: int = 8) -> Value:
        dtype = np.int8 if self.int8 else np.float32
        zero_point = 0
        if bits < 8:  # the values from the zero point up to 127 (docs/format.md)
            zero_point = 128 - 2**bits
            scale = _DEVIATIONS / (2**bits - 1)
        scales = np.array([scale], np.float32) if self.int8 else None
        index = self._tensor(shape, dtype, f"t{len(self._tensors)}", 0, scales, zero_point)
        return Value(index, shape, scale, bits)

    def _constant(self, data: np.ndarray, name: str, scale: np.ndarray | None = None) -> Value:
        raw = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        self._buffers.append(self._fb.BufferT(data=raw))
        index = self._tensor(data.shape, data.dtype, name, len(self._buffers) - 1, scale)
        return Value(index, data.shape, 0.0)

    def _tensor(
        self,
        shape: tuple[int, ...],
        dtype: Any,
        name: str,
        buffer: int,
        scale: np.ndarray | None,
        zero_point: int = 0,
    ) -> int:
        types = self._fb.TensorType
        codes = {"float32": types.FLOAT32, "int32": types.INT32, "int8": types.INT8}
        quantization = None
        if scale is not None:
            quantization = self._fb.QuantizationParametersT(
                scale=scale,
                zeroPoint=np.full(scale.size, zero_point, np.int64),
                quantizedDimension=0,
            )
        self._tensors.append(
            self._fb.TensorT(
                shape=np.array(shape, np.int32),
                type=codes[np.dtype(dtype).name],
                buffer=buffer,
                name=name.encode(),
                quantization=quantization,
                hasRank=True,
            )
        )
        return len(self._tensors) - 1

    def _operator(self, op: str, version: int, inputs: list[Value], y: Value, options: Any) -> None:
        key = getattr(self._fb.BuiltinOperator, op), version
        number = self._codes.setdefault(key, len(self._codes))
        kind = "NONE" if options is None else type(options).__name__.removesuffix("T")
        self._operators.append(
            self._fb.OperatorT(
                opcodeIndex=number,
                inputs=np.array([value.index for value in inputs], np.int32),
                outputs=np.array([y.index], np.int32),
                builtinOptionsType=getattr(self._fb.BuiltinOptions, kind),
                builtinOptions=options,
            )
        )

    def _fused(self, activation: str) -> int:
        return int(getattr(self._fb.ActivationFunctionType, activation))

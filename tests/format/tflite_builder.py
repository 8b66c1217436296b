"""Builds small .tflite models for the tests, straight from the schema."""

from __future__ import annotations

import numpy as np

from tf_signbin.format.model import schema, write_model

_TYPES = {
    "float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6,
    "int16": 7, "int8": 9,
}  # fmt: skip


class Builder:
    """A model of one subgraph, more with `graph()`; tensors are numbered in order."""

    def __init__(self) -> None:
        self.fb = schema()
        self.model = self.fb.ModelT(
            version=3, operatorCodes=[], subgraphs=[], buffers=[self.fb.BufferT()],
            metadata=[], signatureDefs=[], description=b"test",
        )  # fmt: skip
        self.graph()

    def graph(self) -> int:
        self._graph = self.fb.SubGraphT(tensors=[], operators=[], inputs=[], outputs=[])
        self.model.subgraphs.append(self._graph)
        return len(self.model.subgraphs) - 1

    def buffer(self, data: np.ndarray) -> int:
        raw = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        self.model.buffers.append(self.fb.BufferT(data=raw))
        return len(self.model.buffers) - 1

    def tensor(
        self, shape, dtype, name, data=None, scale=None, zero=0, axis=0, buffer=0, signature=None
    ) -> int:
        quantization = None
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            quantization = self.fb.QuantizationParametersT(
                scale=scales,
                zeroPoint=np.full(scales.size, zero, np.int64),
                quantizedDimension=axis,
            )
        self._graph.tensors.append(
            self.fb.TensorT(
                shape=np.array(shape, np.int32),
                shapeSignature=None if signature is None else np.array(signature, np.int32),
                type=_TYPES[np.dtype(dtype).name],
                buffer=buffer if data is None else self.buffer(data),
                name=name.encode(),
                quantization=quantization,
            )
        )
        return len(self._graph.tensors) - 1

    def constant(self, data, name, scale=None, zero=0) -> int:
        return self.tensor(data.shape, data.dtype, name, data, scale, zero)

    def op(self, builtin: str, inputs, outputs, options_type: str = "NONE", version=1, **options):
        code = getattr(self.fb.BuiltinOperator, builtin)
        table = getattr(self.fb, f"{options_type}T", None)
        self._operator(
            self.fb.OperatorCodeT(min(code, 127), version=version, builtinCode=code),
            inputs,
            outputs,
            builtinOptionsType=getattr(self.fb.BuiltinOptions, options_type),
            builtinOptions=table(**options) if table else None,
        )

    def custom_op(self, name: str, inputs, outputs, options: bytes) -> None:
        code = self.fb.BuiltinOperator.CUSTOM
        self._operator(
            self.fb.OperatorCodeT(code, name.encode(), builtinCode=code),
            inputs,
            outputs,
            customOptions=np.frombuffer(options, np.uint8),
        )

    def _operator(self, code, inputs, outputs, **options) -> None:
        self.model.operatorCodes.append(code)
        self._graph.operators.append(
            self.fb.OperatorT(
                opcodeIndex=len(self.model.operatorCodes) - 1,
                inputs=np.array(inputs, np.int32),
                outputs=np.array(outputs, np.int32),
                **options,
            )
        )

    def conv_2d(
        self, inputs, output, *, version=3, stride=(1, 1), dilation=(1, 1), padding="SAME",
        activation="NONE",
    ) -> None:  # fmt: skip
        self.op(
            "CONV_2D", inputs, [output], "Conv2DOptions", version,
            padding=getattr(self.fb.Padding, padding), strideH=stride[0], strideW=stride[1],
            dilationHFactor=dilation[0], dilationWFactor=dilation[1],
            fusedActivationFunction=getattr(self.fb.ActivationFunctionType, activation),
        )  # fmt: skip

    def fully_connected(
        self, inputs, output, *, version, activation="NONE", keep_num_dims=False
    ) -> None:
        self.op(
            "FULLY_CONNECTED", inputs, [output], "FullyConnectedOptions", version,
            fusedActivationFunction=getattr(self.fb.ActivationFunctionType, activation),
            keepNumDims=keep_num_dims,
        )  # fmt: skip

    def io(self, inputs, outputs) -> None:
        self._graph.inputs = np.array(inputs, np.int32)
        self._graph.outputs = np.array(outputs, np.int32)

    def signature(self, key, inputs, outputs, graph=0) -> None:
        """inputs and outputs: name to tensor number."""

        def maps(names):
            return [self.fb.TensorMapT(name.encode(), index) for name, index in names.items()]

        self.model.signatureDefs.append(
            self.fb.SignatureDefT(maps(inputs), maps(outputs), key.encode(), graph)
        )

    def bytes(self) -> bytes:
        return write_model(self.model)


def random_filters(rng, kind, shape, dtype="float32", density=0.3, regions=1, background=False):
    """Filters [O, KH, KW, I] of the given kind, with signs and scales that differ by filter."""
    out_channels, in_channels = shape[0], shape[3]
    width = in_channels // regions
    per_region = (out_channels, regions)
    if dtype == "int8":
        b = rng.choice([-127, 127], per_region)
        a = rng.integers(-60, 60, per_region) if background else np.zeros(per_region, int)
    else:
        b = rng.normal(size=per_region) + 0.01
        a = -0.3 * b if background else np.zeros(per_region)
    spread = [np.repeat(v, width, axis=1).reshape(out_channels, 1, 1, in_channels) for v in (a, b)]
    bits = rng.random(shape) < density
    if kind == "ternary":
        spread[0] = spread[0] * 0
        signs = rng.choice([-1, 1], shape)
        return (bits * signs * spread[1]).astype(dtype)
    if kind == "dense":
        if dtype == "int8":
            return rng.integers(-127, 128, shape).astype(np.int8)
        return rng.normal(size=shape).astype(dtype)
    return np.where(bits, spread[1], spread[0]).astype(dtype)


def conv_model(
    weights,
    x_shape,
    *,
    bias=None,
    stride=(1, 1),
    dilation=(1, 1),
    padding="SAME",
    activation="NONE",
    quant=None,
    fully_connected=False,
    keep_num_dims=False,
):
    """One CONV_2D or FULLY_CONNECTED. weights: [O, KH, KW, I]; quant: an Int8Quantization."""
    b = Builder()
    dtype = weights.dtype
    q = quant
    out_channels = weights.shape[0]
    io = [{}, {}] if q is None else [
        {"scale": q.input_scale, "zero": q.input_zero_point},
        {"scale": q.output_scale, "zero": q.output_zero_point},
    ]  # fmt: skip
    x = b.tensor(x_shape, dtype, "x", **io[0])
    stored = weights.reshape(out_channels, -1) if fully_connected else weights
    w = b.constant(stored, "w", None if q is None else q.filter_scales)
    inputs = [x, w]
    if bias is not None:
        scale = None if q is None else q.input_scale * q.filter_scales
        inputs.append(b.constant(bias, "bias", scale))
    rank = len(x_shape) if not fully_connected or keep_num_dims else 2
    y = b.tensor([1] * (rank - 1) + [out_channels], dtype, "y", **io[1])
    if fully_connected:
        version = 5 if q is None else 4 if q.filter_scales.size == 1 else 12
        if bias is None:
            inputs.append(-1)
        b.fully_connected(
            inputs, y, version=version, activation=activation, keep_num_dims=keep_num_dims
        )
    else:
        b.conv_2d(
            inputs, y, stride=stride, dilation=dilation, padding=padding, activation=activation
        )
    b.io([x], [y])
    return b.bytes()

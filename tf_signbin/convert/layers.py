"""Reads the weight-carrying operators of a model: which could be packed, and why others cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_signbin.convert.names import layer_path, unique_names
from tf_signbin.format.low_bits import BitCounter
from tf_signbin.format.model import constant, indices, operator_name, schema, shape_of, text
from tf_signbin.format.spec import ACTIVATIONS, CONV_2D, FULLY_CONNECTED

# Operators with weights that no packed operator covers, and what the user may do about it.
_OTHER_KINDS = {
    "DEPTHWISE_CONV_2D": "depthwise: each filter sees one channel, so nothing can be shared",
    "TRANSPOSE_CONV": "transposed convolutions are not packed (UpSampling2D and Conv2D are)",
    "CONV_3D": "3-D convolutions are not packed",
    "CONV_3D_TRANSPOSE": "3-D convolutions are not packed",
    "BATCH_MATMUL": "matrix products are not packed (Dense layers are)",
}


PACKED_OPS = (CONV_2D, FULLY_CONNECTED)


class CannotPackError(Exception):
    """The reason why an operator stays as it is."""


@dataclass
class Layer:
    """A CONV_2D or FULLY_CONNECTED whose operands the packed operators support.

    weights: [O, KH, KW, I], float32 or int8; geometry: the options that do not follow from the
    weights; bias_values: set when the bias must be stored anew (it was stored as float16).
    """

    packed_op: str
    weights: np.ndarray
    geometry: dict[str, int | str]
    filter_tensor: int
    filter_scales: np.ndarray | None
    bias_tensor: int
    bias_values: np.ndarray | None


class GraphReader:
    """One subgraph, with the operator that writes each tensor."""

    def __init__(self, model: Any, graph_index: int) -> None:
        self.model = model
        self.graph = model.subgraphs[graph_index]
        self._writers = {
            tensor: operator
            for operator in self.graph.operators
            for tensor in indices(operator.outputs)
        }
        self.counter = BitCounter(model, self.graph)
        self._constants: dict[int, np.ndarray | None] = {}

    def carries_weights(self, operator: Any) -> bool:
        name = operator_name(self.model, operator)
        if name == "BATCH_MATMUL":  # of two activations, unless one is constant
            return self.filter_bytes(operator) > 0
        return name in ("CONV_2D", "FULLY_CONNECTED") or name in _OTHER_KINDS

    def is_layer(self, operator: Any) -> bool:
        """Whether the operator is packed or carries weights."""
        return operator_name(self.model, operator) in PACKED_OPS or self.carries_weights(operator)

    def output_name(self, operator: Any) -> str:
        outputs = indices(operator.outputs)
        return text(self.graph.tensors[outputs[0]].name) if outputs else ""

    def path_of(self, operator: Any) -> tuple[str, ...]:
        """The path of the layer's name, as far as the tensors' names tell."""
        inputs = indices(operator.inputs)
        has_filter = len(inputs) > 1 and inputs[1] >= 0
        filter_name = text(self.graph.tensors[inputs[1]].name) if has_filter else ""
        return layer_path(filter_name, self.output_name(operator))

    def filter_shape(self, operator: Any) -> tuple[int, ...]:
        inputs = indices(operator.inputs)
        return shape_of(self.graph.tensors[inputs[1]]) if len(inputs) > 1 and inputs[1] >= 0 else ()

    def filter_bytes(self, operator: Any) -> int:
        """Stored bytes of an operator's weights, as the file holds them."""
        inputs = indices(operator.inputs)
        if len(inputs) < 2 or inputs[1] < 0:
            return 0
        index = inputs[1]
        if index in self._writers:  # DEQUANTIZE of a stored constant
            source = indices(self._writers[index].inputs)
            index = source[0] if source and source[0] >= 0 else index
        data = self.model.buffers[self.graph.tensors[index].buffer].data
        return 0 if data is None else len(data)

    def activation_type(self, operator: Any) -> str:
        inputs = indices(operator.inputs)
        return _type_name(self.graph.tensors[inputs[0]].type) if inputs else ""

    def read(self, operator: Any) -> Layer:
        """The layer of an operator, or CannotPackError with the reason."""
        name = operator_name(self.model, operator)
        if name in _OTHER_KINDS:
            raise CannotPackError(_OTHER_KINDS[name])
        inputs, outputs = indices(operator.inputs), indices(operator.outputs)
        if len(inputs) not in (2, 3) or min(inputs[:2]) < 0 or len(outputs) != 1:
            raise CannotPackError(f"{len(inputs)} inputs and {len(outputs)} outputs are unusual")
        x, out = self.graph.tensors[inputs[0]], self.graph.tensors[outputs[0]]
        weights, scales = self._weights(inputs[1])
        if name == "CONV_2D":
            packed_op, geometry = CONV_2D, self._conv_geometry(operator)
            if weights.ndim != 4:
                raise CannotPackError(f"filter has {weights.ndim} dimensions instead of 4")
            channels = shape_of(x)[-1:]
            if channels and channels[0] > 0 and channels[0] != weights.shape[3]:
                raise CannotPackError(
                    f"grouped convolution ({channels[0]} input channels, {weights.shape[3]} in the "
                    "filter)"
                )
        else:
            packed_op, geometry = FULLY_CONNECTED, self._dense_geometry(operator)
            if weights.ndim != 2:
                raise CannotPackError(f"weights have {weights.ndim} dimensions instead of 2")
            weights = weights[:, None, None, :]
        if scales is not None and scales.size not in (1, len(weights)):
            raise CannotPackError(f"{scales.size} weight scales for {len(weights)} filters")
        self._check_activations(x, out, weights.dtype)
        bias = inputs[2] if len(inputs) == 3 else -1
        bias_values = self._bias(bias, len(weights), weights.dtype)
        return Layer(packed_op, weights, geometry, inputs[1], scales, bias, bias_values)

    def _weights(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The constant filter; int8 ones come with their scales."""
        tensor = self.graph.tensors[index]
        data = self._constant(index)
        if data is None:
            raise CannotPackError(
                f"filter is not a constant that can be read (type {_type_name(tensor.type)})"
            )
        if data.dtype == np.float32:
            return data, None
        if data.dtype != np.int8:
            raise CannotPackError(f"{data.dtype} weights are not supported")
        scales, zero_points, dimension = _quantization(tensor)
        if np.any(zero_points):
            raise CannotPackError("int8 weights with a zero point other than 0")
        if scales.size == 0 or (scales.size > 1 and dimension != 0):
            raise CannotPackError("int8 weights without scales, or with scales on another axis")
        return data, scales

    def _constant(self, index: int) -> np.ndarray | None:
        if index not in self._constants:
            self._constants[index] = self._read_constant(index)
        return self._constants[index]

    def _read_constant(self, index: int) -> np.ndarray | None:
        """A constant tensor; float16 and weight-only int8 constants are followed through DEQUANTIZE
        and come back as the float32 values that the operator sees."""
        tensor = self.graph.tensors[index]
        writer = self._writers.get(index)
        if writer is None:
            return None if tensor.isVariable else constant(self.model, tensor)
        source = indices(writer.inputs)
        if operator_name(self.model, writer) != "DEQUANTIZE" or len(source) != 1 or source[0] < 0:
            return None
        stored = self.graph.tensors[source[0]]
        data = None if source[0] in self._writers else constant(self.model, stored)
        if data is None or tensor.type != schema().TensorType.FLOAT32:
            return None
        if data.dtype == np.float16:
            return data.astype(np.float32)
        scales, zero_points, dimension = _quantization(stored)
        if data.dtype != np.int8 or scales.size == 0 or dimension >= data.ndim:
            return None
        if scales.size > 1 and scales.size != data.shape[dimension]:
            return None
        along = [-1 if axis == dimension else 1 for axis in range(data.ndim)]
        steps = data.astype(np.float32) - zero_points.astype(np.float32).reshape(along)
        return (steps * scales.reshape(along)).astype(np.float32)

    def _bias(self, index: int, filters: int, weight_type: np.dtype) -> np.ndarray | None:
        if index < 0:
            return None
        tensor = self.graph.tensors[index]
        types = schema().TensorType
        expected = types.INT32 if weight_type == np.int8 else types.FLOAT32
        if tensor.type != expected:
            raise CannotPackError(f"{_type_name(tensor.type)} bias is not supported")
        values = self._constant(index)
        if values is None:
            raise CannotPackError("bias is not a constant")
        if values.size != filters:
            raise CannotPackError(f"bias has {values.size} entries for {filters} filters")
        return values if index in self._writers else None

    def _check_activations(self, x: Any, out: Any, weight_type: np.dtype) -> None:
        types = schema().TensorType
        wanted = types.INT8 if weight_type == np.int8 else types.FLOAT32
        if x.type == types.FLOAT32 and weight_type == np.int8:
            raise CannotPackError(
                "dynamic-range quantization (float activations, int8 weights): convert with "
                "activations='float32' or 'int8' instead"
            )
        for tensor, role in ((x, "input"), (out, "output")):
            if tensor.type != wanted:
                raise CannotPackError(f"{role} type {_type_name(tensor.type)} is not supported")
            if weight_type == np.int8 and _quantization(tensor)[0].size != 1:
                raise CannotPackError(f"{role} is not quantized with one scale")

    def _conv_geometry(self, operator: Any) -> dict[str, int | str]:
        options = operator.builtinOptions
        if not isinstance(options, schema().Conv2DOptionsT):
            raise CannotPackError("operator has no convolution options")
        return {
            "stride_h": options.strideH, "stride_w": options.strideW,
            "dilation_h": options.dilationHFactor, "dilation_w": options.dilationWFactor,
            "padding": "SAME" if options.padding == schema().Padding.SAME else "VALID",
            "activation": _activation(options.fusedActivationFunction),
        }  # fmt: skip

    def _dense_geometry(self, operator: Any) -> dict[str, int | str]:
        options = operator.builtinOptions
        if not isinstance(options, schema().FullyConnectedOptionsT):
            raise CannotPackError("operator has no fully connected options")
        if options.weightsFormat != 0:
            raise CannotPackError("shuffled weights are not supported")
        return {
            "activation": _activation(options.fusedActivationFunction),
            "keep_num_dims": int(options.keepNumDims),
        }


def layer_names(model: Any) -> dict[tuple[int, int], str]:
    """(subgraph, position) of each operator with weights to the layer's name, unique in the file.

    The names follow from the tensors' names, so a file and its packed form give the same ones.
    """
    places, paths = [], []
    for number, graph in enumerate(model.subgraphs):
        reader = GraphReader(model, number)
        for position, operator in enumerate(graph.operators):
            if reader.is_layer(operator):
                places.append((number, position))
                paths.append(reader.path_of(operator))
    return dict(zip(places, unique_names(paths), strict=True))


def _quantization(tensor: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Scales (float32), zero points and the axis they belong to."""
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or quantization.details is not None:
        return np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    scales = np.asarray(quantization.scale, np.float32)
    zeros = quantization.zeroPoint
    zero_points = np.zeros(scales.size, np.int64) if zeros is None else np.asarray(zeros, np.int64)
    return scales, zero_points, int(quantization.quantizedDimension)


def _activation(code: int) -> str:
    name = _enum_name(schema().ActivationFunctionType, code)
    if name not in ACTIVATIONS:
        raise CannotPackError(f"fused activation {name} is not supported")
    return name


def _type_name(code: int) -> str:
    return _enum_name(schema().TensorType, code).lower()


def _enum_name(enum: Any, code: int) -> str:
    names = [k for k, number in vars(enum).items() if number == code and not k.startswith("_")]
    return names[0] if names else str(code)

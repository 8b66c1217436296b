"""How many bits the values of an int8 tensor have (docs/format.md, low-bit tensors)."""

from __future__ import annotations

from typing import Any

from tf_signbin.format.errors import ModelError
from tf_signbin.format.model import indices, operator_name, schema
from tf_signbin.format.options import decode_options
from tf_signbin.format.spec import CONV_2D, FULLY_CONNECTED

LOW_BITS = (3, 4, 5, 6)
# Zero point to bits: values zero_point .. 127 are the numbers 0 .. 2^bits - 1.
ZERO_POINTS = {127 - (2**bits - 1): bits for bits in LOW_BITS}

_CLAMPS = ("RELU", "RELU6", "RELU_0_TO_1")
# Of inputs that are not negative, these make outputs that are not.
_KEEP_SIGN = (
    "MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "CONCATENATION", "RESHAPE", "SQUEEZE", "EXPAND_DIMS",
    "TRANSPOSE", "STRIDED_SLICE", "SLICE", "QUANTIZE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND",
)  # fmt: skip


class BitCounter:
    """Bits of the tensors of one subgraph."""

    def __init__(self, model: Any, graph: Any) -> None:
        self._model, self._graph = model, graph
        self._writers = {
            tensor: operator for operator in graph.operators for tensor in indices(operator.outputs)
        }

    def bits(self, index: int) -> int:
        """3 to 6 for a low-bit tensor, else those of its type (0 for types without a size)."""
        tensor = self._graph.tensors[index]
        types = schema().TensorType
        if tensor.type != types.INT8:
            return {types.FLOAT32: 32, types.FLOAT16: 16, types.UINT8: 8}.get(tensor.type, 0)
        return ZERO_POINTS.get(_zero_point(tensor), 8) if self._not_negative(index) else 8

    def _not_negative(self, index: int) -> bool:
        """Whether the operators that make the tensor hold its real values at 0 or more."""
        pending, seen = [index], set()
        while pending:
            tensor = pending.pop()
            if tensor in seen:
                continue
            seen.add(tensor)
            if tensor not in self._writers:
                return False
            operator = self._writers[tensor]
            name = operator_name(self._model, operator)
            if self._clamps(name, operator):
                continue
            if name not in _KEEP_SIGN:
                return False
            inputs = indices(operator.inputs)
            pending += inputs if name == "CONCATENATION" else inputs[:1]
        return True

    def _clamps(self, name: str, operator: Any) -> bool:
        if name in _CLAMPS:
            return True
        if name in (CONV_2D, FULLY_CONNECTED):
            blob = operator.customOptions
            try:
                options = decode_options(b"" if blob is None else bytes(bytearray(blob)))
            except ModelError:
                return False
            return options.activation in ("RELU", "RELU6")
        fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
        kinds = schema().ActivationFunctionType
        return fused in (kinds.RELU, kinds.RELU6)


def _zero_point(tensor: Any) -> int | None:
    """The one zero point of a tensor; None for several or none."""
    quantization = tensor.quantization
    points = None if quantization is None else quantization.zeroPoint
    return int(points[0]) if points is not None and len(points) == 1 else None

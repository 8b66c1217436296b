"""Small helpers on the object tree of a .tflite model, shared by packing and unpacking."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from tf_signbin.format.model import builtin_code, indices, schema, text


class Buffers:
    """Adds constants to a model; equal contents share one buffer."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._known: dict[bytes, int] = {}

    def add(self, array: np.ndarray) -> int:
        data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        digest = hashlib.sha256(data.tobytes()).digest()
        if digest not in self._known:
            self._known[digest] = len(self._model.buffers)
            self._model.buffers.append(schema().BufferT(data=data))
        return self._known[digest]


class References:
    """How often a subgraph and its signatures refer to each tensor."""

    def __init__(self, model: Any, graph_index: int) -> None:
        graph = model.subgraphs[graph_index]
        self._counts: dict[int, int] = {}
        self._fixed = set(indices(graph.inputs) + indices(graph.outputs))
        for signature in model.signatureDefs:
            if signature.subgraphIndex == graph_index:
                self._fixed |= {e.tensorIndex for e in [*signature.inputs, *signature.outputs]}
        for operator in graph.operators:
            self.add(indices(operator.inputs) + indices(operator.intermediates))
            self._fixed |= set(indices(operator.outputs))
        for tensor in graph.tensors:
            # Blockwise quantization names the tensors that hold its scales.
            details = getattr(tensor.quantization, "details", None)
            for name in ("scales", "zeroPoints"):
                self._fixed.add(getattr(details, name, -1))

    def add(self, tensors: list[int], change: int = 1) -> None:
        for tensor in tensors:
            self._counts[tensor] = self._counts.get(tensor, 0) + change

    def release_output(self, tensor: int) -> None:
        """The operator that wrote `tensor` is gone."""
        self._fixed.discard(tensor)

    def used(self, tensor: int) -> bool:
        return tensor in self._fixed or self._counts.get(tensor, 0) > 0


def custom_code(model: Any, name: str) -> int:
    """Index of the operator code of a custom operator, added when missing."""
    operators = schema().BuiltinOperator
    return _operator_code(model, operators.CUSTOM, name.encode(), 1)


def builtin_operator_code(model: Any, builtin: int, version: int) -> int:
    """Index of the operator code of a builtin operator, added when missing."""
    return _operator_code(model, builtin, None, version)


def _operator_code(model: Any, builtin: int, custom: bytes | None, version: int) -> int:
    for index, code in enumerate(model.operatorCodes):
        if (
            builtin_code(code) == builtin
            and (text(code.customCode) or None) == (custom.decode() if custom else None)
            and code.version == version
        ):
            return index
    # Codes up to 127 also go to the old 8-bit field, for old readers.
    code = schema().OperatorCodeT(min(builtin, 127), custom, version, builtin)
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def drop_unused(model: Any) -> None:
    """Removes buffers and operator codes that nothing refers to; buffer 0 is TFLite's empty one.

    Tensors keep their numbers (other files and quantization details may name them).
    """
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    used = {0} | {tensor.buffer for tensor in tensors} | {m.buffer for m in model.metadata}
    used |= set(indices(model.metadataBuffer))
    kept = [index for index in range(len(model.buffers)) if index in used]
    renumbered = {old: new for new, old in enumerate(kept)}
    model.buffers = [model.buffers[index] for index in kept]
    for owner in [*tensors, *model.metadata]:
        owner.buffer = renumbered[owner.buffer]
    if model.metadataBuffer is not None:
        numbers = [renumbered[index] for index in indices(model.metadataBuffer)]
        model.metadataBuffer = np.array(numbers, np.int32)

    operators = [operator for graph in model.subgraphs for operator in graph.operators]
    codes = sorted({operator.opcodeIndex for operator in operators})
    new_codes = {old: new for new, old in enumerate(codes)}
    model.operatorCodes = [model.operatorCodes[index] for index in codes]
    for operator in operators:
        operator.opcodeIndex = new_codes[operator.opcodeIndex]

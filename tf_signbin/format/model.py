"""Reads and writes .tflite files as the object trees of TensorFlow Lite's generated schema."""

from __future__ import annotations

import importlib
import math
from functools import cache
from types import ModuleType
from typing import Any

import flatbuffers
import numpy as np

from tf_signbin.format.errors import ModelError
from tf_signbin.format.flatbuffer_check import FILE_IDENTIFIER, MAX_BYTES, check_flatbuffer

SCHEMA_VERSION = 3
# TFLite wants constants at 16 byte boundaries (`force_align: 16` in its schema).
_BUFFER_ALIGNMENT = 16

# Fixed-size element types that NumPy can hold, by TensorType code.
NUMPY_TYPES = {
    0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 6: np.bool_, 7: np.int16,
    9: np.int8, 10: np.float64, 12: np.uint64, 15: np.uint32, 16: np.uint16,
}  # fmt: skip


@cache
def schema() -> ModuleType:
    """The generated schema module of the installed TFLite runtime (or of TensorFlow)."""
    for name in (
        "ai_edge_litert.schema_py_generated",
        "tensorflow.lite.python.schema_py_generated",
    ):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError(
        "reading .tflite files needs the TFLite schema: pip install ai-edge-litert (or tensorflow)"
    )


def read_model(data: bytes, name: str = "model") -> Any:
    """The `ModelT` of an untrusted .tflite file; ModelError, naming `name`, when it is damaged.

    Lists that the file leaves out come back empty, and every index has been checked.
    """
    data = bytes(data)
    check_flatbuffer(data, name)
    try:
        model = schema().ModelT.InitFromPackedBuf(_BoundedBytes(data))
    except ModelError:
        raise
    except Exception as error:  # the generated readers raise whatever the bytes provoke
        raise ModelError(f"{name}: damaged .tflite file: {error}") from error
    _fill_empty_lists(model)
    problem = _find_problem(model)
    if problem:
        raise ModelError(f"{name}: {problem}")
    return model


def write_model(model: Any) -> bytes:
    """The .tflite file of a `ModelT`; equal trees give equal bytes."""
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    if size > MAX_BYTES:
        raise ModelError(f"model has {size} bytes of constants; TFLite flatbuffers end at 2 GB")
    # Room for everything avoids the builder's copies while it grows.
    builder = _AlignedBuilder(size + size // 64 + 65536)
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def text(value: bytes | str | None) -> str:
    """A schema string as str (the object API gives bytes)."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value or ""


def operator_name(model: Any, operator: Any) -> str:
    """For example CONV_2D, or the custom code of a custom operator."""
    code = model.operatorCodes[operator.opcodeIndex]
    builtin = builtin_code(code)
    operators = schema().BuiltinOperator
    if builtin == operators.CUSTOM:
        return text(code.customCode)
    for key, number in vars(operators).items():
        if number == builtin and not key.startswith("_"):
            return key
    return f"builtin operator {builtin}"


def builtin_code(code: Any) -> int:
    """Old writers fill only the deprecated 8-bit field."""
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def constant(model: Any, tensor: Any) -> np.ndarray | None:
    """A tensor's constant data in its shape; None when it has none, or none that NumPy can hold.

    ModelError when the data does not fill the shape.
    """
    data = model.buffers[tensor.buffer].data
    numpy_type = NUMPY_TYPES.get(tensor.type)
    if data is None or len(data) == 0 or numpy_type is None or tensor.sparsity is not None:
        return None
    shape = shape_of(tensor)
    needed = math.prod(shape) * np.dtype(numpy_type).itemsize
    if min(shape, default=1) < 0 or needed != len(data):
        raise ModelError(
            f"tensor {text(tensor.name)!r} has {len(data)} bytes; "
            f"its shape {list(shape)} needs {needed}"
        )
    raw = np.ascontiguousarray(data, dtype=np.uint8)
    return raw.view(np.dtype(numpy_type).newbyteorder("<")).reshape(shape)


def shape_of(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def indices(values: Any) -> list[int]:
    """A schema index vector (array, list or None) as ints."""
    return [] if values is None else [int(value) for value in values]


class _BoundedBytes(bytes):
    """Bytes whose slices (the generated code reads strings with them) are checked and counted."""

    _spent = 0

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            length = key.stop - key.start
            self._spent += length
            if key.stop > len(self) or self._spent > 4 * len(self):
                raise ModelError("a string lies outside the file, or strings overlap")
        return super().__getitem__(key)


class _AlignedBuilder(flatbuffers.Builder):
    """Aligns byte vectors as the schema's force_align asks; the generated code forgets it."""

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802 (overrides)
        if x.dtype != np.uint8:
            return int(super().CreateNumpyVector(x))
        self.StartVector(1, x.size, _BUFFER_ALIGNMENT)
        start: int = self.head - x.size  # type: ignore[has-type]
        self.head = start
        self.Bytes[start : start + x.size] = x.tobytes()
        self.vectorNumElems = x.size
        return int(self.EndVector())


def _fill_empty_lists(model: Any) -> None:
    for owner, fields in (
        (model, ("operatorCodes", "subgraphs", "buffers", "metadata", "signatureDefs")),
        *((graph, ("tensors", "operators")) for graph in model.subgraphs or []),
        *((signature, ("inputs", "outputs")) for signature in model.signatureDefs or []),
    ):
        for field in fields:
            if getattr(owner, field) is None:
                setattr(owner, field, [])


def _find_problem(model: Any) -> str | None:
    """The first index or size in the model that does not hold, in words."""
    if model.version != SCHEMA_VERSION:
        return f"schema version {model.version}; this package reads version {SCHEMA_VERSION}"
    if not model.subgraphs:
        return "it has no subgraph"
    buffers = len(model.buffers)
    if any(buffer.offset > 1 or buffer.size > 1 for buffer in model.buffers):
        return "its constants lie outside the flatbuffer (a model over 2 GB); not supported"
    if getattr(model, "externalBuffers", None):
        return "its constants lie in other files (external buffers); not supported"
    for metadata in model.metadata:
        if metadata.buffer >= buffers:
            return f"metadata {text(metadata.name)!r} refers to buffer {metadata.buffer}"
    for number, graph in enumerate(model.subgraphs):
        problem = _find_graph_problem(model, graph, buffers)
        if problem:
            return f"subgraph {number}: {problem}"
    for signature in model.signatureDefs:
        key = text(signature.signatureKey)
        if signature.subgraphIndex >= len(model.subgraphs):
            return f"signature {key!r} refers to subgraph {signature.subgraphIndex}"
        tensors = len(model.subgraphs[signature.subgraphIndex].tensors)
        for entry in [*signature.inputs, *signature.outputs]:
            if entry.tensorIndex >= tensors:
                return f"signature {key!r} refers to tensor {entry.tensorIndex} of {tensors}"
    return None


def _find_graph_problem(model: Any, graph: Any, buffers: int) -> str | None:
    tensors = len(graph.tensors)
    for index, tensor in enumerate(graph.tensors):
        if tensor.buffer >= buffers:
            return f"tensor {index} refers to buffer {tensor.buffer} of {buffers}"
        quantization = tensor.quantization
        if quantization is not None and quantization.detailsType and quantization.details is None:
            return f"tensor {index} has a quantization that the installed TFLite does not know"
    for index in indices(graph.inputs) + indices(graph.outputs):
        if not 0 <= index < tensors:
            return f"an input or output refers to tensor {index} of {tensors}"
    for position, operator in enumerate(graph.operators):
        if operator.opcodeIndex >= len(model.operatorCodes):
            return f"operator {position} refers to operator code {operator.opcodeIndex}"
        for index in indices(operator.inputs) + indices(operator.intermediates):
            if not -1 <= index < tensors:
                return f"operator {position} refers to tensor {index} of {tensors}"
        for index in indices(operator.outputs):
            if not 0 <= index < tensors:
                return f"operator {position} writes to tensor {index} of {tensors}"
        for kind, options in (
            (operator.builtinOptionsType, operator.builtinOptions),
            (operator.builtinOptions2Type, operator.builtinOptions2),
        ):
            if kind and options is None:
                return f"operator {position} has options that the installed TFLite does not know"
    return None

"""Edits .tflite files the way a broken exporter or a hostile author would.

Most results are well-formed flatbuffers whose contents make no sense: sizes, types, quantization,
operands, attributes, constants. One in ten has some bytes of the file itself changed as well.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from tests.delegate import models
from tests.format.tflite_builder import Builder
from tf_signbin.format.model import read_model

_SIZES = (-1, 0, 1, 2, 3, 7, 16, 255, 1000)
_FLOATS = (0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"))


def sound_model(rng: np.random.Generator) -> bytes:
    """One packed or builtin layer, or a chain of them; float32 or int8."""
    dtype = "int8" if rng.random() < 0.6 else "float32"
    if rng.random() < 0.3:
        return _chain(rng, dtype)
    layer = models.random_layer(rng, dtype)
    return models.one_layer_model(layer, packed=bool(rng.random() < 0.6))


def _chain(rng: np.random.Generator, dtype: str) -> bytes:
    """Two or three convolutions, packed or builtin, one of them perhaps dense."""
    builder = Builder()
    channels, size = int(rng.integers(1, 24)), (1, 9, 8)
    layer = models.random_layer(
        rng, dtype, op="conv", regions=1, shape=(int(rng.integers(1, 24)), 3, 3, channels),
        input_shape=(*size, channels), stride=(1, 1), dilation=(1, 1), padding="SAME",
    )  # fmt: skip
    tensor = source = models.add_input(builder, layer)
    for number in range(int(rng.integers(2, 4))):
        name = f"layer{number}"
        if rng.random() < 0.2:
            tensor = models.add_dense(builder, layer, tensor, rng, name)
        else:
            tensor = models.add_layer(builder, layer, tensor, bool(rng.random() < 0.6), name)
        channels = layer.masks.shape[1]
        joint = {"input_scale": layer.output_scale, "input_zero_point": layer.output_zero_point}
        layer = models.random_layer(
            rng, dtype, op="conv", regions=1, shape=(int(rng.integers(1, 24)), 1, 1, channels),
            input_shape=(*size, channels), stride=(1, 1), dilation=(1, 1), padding="SAME",
            **(joint if dtype == "int8" else {}),
        )  # fmt: skip
    builder.io([source], [tensor])
    return builder.bytes()


def mutate(rng: np.random.Generator, data: bytes) -> bytes:
    """One to three edits, rarely of the bytes as well."""
    model = schema.ModelT.InitFromPackedBuf(data)
    for _ in range(int(rng.integers(1, 4))):
        edit = _EDITS[int(rng.integers(len(_EDITS)))]
        edit(rng, model)
    builder = flatbuffers.Builder(len(data) * 2)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    result = bytearray(builder.Output())
    if rng.random() < 0.1:
        for _ in range(int(rng.integers(1, 4))):
            result[int(rng.integers(8, len(result)))] = int(rng.integers(256))
    return bytes(result)


def operators(data: bytes) -> int:
    return len(read_model(data).subgraphs[0].operators)


def largest_float(data: bytes) -> float:
    """The largest magnitude among the float32 constants of a model; 0 for int8 ones."""
    model = read_model(data)
    largest = 0.0
    for tensor in model.subgraphs[0].tensors:
        raw = model.buffers[tensor.buffer].data
        if tensor.type == schema.TensorType.FLOAT32 and raw is not None:
            values = np.frombuffer(bytes(bytearray(raw))[: len(raw) // 4 * 4], np.float32)
            largest = max(largest, float(np.abs(values[np.isfinite(values)]).max(initial=0)))
    return largest


def _any(rng: np.random.Generator, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]


def _tensor(rng: np.random.Generator, model: Any) -> Any:
    return _any(rng, model.subgraphs[0].tensors)


def _shape(rng: np.random.Generator, model: Any) -> None:
    tensor = _tensor(rng, model)
    shape = [int(d) for d in tensor.shape]
    what = rng.random()
    if what < 0.2 or not shape:
        shape.insert(int(rng.integers(len(shape) + 1)), int(_any(rng, _SIZES)))
    elif what < 0.4:
        shape.pop(int(rng.integers(len(shape))))
    else:
        at = int(rng.integers(len(shape)))
        change = rng.random() < 0.5
        shape[at] = shape[at] + int(rng.integers(-2, 3)) if change else int(_any(rng, _SIZES))
    tensor.shape = np.array(shape, np.int32)


def _type(rng: np.random.Generator, model: Any) -> None:
    _tensor(rng, model).type = int(rng.integers(0, 17))


def _quantization(rng: np.random.Generator, model: Any) -> None:
    tensor = _tensor(rng, model)
    q = tensor.quantization
    if q is None or rng.random() < 0.15:
        tensor.quantization = None if q is not None else schema.QuantizationParametersT()
        return
    scale = np.array([] if q.scale is None else q.scale, np.float32)
    zero = np.array([] if q.zeroPoint is None else q.zeroPoint, np.int64)
    what = int(rng.integers(4))
    if what == 0 and scale.size:
        scale[int(rng.integers(scale.size))] = _any(rng, _FLOATS)
    elif what == 1:
        scale = np.resize(scale, int(rng.integers(0, 9)))
    elif what == 2 and zero.size:
        zero[int(rng.integers(zero.size))] = _any(rng, (-129, 128, 1 << 20, -(1 << 40)))
    else:
        q.quantizedDimension = int(_any(rng, (-1, 1, 3, 100)))
    q.scale, q.zeroPoint = scale, zero


def _constant(rng: np.random.Generator, model: Any) -> None:
    buffer = _any(rng, model.buffers)
    data = np.array([] if buffer.data is None else buffer.data, np.uint8)
    what = rng.random()
    if what < 0.3:
        data = data[: int(rng.integers(data.size + 1))]
    elif what < 0.5:
        data = np.concatenate([data, rng.integers(0, 256, 16, np.uint8)])
    elif data.size:
        places = rng.integers(0, data.size, 4)
        data[places] = rng.integers(0, 256, 4, np.uint8)
    buffer.data = data


def _buffer_index(rng: np.random.Generator, model: Any) -> None:
    _tensor(rng, model).buffer = int(rng.integers(len(model.buffers)))


def _operands(rng: np.random.Generator, model: Any) -> None:
    operator = _any(rng, model.subgraphs[0].operators)
    name = "inputs" if rng.random() < 0.7 else "outputs"
    values = [int(v) for v in getattr(operator, name)]
    what = int(rng.integers(4))
    if what == 0 and len(values) > 1:
        values.pop()
    elif what == 1:
        values.append(int(rng.integers(-1, len(model.subgraphs[0].tensors))))
    elif what == 2 and len(values) > 1:
        a, b = rng.integers(0, len(values), 2)
        values[a], values[b] = values[b], values[a]
    elif values and name == "inputs":
        at = int(rng.integers(len(values)))
        values[at] = int(rng.integers(-1, len(model.subgraphs[0].tensors)))
    setattr(operator, name, np.array(values, np.int32))


def _attributes(rng: np.random.Generator, model: Any) -> None:
    operator = _any(rng, model.subgraphs[0].operators)
    if operator.customOptions is not None:
        operator.customOptions = np.frombuffer(
            _custom_options(rng, bytes(bytearray(operator.customOptions))), np.uint8
        )
        return
    options = operator.builtinOptions
    numbers = [k for k, v in vars(options).items() if isinstance(v, (int, np.integer))]
    key, value = str(_any(rng, numbers)), int(_any(rng, (0, 1, 2, 3, 5, 6, 7, 100)))
    setattr(options, key, bool(value) if isinstance(getattr(options, key), bool) else value)


def _custom_options(rng: np.random.Generator, data: bytes) -> bytes:
    if not data:
        return rng.integers(0, 256, 8, np.uint8).tobytes()
    what = rng.random()
    if what < 0.2:
        return data[: int(rng.integers(len(data) + 1))]
    if what < 0.5:
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
        return bytes(changed)
    choices = (*_SIZES, 1 << 31, -(1 << 62), "SAME", "ternary", "", [1, 2], 0.5, None)
    try:
        fields = dict(flexbuffers.Loads(data))
        key = str(_any(rng, sorted(fields)))
        value = _any(rng, choices)
        if rng.random() < 0.2:
            del fields[key]
        else:
            fields[key] = value
        return bytes(flexbuffers.Dumps(fields))
    except Exception:  # an earlier edit broke it: whatever the reader says of broken bytes
        return data


def _operator_code(rng: np.random.Generator, model: Any) -> None:
    code = _any(rng, model.operatorCodes)
    if code.customCode is not None:
        code.customCode = _any(rng, (models.CONV, models.FULLY_CONNECTED, "", "TfSignBin"))
    else:
        code.version = int(rng.integers(0, 9))


_EDITS = (
    _shape, _shape, _type, _quantization, _quantization, _constant, _constant, _buffer_index,
    _operands, _attributes, _attributes, _attributes, _operator_code,
)  # fmt: skip

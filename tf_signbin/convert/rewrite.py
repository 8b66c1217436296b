"""Replaces the convolutions of a .tflite model by packed operators, and back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_signbin.convert.files import read_source
from tf_signbin.convert.graph import (
    Buffers,
    References,
    builtin_operator_code,
    custom_code,
    drop_unused,
)
from tf_signbin.convert.layers import (
    PACKED_OPS,
    CannotPackError,
    GraphReader,
    Layer,
    layer_names,
)
from tf_signbin.convert.report import ALREADY_PACKED, KEPT_BUILTIN, PACKED, LayerReport
from tf_signbin.convert.unfold import unfold_model
from tf_signbin.format.detect import Detection, detect
from tf_signbin.format.errors import ModelError, named_errors
from tf_signbin.format.model import (
    constant,
    indices,
    operator_name,
    read_model,
    schema,
    text,
    write_model,
)
from tf_signbin.format.options import decode_options, encode_options
from tf_signbin.format.pack import unpack_filters
from tf_signbin.format.spec import FULLY_CONNECTED, OpOptions, PackedFilters


def pack(
    data: bytes, *, name: str = "model", layout: str = "custom_op"
) -> tuple[bytes, list[LayerReport]]:
    """Packs every two-valued or ternary layer of a .tflite file.

    Args:
      data: the file.
      name: for error messages.
      layout: 'custom_op', or 'builtin' to keep stock operators, with the report of what the
        delegate will claim.

    Returns:
      The new file and one report for each operator with weights.

    Raises:
      ModelError: the file is damaged or of an unknown version.
    """
    model = read_model(data, name)
    with named_errors(name):
        changed = unfold_model(model)
        reports = _Packer(model).run(rewrite=layout == "custom_op")
    if not changed and not any(report.status == PACKED for report in reports):
        return data, reports
    drop_unused(model)
    return write_model(model), reports


def unpack(source: bytes | str | os.PathLike[str]) -> bytes:
    """Turns every packed operator of a .tflite file (bytes or path) back into a builtin operator.

    The result runs on any TFLite runtime and gives the same numbers.

    Raises:
      ModelError: the file is damaged, or a packed operator disagrees with docs/format.md.
    """
    data, name = read_source(source)
    model = read_model(data, name)
    found = False
    with named_errors(name):
        for index in range(len(model.subgraphs)):
            found |= _unpack_graph(model, index)
    if not found:
        return data
    drop_unused(model)
    return write_model(model)


@dataclass
class PackedOp:
    """A packed operator as the file holds it, checked."""

    options: OpOptions
    filters: PackedFilters
    filter_scales: np.ndarray | None


def read_packed_op(model: Any, graph: Any, operator: Any) -> PackedOp:
    """Reads and checks a packed operator; ModelError names it and what is wrong with it."""
    outputs = indices(operator.outputs)
    where = text(graph.tensors[outputs[0]].name) if outputs else ""
    with named_errors(f"operator {where!r}"):
        op = _read_packed_op(model, graph, operator)
        op.options.check_operator(operator_name(model, operator))
        return op


def _read_packed_op(model: Any, graph: Any, operator: Any) -> PackedOp:
    inputs = indices(operator.inputs)
    if len(inputs) != 4 or min(inputs[:3]) < 0 or len(indices(operator.outputs)) != 1:
        raise ModelError(f"packed operator has {len(inputs)} inputs; it must have 4")
    blob = operator.customOptions
    options = decode_options(b"" if blob is None else np.asarray(blob, np.uint8).tobytes())
    masks = constant(model, graph.tensors[inputs[1]])
    values = constant(model, graph.tensors[inputs[2]])
    if masks is None or values is None:
        raise ModelError("masks and values of a packed operator must be constants")
    filters = PackedFilters.from_tensors(options, masks, values)
    scales = None
    if values.dtype == np.int8:
        quantization = graph.tensors[inputs[2]].quantization
        scale = None if quantization is None else quantization.scale
        scales = np.zeros(0, np.float32) if scale is None else np.asarray(scale, np.float32)
        if scales.size not in (1, options.out_channels):
            raise ModelError(f"{scales.size} scales for {options.out_channels} filters")
    return PackedOp(options, filters, scales)


class _Packer:
    def __init__(self, model: Any) -> None:
        self._model = model
        self._buffers = Buffers(model)
        self._detections: dict[tuple[int, ...], Detection] = {}

    def run(self, rewrite: bool) -> list[LayerReport]:
        reports = []
        names = layer_names(self._model)
        for number, graph in enumerate(self._model.subgraphs):
            reader = GraphReader(self._model, number)
            chosen: list[tuple[Any, Layer, PackedFilters]] = []
            for position, operator in enumerate(graph.operators):
                if (number, position) not in names:
                    continue
                op, tensor = operator_name(self._model, operator), reader.output_name(operator)
                type_ = reader.activation_type(operator)
                report = LayerReport(names[number, position], tensor, op, number, position, type_)
                if op in PACKED_OPS:
                    report.status = ALREADY_PACKED
                    packed_op = read_packed_op(self._model, graph, operator)
                    _describe(report, packed_op.filters)
                else:
                    report.filter_shape = reader.filter_shape(operator)
                    found = self._examine(reader, operator, report)
                    if found is not None:
                        report.status = PACKED if rewrite else KEPT_BUILTIN
                        chosen.append((operator, *found))
                reports.append(report)
            if rewrite and chosen:
                self._rewrite(number, chosen)
        return reports

    def _examine(
        self, reader: GraphReader, operator: Any, report: LayerReport
    ) -> tuple[Layer, PackedFilters] | None:
        """The layer and its packed filters, or None with the reason in `report`."""
        try:
            layer = reader.read(operator)
        except CannotPackError as reason:
            report.reason = str(reason)
            return None
        tensor = reader.graph.tensors[layer.filter_tensor]
        # Filters that several operators share are examined once.
        where = (report.subgraph, layer.filter_tensor) if tensor.buffer == 0 else (tensor.buffer,)
        key = (*where, *layer.weights.shape)
        detection = self._detections.get(key) or detect(layer.weights)
        self._detections[key] = detection
        report.reason, report.nearly = detection.reason, detection.nearly
        report.dense_bytes = layer.weights.nbytes
        if detection.packed is None:
            return None
        report.snapped = detection.snapped
        _describe(report, detection.packed)
        return layer, detection.packed

    def _rewrite(self, number: int, chosen: list[tuple[Any, Layer, PackedFilters]]) -> None:
        graph = self._model.subgraphs[number]
        references = References(self._model, number)
        for operator, _, _ in chosen:
            references.add(indices(operator.inputs)[1:], -1)
        free = self._drop_idle_dequantize(graph, references, chosen)
        written = self._add_filters(graph, chosen, free)
        biases: dict[int, int] = {}
        for operator, layer, filters in chosen:
            bias = layer.bias_tensor
            if layer.bias_values is not None:
                if bias not in biases:
                    name = text(graph.tensors[bias].name)
                    biases[bias] = self._add_tensor(graph, layer.bias_values, name, free)
                bias = biases[bias]
            inputs = [indices(operator.inputs)[0], *written[layer.filter_tensor], bias]
            operator.inputs = np.array(inputs, np.int32)
            operator.opcodeIndex = custom_code(self._model, layer.packed_op)
            operator.builtinOptionsType = schema().BuiltinOptions.NONE
            operator.builtinOptions = None
            blob = encode_options(filters.options(**layer.geometry))
            operator.customOptions = np.frombuffer(blob, np.uint8)
            operator.customOptionsFormat = schema().CustomOptionsFormat.FLEXBUFFERS
        for tensor in free:
            graph.tensors[tensor].buffer = 0

    def _drop_idle_dequantize(
        self, graph: Any, references: References, chosen: list[tuple[Any, Layer, PackedFilters]]
    ) -> list[int]:
        """Removes DEQUANTIZE operators that only served packed layers.

        Returns the tensors that nothing refers to any more; their numbers are used again.
        """
        candidates = [layer.filter_tensor for _, layer, _ in chosen]
        candidates += [layer.bias_tensor for _, layer, _ in chosen if layer.bias_values is not None]
        kept = []
        for operator in graph.operators:
            outputs = indices(operator.outputs)
            if outputs and outputs[0] in candidates:
                references.release_output(outputs[0])
                if not references.used(outputs[0]):
                    sources = indices(operator.inputs)
                    references.add(sources, -1)
                    candidates += sources
                    continue
            kept.append(operator)
        graph.operators = kept
        return list(dict.fromkeys(tensor for tensor in candidates if not references.used(tensor)))

    def _add_filters(
        self, graph: Any, chosen: list[tuple[Any, Layer, PackedFilters]], free: list[int]
    ) -> dict[int, tuple[int, int]]:
        """Stores masks and values; filter tensor to the numbers of its masks and values tensors.

        Masks take the filter's own place and name where it is free, so they all go first.
        """
        unique = {layer.filter_tensor: (layer, filters) for _, layer, filters in chosen}
        names = {index: text(graph.tensors[index].name) for index in unique}
        masks = {
            index: self._add_tensor(graph, filters.masks, names[index], free, index)
            for index, (_, filters) in unique.items()
        }
        written = {}
        for index, (layer, filters) in unique.items():
            values = self._add_tensor(graph, filters.values, f"{names[index]}/values", free)
            if layer.filter_scales is not None:
                zero_points = np.zeros(layer.filter_scales.size, np.int64)
                graph.tensors[values].quantization = schema().QuantizationParametersT(
                    scale=layer.filter_scales, zeroPoint=zero_points
                )
            written[index] = masks[index], values
        return written

    def _add_tensor(
        self, graph: Any, array: np.ndarray, name: str, free: list[int], preferred: int = -1
    ) -> int:
        """Stores a constant, in a tensor number that became free if there is one."""
        types = schema().TensorType
        codes = {"float32": types.FLOAT32, "uint8": types.UINT8, "int8": types.INT8}
        tensor = schema().TensorT(
            shape=np.array(array.shape, np.int32), type=codes[array.dtype.name],
            buffer=self._buffers.add(array), name=name.encode(), hasRank=True,
        )  # fmt: skip
        if not free:
            graph.tensors.append(tensor)
            return len(graph.tensors) - 1
        index = preferred if preferred in free else free[0]
        free.remove(index)
        graph.tensors[index] = tensor
        return index


def _describe(report: LayerReport, filters: PackedFilters) -> None:
    report.filters, report.filter_shape = filters, filters.filter_shape
    report.kind, report.regions, report.pattern = filters.kind, filters.regions, filters.pattern
    report.packed_bytes = filters.nbytes
    report.dense_bytes = int(np.prod(filters.filter_shape)) * filters.values.itemsize


def _unpack_graph(model: Any, number: int) -> bool:
    graph = model.subgraphs[number]
    buffers = Buffers(model)
    types = schema().TensorType
    packed = [op for op in graph.operators if operator_name(model, op) in PACKED_OPS]
    # One masks tensor becomes one dense filter.
    done: dict[int, tuple[int, tuple[int, ...]]] = {}
    written: set[int] = set()
    reads = [read_packed_op(model, graph, operator) for operator in packed]
    for operator, op in zip(packed, reads, strict=True):
        x, masks, values, bias = indices(operator.inputs)
        fully_connected = operator_name(model, operator) == FULLY_CONNECTED
        weights = values, op.filters.filter_shape
        if done.setdefault(masks, weights) != weights:
            name = text(graph.tensors[masks].name)
            raise ModelError(f"tensor {name!r}: two operators share it, but not their weights")
        if masks not in written:
            written.add(masks)
            dense = unpack_filters(op.filters)
            if fully_connected:
                dense = dense.reshape(op.options.out_channels, op.options.in_channels)
            tensor = graph.tensors[masks]
            tensor.shape = np.array(dense.shape, np.int32)
            tensor.type = types.INT8 if dense.dtype == np.int8 else types.FLOAT32
            tensor.buffer = buffers.add(dense)
            tensor.quantization = graph.tensors[values].quantization
        if bias < 0 and not fully_connected:
            bias = _add_zero_bias(graph, buffers, op)  # TFLite runs no convolution without one
        operator.inputs = np.array([x, masks, bias], np.int32)
        operator.customOptions = None
        _set_builtin(model, operator, op, fully_connected)
    references = References(model, number)
    for index in range(len(graph.tensors) - 1, -1, -1):
        if references.used(index):
            break
        graph.tensors.pop()
    return bool(packed)


def _add_zero_bias(graph: Any, buffers: Buffers, op: PackedOp) -> int:
    int8 = op.filters.values.dtype == np.int8
    zeros = np.zeros(op.options.out_channels, np.int32 if int8 else np.float32)
    types = schema().TensorType
    graph.tensors.append(
        schema().TensorT(
            shape=np.array(zeros.shape, np.int32),
            type=types.INT32 if int8 else types.FLOAT32,
            buffer=buffers.add(zeros),
            name=b"zero_bias",
        )
    )
    return len(graph.tensors) - 1


def _set_builtin(model: Any, operator: Any, op: PackedOp, fully_connected: bool) -> None:
    fb, options = schema(), op.options
    int8 = op.filters.values.dtype == np.int8
    activation = getattr(fb.ActivationFunctionType, options.activation)
    # Operator versions as TFLite's own exporter gives them: the oldest runtime that can run it.
    if fully_connected:
        per_channel = op.filter_scales is not None and op.filter_scales.size > 1
        version = 12 if per_channel else 5 if options.keep_num_dims else 4 if int8 else 1
        operator.opcodeIndex = builtin_operator_code(
            model, fb.BuiltinOperator.FULLY_CONNECTED, version
        )
        operator.builtinOptionsType = fb.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = fb.FullyConnectedOptionsT(
            fusedActivationFunction=activation, keepNumDims=bool(options.keep_num_dims)
        )
        return
    dilated = options.dilation_h > 1 or options.dilation_w > 1
    version = 3 if int8 else 2 if dilated else 1
    operator.opcodeIndex = builtin_operator_code(model, fb.BuiltinOperator.CONV_2D, version)
    operator.builtinOptionsType = fb.BuiltinOptions.Conv2DOptions
    operator.builtinOptions = fb.Conv2DOptionsT(
        padding=getattr(fb.Padding, options.padding),
        strideH=options.stride_h, strideW=options.stride_w,
        dilationHFactor=options.dilation_h, dilationWFactor=options.dilation_w,
        fusedActivationFunction=activation,
    )  # fmt: skip

"""What a .tflite file holds, layer by layer."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tf_signbin.convert.files import read_source
from tf_signbin.convert.layers import PACKED_OPS, CannotPackError, GraphReader, layer_names
from tf_signbin.convert.report import ALREADY_PACKED, DENSE, KEPT_BUILTIN
from tf_signbin.convert.rewrite import read_packed_op
from tf_signbin.costs import GROUP_CHANNELS, LayerFacts, totals
from tf_signbin.format.detect import detect
from tf_signbin.format.errors import named_errors
from tf_signbin.format.model import indices, operator_name, read_model, shape_of
from tf_signbin.format.pack import unpack_filters
from tf_signbin.format.spec import TERNARY, PackedFilters


@dataclass(kw_only=True)
class LayerInfo(LayerFacts):
    """One operator with weights: its record (see tf_signbin.costs), and what the file says besides.

    status: 'already packed', 'kept builtin' (a stock operator whose filters the delegate will
    recognise) or 'dense'. The fields from `positive_filters` on are set for the first two only.

    tensor, subgraph, operator_index: of the operator's output, and where it stands in the file.
    positive_filters, negative_filters: by the sign of the effectual values (a filter whose regions
    differ counts in neither).
    background_filters: filters with a background other than 0.
    """

    tensor: str
    subgraph: int
    operator_index: int
    status: str
    output_shape: tuple[int, ...]
    reason: str = ""
    positive_filters: int = 0
    negative_filters: int = 0
    background_filters: int = 0


@dataclass
class ModelInfo:
    """The layers of a file; `str()` is a table, `to_dict()` its plain values."""

    file_bytes: int
    layers: list[LayerInfo] = field(default_factory=list)

    def totals(self) -> dict[str, Any]:
        """Sums over the layers, and what the weights would take in float32 and int8."""
        return totals(self.layers)

    def to_dict(self) -> dict[str, Any]:
        return {
            "file_bytes": self.file_bytes,
            "layers": [layer.to_dict() for layer in self.layers],
            "totals": self.totals(),
        }

    def __str__(self) -> str:
        header = (
            "layer", "kind", "type", "filter", "density", "+/-", "background", "pattern",
            "bits", "distinct " + "/".join(map(str, GROUP_CHANNELS)), "lookups", "bytes",
        )  # fmt: skip
        rows = [header, *(_row(layer) for layer in self.layers)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        sums = self.totals()
        lines.append(
            f"{sums['weights']:,} weights in {sums['weight_bytes']:,} bytes: "
            f"{sums['smaller_than_float32']:.1f}x smaller than float32, "
            f"{sums['smaller_than_int8']:.1f}x than int8; file {self.file_bytes:,} bytes"
        )
        return "\n".join(lines)


def inspect_model(source: bytes | str | os.PathLike[str]) -> ModelInfo:
    """Describes the layers of a .tflite file (bytes or path).

    Raises:
      ModelError: the file is damaged, or a packed operator disagrees with docs/format.md.
    """
    data, name = read_source(source)
    model = read_model(data, name)
    info = ModelInfo(len(data))
    with named_errors(name):
        readers = [GraphReader(model, number) for number in range(len(model.subgraphs))]
        for (number, position), layer in layer_names(model).items():
            info.layers.append(_describe(readers[number], layer, number, position))
    return info


def _describe(reader: GraphReader, name: str, subgraph: int, position: int) -> LayerInfo:
    operator = reader.graph.operators[position]
    op = operator_name(reader.model, operator)
    outputs = indices(operator.outputs)
    output_shape = shape_of(reader.graph.tensors[outputs[0]]) if outputs else ()
    place: dict[str, Any] = {
        "name": name,
        "operator": op,
        "activation_type": reader.activation_type(operator),
        "tensor": reader.output_name(operator),
        "subgraph": subgraph,
        "operator_index": position,
        "output_shape": output_shape,
        "input_bits": _input_bits(reader, operator),
    }
    if op in PACKED_OPS:
        filters = read_packed_op(reader.model, reader.graph, operator).filters
        return _packed(filters, **place, status=ALREADY_PACKED)
    weight_bytes = reader.filter_bytes(operator)
    reason = ""
    try:
        detection = detect(reader.read(operator).weights)
        if detection.packed is not None:
            return _packed(
                detection.packed, **place, status=KEPT_BUILTIN, weight_bytes=weight_bytes
            )
        reason = detection.reason
    except CannotPackError as error:
        reason = str(error)
    filter_shape = reader.filter_shape(operator)
    return LayerInfo.dense(
        **place,
        status=DENSE,
        reason=reason,
        filter_shape=filter_shape,
        weights=math.prod(filter_shape),
        weight_bytes=weight_bytes,
        outputs=_values(output_shape),
        macs=_macs(reader, operator, op, filter_shape, output_shape),
    )


def _input_bits(reader: GraphReader, operator: Any) -> int:
    inputs = indices(operator.inputs)
    return reader.counter.bits(inputs[0]) if inputs and inputs[0] >= 0 else 0


def _values(shape: tuple[int, ...]) -> int:
    """Of one sample, which is one invoke; sizes that are not known count once."""
    return math.prod(max(size, 1) for size in shape)


def _macs(
    reader: GraphReader,
    operator: Any,
    op: str,
    filter_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
) -> int:
    """Multiply-accumulates of a dense run; 0 for kinds of operators not counted here."""
    if not filter_shape:
        return 0
    if op in ("CONV_2D", "FULLY_CONNECTED"):  # [O, ..., I]
        return _values(output_shape) * math.prod(filter_shape[1:])
    if op == "DEPTHWISE_CONV_2D":  # [1, KH, KW, O]
        return _values(output_shape) * math.prod(filter_shape[:-1])
    inputs = indices(operator.inputs)
    if op == "TRANSPOSE_CONV" and len(inputs) > 2 and inputs[2] >= 0:
        # Every input pixel meets the whole filter [O, KH, KW, I].
        return _values(shape_of(reader.graph.tensors[inputs[2]])[:-1]) * math.prod(filter_shape)
    return 0


def _packed(filters: PackedFilters, output_shape: tuple[int, ...], **fields: Any) -> LayerInfo:
    info = LayerInfo.packed(
        filters,
        positions=_values(output_shape) // filters.filter_shape[0],
        output_shape=output_shape,
        **fields,
    )
    effectual = filters.values[..., -1].astype(np.float64)
    if filters.kind == TERNARY:
        dense = unpack_filters(filters).reshape(info.filter_shape[0], -1)
        positive, negative = (dense >= 0).all(axis=1), (dense <= 0).all(axis=1)
        nonzero = dense.any(axis=1)
        positive, negative = positive & nonzero, negative & nonzero
    else:
        positive, negative = (effectual > 0).all(axis=1), (effectual < 0).all(axis=1)
        info.background_filters = int((filters.values[..., 0] != 0).any(axis=1).sum())
    info.positive_filters, info.negative_filters = int(positive.sum()), int(negative.sum())
    return info


def _row(layer: LayerInfo) -> tuple[str, ...]:
    shape = "x".join(map(str, layer.filter_shape))
    if layer.status == DENSE:
        blank = ("", "", "", "", "", "", "")
        return (
            layer.name,
            "dense",
            layer.input_type,
            shape,
            *blank,
            f"{layer.weight_bytes:,}",
        )
    kind = layer.kind if layer.status == ALREADY_PACKED else f"{layer.kind} (builtin)"
    if layer.regions > 1:
        kind += f", {layer.regions} regions"
    n, m = layer.pattern
    return (
        layer.name, kind, layer.input_type, shape, f"{layer.density:.3f}",
        f"{layer.positive_filters}/{layer.negative_filters}", str(layer.background_filters),
        f"{n} of {m}" if m else "-", f"{layer.bits_per_weight:.2f}",
        "/".join(f"{layer.distinct_patterns[size]:.0f}" for size in GROUP_CHANNELS),
        str(layer.engine_lookups_per_output), f"{layer.weight_bytes:,}",
    )  # fmt: skip

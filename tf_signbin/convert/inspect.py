"""What a .tflite file holds, layer by layer."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tf_signbin.convert.files import read_source
from tf_signbin.convert.layers import PACKED_OPS, CannotPackError, GraphReader, layer_names
from tf_signbin.convert.report import ALREADY_PACKED, DENSE, KEPT_BUILTIN
from tf_signbin.convert.rewrite import read_packed_op
from tf_signbin.format.detect import detect
from tf_signbin.format.errors import named_errors
from tf_signbin.format.model import indices, operator_name, read_model, shape_of
from tf_signbin.format.pack import unpack_filters, unpack_masks
from tf_signbin.format.spec import TERNARY, UNPATTERNED_GROUP, PackedFilters

GROUP_SIZES = (4, 6, 8, 10)


@dataclass
class LayerInfo:
    """One operator with weights.

    status: 'already packed', 'kept builtin' (a stock operator whose filters the delegate will
    recognise) or 'dense'. The fields below `reason` are set for the first two only.

    density: share of mask bits that are 1 (ternary: of weights that are not 0).
    positive_filters, negative_filters: by the sign of the effectual values (a filter whose regions
    differ counts in neither).
    background_filters: filters with a background other than 0.
    bits_per_weight: of masks and values.
    distinct_patterns: group size to the mean number of different mask patterns that the filters of
    the layer show at one tap and group of that many input channels.
    lookups_per_output: table lookups that one output costs: groups of the pattern's m channels, or
    of 6 (int8) or 5 (float32) channels without a pattern; twice as many for ternary filters.
    """

    name: str
    tensor: str
    op: str
    subgraph: int
    operator: int
    status: str
    activation_type: str
    filter_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    macs: int
    weight_bytes: int
    reason: str = ""
    kind: str = ""
    regions: int = 0
    pattern: tuple[int, int] = (0, 0)
    density: float = 1.0
    positive_filters: int = 0
    negative_filters: int = 0
    background_filters: int = 0
    bits_per_weight: float = 0.0
    distinct_patterns: dict[int, float] = field(default_factory=dict)
    lookups_per_output: int = 0

    @property
    def weights(self) -> int:
        return math.prod(self.filter_shape)


@dataclass
class ModelInfo:
    """The layers of a file; `str()` is a table, `to_dict()` its plain values."""

    file_bytes: int
    layers: list[LayerInfo] = field(default_factory=list)

    def totals(self) -> dict[str, float]:
        """Weights and bytes of all layers, and what they would take in fp32 and int8."""
        weights = sum(layer.weights for layer in self.layers)
        stored = sum(layer.weight_bytes for layer in self.layers)
        return {
            "weights": weights,
            "weight_bytes": stored,
            "fp32_bytes": 4 * weights,
            "int8_bytes": weights,
            "smaller_than_fp32": 4 * weights / stored if stored else 0.0,
            "smaller_than_int8": weights / stored if stored else 0.0,
            "macs": sum(layer.macs for layer in self.layers),
            "packed_macs": sum(layer.macs for layer in self.layers if layer.status != DENSE),
        }

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "totals": self.totals()}

    def __str__(self) -> str:
        header = (
            "layer", "kind", "type", "filter", "density", "+/-", "background", "pattern",
            "bits", "distinct " + "/".join(map(str, GROUP_SIZES)), "lookups", "bytes",
        )  # fmt: skip
        rows = [header, *(_row(layer) for layer in self.layers)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        totals = self.totals()
        lines.append(
            f"{totals['weights']:,} weights in {totals['weight_bytes']:,} bytes: "
            f"{totals['smaller_than_fp32']:.1f}x smaller than fp32, "
            f"{totals['smaller_than_int8']:.1f}x than int8; file {self.file_bytes:,} bytes"
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
    reason, filters, weight_bytes = "", None, 0
    filter_shape: tuple[int, ...] = reader.filter_shape(operator)
    if op in PACKED_OPS:
        filters = read_packed_op(reader.model, reader.graph, operator).filters
        status, weight_bytes = ALREADY_PACKED, filters.nbytes
    else:
        weight_bytes = reader.filter_bytes(operator)
        try:
            detection = detect(reader.read(operator).weights)
            filters, reason = detection.packed, detection.reason
        except CannotPackError as error:
            reason = str(error)
        status = DENSE if filters is None else KEPT_BUILTIN
    if filters is not None:
        filter_shape = filters.filter_shape
    outputs = indices(operator.outputs)
    output_shape = shape_of(reader.graph.tensors[outputs[0]]) if outputs else ()
    info = LayerInfo(
        name, reader.output_name(operator), op, subgraph, position, status,
        reader.activation_type(operator), filter_shape, output_shape,
        _macs(op, filter_shape, output_shape), weight_bytes, reason,
    )  # fmt: skip
    if filters is not None:
        _describe_filters(info, filters)
    return info


def _macs(op: str, filter_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of a dense run; 0 for kinds of operators not counted here."""
    if op in (*PACKED_OPS, "CONV_2D", "FULLY_CONNECTED") and filter_shape:
        return math.prod(max(size, 1) for size in output_shape) * math.prod(filter_shape[1:])
    return 0


def _describe_filters(info: LayerInfo, filters: PackedFilters) -> None:
    masks = unpack_masks(filters.masks, filters.filter_shape)
    any_mask = masks.any(axis=0)
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
    info.kind, info.regions, info.pattern = filters.kind, filters.regions, filters.pattern
    info.density = float(any_mask.mean())
    info.bits_per_weight = 8 * filters.nbytes / info.weights
    info.distinct_patterns = {size: distinct_patterns(masks, size) for size in GROUP_SIZES}
    _, kernel_h, kernel_w, in_channels = filters.filter_shape
    group = filters.pattern[1] or UNPATTERNED_GROUP[filters.values.dtype.name]
    info.lookups_per_output = len(masks) * kernel_h * kernel_w * -(-in_channels // group)


def distinct_patterns(masks: np.ndarray, group: int) -> float:
    """Mean number of different patterns that filters show at a tap and group of `group` channels.

    masks: bool [planes, O, KH, KW, I]; a ternary pattern is that of both planes.
    """
    planes, out_channels, kernel_h, kernel_w, in_channels = masks.shape
    padding = -in_channels % group
    padded = np.pad(masks, [(0, 0)] * 4 + [(0, padding)])
    groups = padded.reshape(planes, out_channels, kernel_h * kernel_w, -1, group)
    weights = 1 << np.arange(planes * group).reshape(planes, 1, 1, 1, group)
    codes = np.sort((groups * weights).sum(axis=(0, 4)), axis=0)  # [O, taps, groups]
    changes = np.count_nonzero(codes[1:] != codes[:-1], axis=0)
    return float(1 + changes.mean())


def _row(layer: LayerInfo) -> tuple[str, ...]:
    shape = "x".join(map(str, layer.filter_shape))
    if layer.status == DENSE:
        blank = ("", "", "", "", "", "", "")
        return (
            layer.name,
            "dense",
            layer.activation_type,
            shape,
            *blank,
            f"{layer.weight_bytes:,}",
        )
    kind = layer.kind if layer.status == ALREADY_PACKED else f"{layer.kind} (builtin)"
    if layer.regions > 1:
        kind += f", {layer.regions} regions"
    n, m = layer.pattern
    return (
        layer.name, kind, layer.activation_type, shape, f"{layer.density:.3f}",
        f"{layer.positive_filters}/{layer.negative_filters}", str(layer.background_filters),
        f"{n} of {m}" if m else "-", f"{layer.bits_per_weight:.2f}",
        "/".join(f"{layer.distinct_patterns[size]:.0f}" for size in GROUP_SIZES),
        str(layer.lookups_per_output), f"{layer.weight_bytes:,}",
    )  # fmt: skip

"""What a conversion did to each layer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from tf_signbin.format.spec import PackedFilters

PACKED, DENSE, ALREADY_PACKED, KEPT_BUILTIN = "packed", "dense", "already packed", "kept builtin"


@dataclass
class LayerReport:
    """One operator with weights.

    `name` is the layer's, unique in the file, `tensor` that of the operator's output,
    `activation_type` that of its input: 'int8', 'float32' or another of LiteRT's. `status` is
    one of packed, dense, already packed and kept builtin (layout='builtin': a stock operator that
    the delegate will claim); `filters` are its packed filters, if it has any. `nearly`: the weights
    look quantized although the layer stayed dense. `dense_bytes` and `packed_bytes` count the
    weights only (masks and values); `snapped` is the largest change of a weight relative to its
    filter's largest magnitude (0: exact).
    """

    name: str
    tensor: str
    op: str
    subgraph: int
    operator: int
    activation_type: str
    status: str = DENSE
    reason: str = ""
    nearly: bool = False
    filter_shape: tuple[int, ...] = ()
    kind: str = ""
    regions: int = 0
    pattern: tuple[int, int] = (0, 0)
    dense_bytes: int = 0
    packed_bytes: int = 0
    snapped: float = 0.0
    filters: PackedFilters | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the filters."""
        values = dataclasses.asdict(dataclasses.replace(self, filters=None))
        del values["filters"]
        return values


@dataclass
class ConversionReport:
    """Filled in by `convert(report=...)`; `str(report)` is what the command line prints."""

    layers: list[LayerReport] = field(default_factory=list)
    stock_file_bytes: int = 0
    file_bytes: int = 0
    stock_seconds: float = 0.0
    pack_seconds: float = 0.0
    verification: Any = None  # a VerifyReport, with verify=True

    @property
    def packed(self) -> list[LayerReport]:
        return [layer for layer in self.layers if layer.status != DENSE]

    @property
    def dense(self) -> list[LayerReport]:
        return [layer for layer in self.layers if layer.status == DENSE]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        result = dataclasses.asdict(dataclasses.replace(self, layers=[], verification=None))
        result["layers"] = [layer.to_dict() for layer in self.layers]
        if self.verification is not None:
            result["verification"] = self.verification.to_dict()
        return result

    def __str__(self) -> str:
        dense_bytes = sum(layer.dense_bytes for layer in self.packed)
        packed_bytes = sum(layer.packed_bytes for layer in self.packed)
        lines = [
            f"{len(self.packed)} of {len(self.layers)} layers packed; "
            f"file {self.stock_file_bytes:,} -> {self.file_bytes:,} bytes"
        ]
        if packed_bytes:
            ratio = dense_bytes / packed_bytes
            lines[0] += f", their weights {dense_bytes:,} -> {packed_bytes:,} ({ratio:.1f}x)"
        for layer in self.layers:
            shape = "x".join(map(str, layer.filter_shape))
            detail = layer.reason if layer.status == DENSE else layer.kind
            if layer.regions > 1:
                detail += f", {layer.regions} regions"
            if layer.pattern != (0, 0):
                detail += f", {layer.pattern[0]} of {layer.pattern[1]}"
            if layer.snapped:
                detail += f", weights moved by up to {layer.snapped:.1e} of the filter's largest"
            lines.append(f"  {layer.status:14} {layer.op:22} {shape:16} {layer.name}: {detail}")
        if self.verification is not None:
            lines.append(str(self.verification))
        return "\n".join(lines)

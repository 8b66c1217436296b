"""What a quantized Keras model holds and costs, layer by layer; tf_signbin.costs counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_signbin.costs import LayerFacts, totals
from tf_signbin.format import TERNARY, TWO_VALUED, packed_bytes

if TYPE_CHECKING:
    from tf_signbin.train.rules.kernels import KernelFacts, QuantizedKernel


@dataclass(kw_only=True)
class LayerSummary(LayerFacts):
    """One kernel: its record (see tf_signbin.costs), and how it is trained.

    background: of signed-binary weights 'none', 'centered' or 'learned', of binary 'negative'.
    delta: threshold factor, where the quantizer has one.
    """

    background: str = ""
    delta: float | None = None


@dataclass
class ModelSummary:
    """The layers of a model; `str()` is a table, `to_dict()` plain values for programs.

    tflite_bytes: size of the converted file, or None when it was not asked for.
    other_parameters: biases, BatchNorm and the like, which conversion folds or keeps as they are.
    """

    name: str
    layers: list[LayerSummary] = field(default_factory=list)
    other_parameters: int = 0
    tflite_bytes: int | None = None

    def totals(self) -> dict[str, Any]:
        """Sums over the layers; `density` and `bits_per_weight` are those of quantized kernels."""
        return {
            **totals(self.layers),
            "other_parameters": self.other_parameters,
            "tflite_bytes": self.tflite_bytes,
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "layers": [layer.to_dict() for layer in self.layers],
            "totals": self.totals(),
        }

    def __str__(self) -> str:
        header = (
            "layer", "kind", "act.", "kernel", "density", "effectual / weights", "background",
            "pattern", "bits", "MACs", "additions", "look-ups", "distinct", "bytes", "energy nJ",
        )  # fmt: skip
        rows = [header, *(_row(layer) for layer in self.layers)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        t = self.totals()
        macs = t["macs_per_sample"]
        share = t["packed_macs_per_sample"] / macs if macs else 0.0
        lines += [
            f"{t['packed_weights']:,} of {t['weights']:,} weights quantized, "
            f"{t['bits_per_weight']:.2f} bits each, density {t['density']:.3f}; {share:.1%} of "
            f"{macs:,} MACs become additions ({t['additions_per_sample']:,} in all)",
            f"weights {t['weight_bytes']:,} bytes ({t['smaller_than_float32']:.1f}x smaller than "
            f"float32); about {t['energy_nj_per_sample']:,.0f} nJ a sample (estimate, 45 nm)",
        ]
        if self.tflite_bytes is not None:
            lines.append(f".tflite file {self.tflite_bytes:,} bytes")
        return "\n".join(lines)


def summary(model: Any, tflite: bool = True) -> ModelSummary:
    """Describes a quantized model: print it for a table, or use `to_dict()`.

    A layer that the model calls several times costs the sum of its calls.

    Args:
      model: a built Keras model, of Keras 3 or tf_keras, quantized or not.
      tflite: also convert the model, some seconds, to tell the size of its .tflite file. Its
        biases, scales and names are a large part of a small file, so only the file itself tells.

    Raises:
      TypeError: not a Keras model.
      ValueError: no layer of the model has a kernel, or a layer's size is not known.
    """
    from tf_signbin.train import api

    described = api.describe(model, "summary")
    low_bits = {
        name: each.bits for each in api.low_bit_inputs(model) for name in each.quantizer.readers
    }
    layers = [_describe(kernel, low_bits) for kernel in described.kernels]
    result = ModelSummary(model.name, layers)
    if not result.layers:
        raise ValueError(f"Model {model.name!r} has no convolution or dense layer.")
    result.other_parameters = described.parameters - sum(layer.weights for layer in result.layers)
    if tflite:
        from tf_signbin.convert import convert

        result.tflite_bytes = len(convert(model))
    return result


def _describe(kernel: KernelFacts, low_bits: Mapping[str, int]) -> LayerSummary:
    """The row of a kernel; `low_bits`: of the inputs of few bits, by the layer that reads them."""
    own_name = kernel.quantized.name if kernel.quantized else ""
    bits = 8 if kernel.activation_type == "int8" else 32
    fields: dict[str, Any] = {
        "name": kernel.name,
        "operator": kernel.operator,
        "activation_type": kernel.activation_type,
        "input_bits": low_bits.get(own_name, bits),
        "filter_shape": kernel.shape,
    }
    if kernel.quantized is not None:
        return _describe_quantized(kernel.quantized, kernel.shape, kernel.positions, fields)
    return LayerSummary.dense(
        weights=math.prod(kernel.shape), outputs=kernel.outputs, macs=kernel.macs, **fields
    )


def _describe_quantized(
    kernel: QuantizedKernel, shape: tuple[int, ...], positions: int, fields: dict[str, Any]
) -> LayerSummary:
    quantizer = kernel.quantizer
    channels, filters = shape[-2:]
    # [taps, I, O] -> [planes, O, 1, taps, I]
    mask = kernel.ops.convert_to_numpy(kernel.mask()).reshape(-1, channels, filters)
    planes = _sign_planes(kernel, mask) if quantizer.kind == "ternary" else mask[None] > 0
    masks = np.moveaxis(planes, -1, 1)[:, :, None]
    is_binary = quantizer.kind == "binary"
    background = "negative" if is_binary else getattr(quantizer, "background", "")
    regions = channels // (quantizer.region_channels or channels)
    delta = kernel.variables.get("delta")
    return LayerSummary.masked(
        masks,
        positions=positions,
        is_binary=is_binary,
        kind=quantizer.kind,
        regions=regions,
        pattern=getattr(quantizer, "pattern", None) or (0, 0),
        has_background=background not in ("", "none"),
        weight_bytes=packed_bytes(
            TERNARY if quantizer.kind == "ternary" else TWO_VALUED,
            (filters, 1, len(mask), channels),
            regions,
            4 if fields["activation_type"] == "float32" else 1,
        ),
        background=background,
        delta=None if delta is None else float(delta),
        **fields,
    )


def _sign_planes(kernel: QuantizedKernel, mask: np.ndarray) -> np.ndarray:
    signs = np.sign(kernel.ops.convert_to_numpy(kernel.quantized())).reshape(mask.shape)
    return np.stack([signs > 0, signs < 0])


def _row(layer: LayerSummary) -> tuple[str, ...]:
    details = ("-", "-", "-", "-")
    if not layer.is_dense:
        n, m = layer.pattern
        distinct = layer.distinct_patterns[layer.engine_group_channels]
        details = (
            layer.background or "-", f"{n} of {m}" if m else "-",
            str(layer.engine_lookups_per_output), f"{distinct:.1f}",
        )  # fmt: skip
    return (
        layer.name, layer.kind, layer.input_type, "x".join(map(str, layer.filter_shape)),
        f"{layer.density:.3f}", f"{layer.effectual_weights:,} / {layer.weights:,}", details[0],
        details[1], f"{layer.bits_per_weight:.2f}", f"{layer.macs_per_sample:,}",
        f"{layer.additions_per_sample:,}", details[2], details[3], f"{layer.weight_bytes:,}",
        f"{layer.energy_nj_per_sample:,.1f}",
    )  # fmt: skip

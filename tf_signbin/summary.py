"""What a quantized Keras model holds and costs, layer by layer.

Energy is an estimate from published costs per operation, not a measurement: additions and
multiplications at their type, and one read of every weight from DRAM per inference. Costs in pJ at
45 nm and 0.9 V: M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC
2014, figure 1.1.9.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tf_signbin.train.rules.kernels import QuantizedKernel

# Horowitz, ISSCC 2014: pJ an operation.
ADD_PJ = {"float32": 0.9, "int8": 0.1}  # int8 products are accumulated as int32
MULTIPLY_PJ = {"float32": 3.7, "int8": 0.2}
INT32_MULTIPLY_PJ = 3.1  # requantisation of an int8 layer's output
DRAM_PJ_PER_BIT = 640 / 32  # 1.3 to 2.6 nJ for 64 bits; 640 pJ for 32 is the usual reading

_KERNELS = {
    "Conv1D": ("kernel",),
    "Conv2D": ("kernel",),
    "Conv2DTranspose": ("kernel",),
    "Dense": ("kernel",),
    "DepthwiseConv1D": ("depthwise_kernel",),
    "DepthwiseConv2D": ("depthwise_kernel",),
    "SeparableConv1D": ("depthwise_kernel", "pointwise_kernel"),
    "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel"),
}


@dataclass
class LayerSummary:
    """One kernel.

    kind: 'float32', 'int8', or the quantizer's: 'signed_binary', 'binary', 'ternary'.
    activations: 'float32' or 'int8'.
    weights, effectual, density: weights of the kernel, those that are not the background (binary:
      all), and their share.
    bits: stored bits a weight, with the values of each filter.
    macs: multiply-accumulates of a dense run, for one sample.
    adds, multiplies: what one sample costs; a two-valued filter with a background needs one
      multiplication more per output, and its layer one window sum per output position.
    lookups: table look-ups per output in the engine.
    distinct_patterns: mean number of different mask patterns that the filters of the layer show at
      one tap and group of channels (the pattern's m, else 6 for int8 and 5 for float32).
    weight_bytes: masks and values as packed, or the dense weights.
    energy_nj: for one sample.
    """

    name: str
    layer: str
    kind: str
    activations: str
    kernel_shape: tuple[int, ...]
    weights: int
    effectual: int
    density: float
    bits: float
    macs: int
    adds: int
    multiplies: int
    weight_bytes: int
    energy_nj: float
    background: str = ""
    pattern: tuple[int, int] | None = None
    delta: float | None = None
    lookups: int = 0
    distinct_patterns: float = 0.0

    @property
    def quantized(self) -> bool:
        """Whether the kernel holds one of this package's quantizers."""
        return self.kind not in ("float32", "int8")


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
        """Sums over the layers; `density` and `bits` are those of the quantized kernels."""
        quantized = [layer for layer in self.layers if layer.quantized]
        weights = sum(layer.weights for layer in quantized)

        def total(attribute: str, layers: list[LayerSummary]) -> Any:
            return sum(getattr(layer, attribute) for layer in layers)

        return {
            "weights": total("weights", self.layers),
            "quantized_weights": weights,
            "effectual": total("effectual", quantized),
            "density": total("effectual", quantized) / weights if weights else 1.0,
            "bits": 8 * total("weight_bytes", quantized) / weights if weights else 0.0,
            "macs": total("macs", self.layers),
            "macs_turned_into_adds": total("macs", quantized),
            "adds": total("adds", self.layers),
            "multiplies": total("multiplies", self.layers),
            "weight_bytes": total("weight_bytes", self.layers),
            "float32_bytes": 4 * total("weights", self.layers),
            "energy_nj": total("energy_nj", self.layers),
            "other_parameters": self.other_parameters,
            "tflite_bytes": self.tflite_bytes,
        }

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "totals": self.totals()}

    def __str__(self) -> str:
        header = (
            "layer", "kind", "act.", "kernel", "density", "effectual / weights", "background",
            "pattern", "bits", "MACs", "adds", "lookups", "distinct", "bytes", "energy nJ",
        )  # fmt: skip
        rows = [header, *(_row(layer) for layer in self.layers)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        t = self.totals()
        share = t["macs_turned_into_adds"] / t["macs"] if t["macs"] else 0.0
        lines += [
            f"{t['quantized_weights']:,} of {t['weights']:,} weights quantized, {t['bits']:.2f} "
            f"bits each, density {t['density']:.3f}; {share:.1%} of {t['macs']:,} MACs become "
            f"additions ({t['adds']:,} in all)",
            f"weights {t['weight_bytes']:,} bytes ({t['float32_bytes'] / t['weight_bytes']:.1f}x "
            f"smaller than float32); about {t['energy_nj']:,.0f} nJ a sample (45 nm)",
        ]
        if self.tflite_bytes is not None:
            lines.append(f".tflite file {self.tflite_bytes:,} bytes")
        return "\n".join(lines)


def summary(model: Any, tflite: bool = True) -> ModelSummary:
    """Describes a quantized model: print it for a table, or use `to_dict()`.

    Args:
      model: a built tf.keras model, quantized or not.
      tflite: also convert the model, some seconds, to tell the size of its .tflite file. Its
        biases, scales and names are a large part of a small file, so only the file itself tells.

    Raises:
      ValueError: no layer of the model has a kernel.
    """
    from tf_signbin.train import quantized_kernels

    quantized = {id(kernel.wrapper): kernel for kernel in quantized_kernels(model)}
    result = ModelSummary(model.name)
    for layer in model._flatten_layers(include_self=False, recursive=True):
        inner = getattr(layer, "layer", layer)
        if _is_wrapped_part(layer, model) or type(inner).__name__ not in _KERNELS:
            continue
        for attribute in _KERNELS[type(inner).__name__]:
            kernel = quantized.get(id(layer))
            mine = kernel is not None and kernel.latent is getattr(inner, attribute)
            result.layers.append(_describe(layer, inner, attribute, kernel if mine else None))
    if not result.layers:
        raise ValueError(f"Model {model.name!r} has no convolution or dense layer.")
    kernels = sum(layer.weights for layer in result.layers)
    result.other_parameters = _parameters(model, quantized) - kernels
    if tflite:
        from tf_signbin.convert import convert

        result.tflite_bytes = len(convert(model))
    return result


def _is_wrapped_part(layer: Any, model: Any) -> bool:
    """Whether the layer is the inside of a wrapper, which was listed already."""
    return not layer._inbound_nodes


def _parameters(model: Any, quantized: dict[int, QuantizedKernel]) -> int:
    """Parameters of the model without the variables of quantizers and fake quantization."""
    seen: dict[int, int] = {}
    for layer in model._flatten_layers(include_self=False, recursive=True):
        inner = getattr(layer, "layer", None)
        if type(layer).__name__ == "StableQuantizeLayer":
            continue
        for variable in inner.weights if inner is not None else layer.weights:
            seen[id(variable)] = int(np.prod(variable.shape))
    return sum(seen.values())


def _describe(
    layer: Any, inner: Any, attribute: str, kernel: QuantizedKernel | None
) -> LayerSummary:
    shape = tuple(int(size) for size in getattr(inner, attribute).shape)
    activations = _activation_type(layer)
    positions = _output_positions(layer, inner, attribute)
    weights = math.prod(shape)
    if attribute == "depthwise_kernel":
        *window, channels, multiplier = shape
        outputs = positions * channels * multiplier
        macs = outputs * math.prod(window)
    else:
        transposed = type(inner).__name__ == "Conv2DTranspose"
        outputs = positions * (shape[-2] if transposed else shape[-1])
        macs = positions * weights
    result = LayerSummary(
        name=layer.name, layer=type(inner).__name__, kind=activations, activations=activations,
        kernel_shape=shape, weights=weights, effectual=weights, density=1.0,
        bits=32.0 if activations == "float32" else 8.0, macs=macs, adds=macs, multiplies=macs,
        weight_bytes=weights * (4 if activations == "float32" else 1), energy_nj=0.0,
    )  # fmt: skip
    multiply_energy = result.multiplies * MULTIPLY_PJ[activations]
    if activations == "int8":
        multiply_energy += outputs * INT32_MULTIPLY_PJ
    if kernel is not None:
        _describe_quantized(result, kernel, positions, outputs)
        scale = INT32_MULTIPLY_PJ if activations == "int8" else MULTIPLY_PJ["float32"]
        multiply_energy = result.multiplies * scale
    picojoules = (
        result.adds * ADD_PJ[activations]
        + multiply_energy
        + 8 * result.weight_bytes * DRAM_PJ_PER_BIT
    )
    result.energy_nj = picojoules / 1000
    return result


def _describe_quantized(
    result: LayerSummary, kernel: QuantizedKernel, positions: int, outputs: int
) -> None:
    from tf_signbin.convert.inspect import distinct_patterns
    from tf_signbin.format.spec import TERNARY, TWO_VALUED, UNPATTERNED_GROUP, packed_bytes

    shape = result.kernel_shape
    window, channels, filters = shape[:-2], shape[-2], shape[-1]
    taps = math.prod(window)
    mask = kernel.mask().numpy().reshape(taps, channels, filters)
    regions = channels // (kernel.quantizer.region_channels or channels)
    result.kind = kernel.quantizer.kind
    ternary, binary = result.kind == "ternary", result.kind == "binary"
    result.effectual = result.weights if binary else int(mask.sum())
    result.density = result.effectual / result.weights
    result.background = "negative" if binary else getattr(kernel.quantizer, "background", "")
    result.pattern = getattr(kernel.quantizer, "pattern", None)
    if "delta" in kernel.variables:
        result.delta = float(kernel.variables["delta"])
    result.weight_bytes = packed_bytes(
        TERNARY if ternary else TWO_VALUED,
        (filters, 1, taps, channels),
        regions,
        4 if result.activations == "float32" else 1,
    )
    result.bits = 8 * result.weight_bytes / result.weights
    has_background = result.background not in ("", "none")
    # One window sum a position serves all filters; each region has its own.
    result.adds = positions * (int(mask.sum()) + has_background * taps * channels)
    result.multiplies = outputs * regions * (1 + has_background)
    group = result.pattern[1] if result.pattern else UNPATTERNED_GROUP[result.activations]
    result.lookups = (2 if ternary else 1) * taps * -(-channels // group)
    planes = _sign_planes(kernel, mask) if ternary else mask[None]
    by_filter = np.moveaxis(planes, -1, 1)[:, :, None]  # [planes, O, 1, taps, I]
    result.distinct_patterns = distinct_patterns(by_filter.astype(bool), group)


def _sign_planes(kernel: QuantizedKernel, mask: np.ndarray) -> np.ndarray:
    signs = np.sign(kernel.quantized().numpy()).reshape(mask.shape)
    return np.stack([signs > 0, signs < 0])


def _activation_type(layer: Any) -> str:
    """'int8' when a wrapper of tfmot's 8-bit scheme or ours quantizes the layer for int8."""
    config = getattr(layer, "quantize_config", None)
    if config is None:
        return "float32"
    return getattr(config, "activations", "int8")


def _output_positions(layer: Any, inner: Any, attribute: str) -> int:
    """Pixels (rows for dense layers) of one sample that the kernel is applied to."""
    shape = layer.output_shape
    sizes = shape[1:-1]
    if getattr(inner, "data_format", "channels_last") == "channels_first":
        sizes = shape[2:]
    if type(inner).__name__ == "Conv2DTranspose":
        sizes = layer.input_shape[1:-1]
    if any(size is None for size in sizes):
        raise ValueError(
            f"Layer {layer.name!r} has an output of unknown size {shape}; give the model's input "
            "a fixed size to count operations."
        )
    return math.prod(sizes)


def _row(layer: LayerSummary) -> tuple[str, ...]:
    pattern = f"{layer.pattern[0]} of {layer.pattern[1]}" if layer.pattern else "-"
    details = ("-", "-", "-", "-")
    if layer.quantized:
        details = (
            layer.background or "-", pattern, str(layer.lookups), f"{layer.distinct_patterns:.1f}"
        )  # fmt: skip
    return (
        layer.name, layer.kind, layer.activations, "x".join(map(str, layer.kernel_shape)),
        f"{layer.density:.3f}", f"{layer.effectual:,} / {layer.weights:,}", details[0], details[1],
        f"{layer.bits:.2f}", f"{layer.macs:,}", f"{layer.adds:,}", details[2], details[3],
        f"{layer.weight_bytes:,}", f"{layer.energy_nj:,.1f}",
    )  # fmt: skip

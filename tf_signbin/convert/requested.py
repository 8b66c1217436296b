"""Which layers of a Keras model were trained to be packed, and which of them are.

The stock converter renames, splits and repeats layers, so they are matched by what they are: the
weights that share a value in training share one in the file, whatever BatchNormalization and int8
scales have made of the value.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_signbin.convert.report import DENSE, LayerReport
from tf_signbin.format.pack import unpack_filters
from tf_signbin.format.spec import PackedFilters

# Not imported: a model with quantized layers has imported it already, and conversion of any other
# one must not.
_TRAINING_PACKAGE = "tf_signbin.train"
# Layers whose factors the stock converter may multiply into the next kernel.
_SCALING = ("BatchNormalization", "SyncBatchNormalization", "Normalization", "Rescaling")
_TRANSPARENT = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "Flatten", "GaussianNoise")


@dataclass(frozen=True)
class RequestedLayer:
    """A layer with one of our quantizers; weights [O, taps, I] as inference uses them."""

    name: str
    weights: np.ndarray
    layer: Any


def requested_layers(source: Any) -> list[RequestedLayer]:
    """The layers with one of our quantizers; empty for sources that do not tell."""
    training = _training_of(source)
    if training is None:
        return []
    found = []
    for kernel in training.quantized_kernels(source):
        weights = np.moveaxis(kernel.ops.convert_to_numpy(kernel.quantized()), -1, 0)
        taps = weights.reshape(len(weights), -1, weights.shape[-1])
        found.append(RequestedLayer(str(kernel.wrapper.name), taps, kernel.wrapper))
    return found


def unreached_layers(source: Any) -> dict[str, str]:
    """Layers of the user's, with layers inside that quantize_model could not reach: {name: why}."""
    training = _training_of(source)
    return {} if training is None else dict(training.api.unreached_layers(source))


def _training_of(source: Any) -> Any:
    """The package that may have quantized a source; None when it has not."""
    is_model = hasattr(source, "layers") and hasattr(source, "call")
    return sys.modules.get(_TRAINING_PACKAGE) if is_model else None


def unmatched(
    requested: list[RequestedLayer], layers: list[LayerReport]
) -> list[tuple[RequestedLayer, LayerReport | None]]:
    """The requested layers that no packed operator computes, each with the dense operator that
    does, as far as shapes and names tell."""
    left = []
    packed = [layer.filters for layer in layers if layer.filters is not None]
    dense = [layer for layer in layers if layer.status == DENSE]
    for request in requested:
        if any(_made_of(filters, request.weights) for filters in packed):
            continue
        shape = request.weights.shape
        alike = [layer for layer in dense if _as_taps(layer.filter_shape) == shape]
        alike.sort(key=lambda layer: not _names_match(layer.name, request.name))
        left.append((request, alike[0] if alike else None))
        if alike:
            dense.remove(alike[0])
    return left


def why_dense(request: RequestedLayer, dense: LayerReport | None) -> str:
    """Why no packed operator computes the layer."""
    if dense is None:
        return "no operator of the converted file has its weights"
    scaling = _scaling_before(request.layer)
    if scaling is None:
        return dense.reason
    return (
        f"the stock converter has multiplied {scaling} directly before it into its filters, which "
        "then have many values. Put the activation between the two, or train with "
        "activations='int8', or convert with float activations, where the factors are found and "
        "taken out again"
    )


def _scaling_before(layer: Any) -> str | None:
    """Kind and name of a BatchNormalization (or the like) whose output the layer reads."""
    while True:
        nodes = getattr(layer, "_inbound_nodes", [])
        parents = nodes[0].parent_nodes if nodes else []
        if len(parents) != 1:
            return None
        layer = getattr(parents[0], "operation", None) or parents[0].layer
        kind = type(getattr(layer, "layer", layer)).__name__
        if kind in _SCALING:
            return f"{kind} {layer.name!r}"
        if kind not in _TRANSPARENT:
            return None


def _as_taps(shape: tuple[int, ...]) -> tuple[int, ...]:
    """[O, KH, KW, I] or [O, I] as [O, taps, I]."""
    return (shape[0], int(np.prod(shape[1:-1])), shape[-1]) if len(shape) > 1 else shape


def _names_match(found: str, requested: str) -> bool:
    return found == requested or found.endswith(f"/{requested}") or requested.endswith(f"/{found}")


def _made_of(filters: PackedFilters, weights: np.ndarray) -> bool:
    """Whether packed filters are weights [O, taps, I] but for BatchNorm and int8 scales."""
    if _as_taps(filters.filter_shape) != weights.shape:
        return False
    found = unpack_filters(filters).astype(np.float64).reshape(weights.shape)
    wanted = weights.astype(np.float64)
    signs = _channel_signs(found, wanted)
    return _affine(found, wanted, filters.regions) or _affine(found, wanted * signs, 1)


def _affine(found: np.ndarray, wanted: np.ndarray, regions: int) -> bool:
    """Whether found = a * wanted + b in each filter and region of arrays [O, taps, I].

    Two values go into any two others that way, and -s, 0, s into their multiples.
    """
    filters, taps, _ = found.shape

    def split(array: np.ndarray) -> np.ndarray:
        by_region = array.reshape(filters, taps, regions, -1).swapaxes(1, 2)
        return by_region.reshape(filters * regions, -1)

    found, wanted = split(found), split(wanted)
    rows = np.arange(len(wanted))
    low, high = wanted.argmin(axis=1), wanted.argmax(axis=1)
    width = wanted[rows, high] - wanted[rows, low]
    a = (found[rows, high] - found[rows, low]) / np.where(width == 0, 1, width)
    b = found[rows, low] - a * wanted[rows, low]
    error = np.abs(found - (a[:, None] * wanted + b[:, None])).max(axis=1)
    return bool(np.all(error <= 1e-4 * np.abs(found).max(axis=1)))


def _channel_signs(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The signs [I] that, with one for each filter, take wanted to found, if there are any.

    Where channels had factors, their signs are free: -s, 0, s and -s, s are the same either way.
    """
    product = np.sign(found * wanted).reshape(-1, found.shape[-1])
    channels = product[np.count_nonzero(product, axis=1).argmax()]
    for _ in range(8):
        rows = np.sign(product @ channels)
        channels = np.sign(rows @ product)
    return np.where(channels == 0, 1.0, channels)

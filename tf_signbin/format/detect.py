"""Finds filters that hold two values, or {-s, 0, s}, by looking at their values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tf_signbin.format.pack import pack_masks
from tf_signbin.format.spec import (
    ENGINE_PATTERNS,
    TERNARY,
    TWO_VALUED,
    PackedFilters,
    packed_bytes,
)

# Float weights that went through `w + stop_gradient(q - w)` come back from constant folding within
# a few units in the last place of q. Values this close, relative to the filter's largest magnitude,
# are one value: the change is below the rounding error of a float32 convolution.
FLOAT_TOLERANCE = 2.0**-20
# Up to here the report says "nearly two-valued" and names the likely cause.
NEAR_TOLERANCE = 2.0**-7
# Weights with at most this many values, and many of them, were quantized on purpose.
MAX_LEVELS = 4


@dataclass(frozen=True)
class Detection:
    """What `detect` found: packed filters, or the reason why there are none.

    nearly: the filters look quantized but are not packed (the user probably wanted them to be).
    snapped: largest change of a weight relative to its filter's largest magnitude (0: exact).
    """

    packed: PackedFilters | None
    reason: str = ""
    nearly: bool = False
    snapped: float = 0.0


def detect(weights: np.ndarray) -> Detection:
    """Packs a filter [O, KH, KW, I], float32 or int8, if its values allow it.

    The rule is that of docs/format.md, "Detection by value"; delegate/engine/detect.cc has it too.
    Two-valued filters at the smallest number of regions that works are preferred (one mask bit a
    weight), then ternary ones. The result is never larger than the dense filter.
    """
    if weights.ndim != 4 or weights.size == 0:
        return Detection(None, f"filter shape {list(weights.shape)} is not [O, KH, KW, I]")
    if not np.all(np.isfinite(weights)):
        return Detection(None, "filter has a value that is not finite")
    tolerance = 0.0 if weights.dtype == np.int8 else FLOAT_TOLERANCE
    filter_shape = _shape4(weights)
    for kind, find in ((TWO_VALUED, _two_valued), (TERNARY, _ternary)):
        for regions in _region_counts(weights, kind, tolerance):
            found = find(_by_region(weights, regions), tolerance)
            if found is None:
                continue
            masks, values, snapped = found
            dense_masks = np.stack([_from_region(mask, filter_shape) for mask in masks])
            pattern = (0, 0)
            if kind == TWO_VALUED:
                pattern = _choose_pattern(dense_masks[0], values, weights.dtype.name)
            packed = PackedFilters(
                kind, filter_shape, pack_masks(dense_masks), values.astype(weights.dtype), pattern
            )
            return Detection(packed, snapped=snapped)
    return _describe_dense(weights)


def max_effectual(mask: np.ndarray, m: int) -> np.ndarray:
    """Per filter, the most effectual weights in a group of `m` channels of a tap: [O]."""
    starts = np.arange(0, mask.shape[-1], m)
    return np.add.reduceat(mask.astype(np.int32), starts, axis=-1).max(axis=(1, 2, 3))


def _by_region(weights: np.ndarray, regions: int) -> np.ndarray:
    """[O, KH, KW, I] to [O, R, KH * KW * I / R]."""
    out_channels, kernel_h, kernel_w, in_channels = weights.shape
    split = weights.reshape(out_channels, kernel_h * kernel_w, regions, in_channels // regions)
    return split.transpose(0, 2, 1, 3).reshape(out_channels, regions, -1)


def _from_region(split: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    out_channels, kernel_h, kernel_w, in_channels = shape
    regions = split.shape[1]
    taps = split.reshape(out_channels, regions, kernel_h * kernel_w, in_channels // regions)
    return taps.transpose(0, 2, 1, 3).reshape(shape)


def _region_counts(weights: np.ndarray, kind: str, tolerance: float) -> list[int]:
    """Region counts to try, smallest first.

    Each divides the input channels, makes the packed form smaller than the dense one (so a few
    arbitrary weights are never taken for a two-valued region), and suits the first filter.
    """
    find = _two_valued if kind == TWO_VALUED else _ternary
    shape = _shape4(weights)
    counts = [
        regions
        for regions in _divisors(shape[3])
        if packed_bytes(kind, shape, regions, weights.itemsize) < weights.nbytes
    ]
    first = weights[:1]
    return [regions for regions in counts if find(_by_region(first, regions), tolerance)]


def _divisors(number: int) -> list[int]:
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def _shape4(weights: np.ndarray) -> tuple[int, int, int, int]:
    out_channels, kernel_h, kernel_w, in_channels = weights.shape
    return out_channels, kernel_h, kernel_w, in_channels


_Found = tuple[list[np.ndarray], np.ndarray, float]


def _is_high(split: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Which weights [O, R, K] are their region's largest value, and which regions [O, R] hold
    nothing else than their smallest and largest value."""
    low, high = split.min(axis=-1, keepdims=True), split.max(axis=-1, keepdims=True)
    if not tolerance:
        is_high = split == high
        return is_high, np.all(is_high | (split == low), axis=-1)
    wide = split.astype(np.float64)
    limit = tolerance * np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
    is_high = high - wide <= limit
    return is_high, np.all(is_high | (wide - low <= limit), axis=-1)


def _two_valued(split: np.ndarray, tolerance: float) -> _Found | None:
    """Masks [1][O, R, K], values [O, R, 2] and the snapped error of two-valued regions, or None.

    A region with a zero has background 0. Otherwise the rarer value is the effectual one, at equal
    counts the one of larger magnitude, then the positive one.
    """
    is_high, fits = _is_high(split, tolerance)
    if not np.all(fits):
        return None
    low, high = split.min(axis=-1, keepdims=True), split.max(axis=-1, keepdims=True)
    snapped = 0.0
    if tolerance:
        wide = split.astype(np.float64)
        largest = np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
        low, high = _means(wide, ~is_high, low), _means(wide, is_high, high)
        low, high = (_zero_if_tiny(values, tolerance * largest) for values in (low, high))
        error = np.abs(wide - np.where(is_high, high, low))
        snapped = float(np.max(error / np.where(largest == 0, 1, largest)))
    low, high = low[..., 0], high[..., 0]
    count_high = np.count_nonzero(is_high, axis=-1)
    count_low = split.shape[-1] - count_high
    constant = count_low == 0  # one value: all bits set, or none when it is 0
    larger = np.abs(high.astype(np.float64)) >= np.abs(low.astype(np.float64))
    rarer = (count_high < count_low) | ((count_high == count_low) & larger)
    high_effectual = np.where(high == 0, False, np.where(constant | (low == 0), True, rarer))
    background = np.where(high_effectual, low, high)
    effectual = np.where(high_effectual, high, low)
    background = np.where(constant & (high != 0), 0, background)
    mask = np.where(high_effectual[..., None], is_high, ~is_high)
    return [mask], np.stack([background, effectual], axis=-1), snapped


def _means(split: np.ndarray, member: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Mean of each region's members; exactly `exact` where all equal it (or none exist)."""
    count = np.maximum(np.count_nonzero(member, axis=-1, keepdims=True), 1)
    offset = np.where(member, split - exact, 0.0).sum(axis=-1, keepdims=True) / count
    return (exact + offset).astype(np.float32).astype(np.float64)


def _ternary(split: np.ndarray, tolerance: float) -> _Found | None:
    """Masks [2][O, R, K] (plus, minus), values [O, R, 1] and the snapped error, or None."""
    wide = split.astype(np.float64)
    magnitude = np.abs(wide)
    scale = magnitude.max(axis=-1, keepdims=True)
    limit = tolerance * scale
    effectual = (scale - magnitude <= limit) & (scale > 0)
    if not np.all(effectual | (magnitude <= limit)) or (not tolerance and scale.max() > 127):
        return None
    snapped = 0.0
    if tolerance:
        mean = _means(magnitude, effectual, scale)
        error = np.abs(magnitude - np.where(effectual, mean, 0.0))
        snapped = float(np.max(error / np.where(scale == 0, 1, scale)))
        scale = mean
    return [effectual & (wide > 0), effectual & (wide < 0)], scale, snapped


def _zero_if_tiny(values: np.ndarray, limit: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) <= limit, 0.0, values)


def _choose_pattern(mask: np.ndarray, values: np.ndarray, activation_type: str) -> tuple[int, int]:
    """The engine pattern that the mask [O, KH, KW, I] keeps to, else (0, 0).

    A filter without a zero may take either of its values as the background; where only the other
    choice keeps to the pattern, `mask` and `values` [O, R, 2] are changed to it.
    """
    swappable = np.all(values != 0, axis=(1, 2)) & (values.shape[1] == 1)
    for n, m in ENGINE_PATTERNS[activation_type]:
        keeps = max_effectual(mask, m) <= n
        swap = ~keeps & swappable
        swap[swap] = max_effectual(~mask[swap], m) <= n if swap.any() else False
        if np.all(keeps | swap):
            mask[swap] = ~mask[swap]
            values[swap] = values[swap][..., ::-1]
            return n, m
    return 0, 0


def _describe_dense(weights: np.ndarray) -> Detection:
    """Why the filters are neither two-valued nor ternary."""
    tolerance = 0.0 if weights.dtype == np.int8 else FLOAT_TOLERANCE
    rows = weights.reshape(len(weights), 1, -1)
    fits = _is_high(rows, tolerance)[1][:, 0]
    if np.all(fits):
        return Detection(None, "so few weights a filter that packing would not save space")
    bad = int(np.argmin(fits))
    values = np.unique(rows[bad])
    distinct = len(values)
    if tolerance and (_two_valued(rows, NEAR_TOLERANCE) or _ternary(rows, NEAR_TOLERANCE)):
        return Detection(
            None,
            f"nearly quantized: filter {bad} has {distinct} distinct values around 2 or 3 levels, "
            "further apart than rounding explains. A quantizer written as w + stop_gradient(q - w) "
            "leaves such noise; return q from a tf.custom_gradient instead",
            nearly=True,
        )
    reason = f"filter {bad} has {distinct} distinct values"
    few = distinct <= MAX_LEVELS < rows.shape[-1] // 8
    if few:
        reason += f" {values.tolist()}, which are neither two nor -s, 0, s"
    if np.any(fits):
        reason = f"only {fits.sum()} of {len(fits)} filters are two-valued; {reason}"
    return Detection(None, reason, nearly=few or bool(2 * fits.sum() > len(fits)))

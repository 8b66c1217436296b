"""The mathematics of the quantizers, as pure functions.

Every function works on a kernel in canonical shape [taps, regions, Ct, filters]: taps = KH*KW, a
region is a block of Ct consecutive input channels of one filter that shares its sign factor, its
threshold and its two values. `regions` is 1 unless region_channels is given. Per-region
quantities have shape [1, regions, 1, filters]. `ops` is the array namespace.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tf_signbin.train.rules import patterns
from tf_signbin.train.rules.namespace import ArrayNamespace

# Axes that one region spans in a canonical kernel.
REGION_AXES = (0, 2)


def to_regions(ops: ArrayNamespace, kernel: Any, region_channels: int | None) -> Any:
    """Reshapes a kernel [..., Ci, Co] to [taps, regions, Ct, Co].

    Raises:
      ValueError: Ci is not a multiple of region_channels.
    """
    *window, channels, filters = kernel.shape
    ct = region_channels or channels
    if channels % ct:
        raise ValueError(
            f"region_channels={ct} does not divide the {channels} input channels of a kernel of "
            f"shape {tuple(kernel.shape)}. Choose a divisor, or None for whole filters."
        )
    return ops.reshape(kernel, [math.prod(window), channels // ct, ct, filters])


def sign_factors(filters: int, regions: int, positive_share: float) -> np.ndarray:
    """β of every region, +1 or -1, float32 [1, regions, 1, filters].

    The first `round(positive_share * filters)` filters are positive, the others negative (the
    paper's published code with positive_share = 0.5). With several regions the order is rotated by
    filters/regions from one block to the next, so that every block keeps the share and a filter
    holds both signs.
    """
    positive = np.arange(filters) < round(positive_share * filters)
    rows = [np.roll(positive, r * filters // regions) for r in range(regions)]
    return np.where(np.stack(rows), 1.0, -1.0).astype(np.float32)[None, :, None, :]


def standardize(ops: ArrayNamespace, w: Any) -> Any:
    """(W - mean W) / std W per filter: latent standardisation of IR-Net (Qin et al., CVPR 2020)."""
    axes = (0, 1, 2)
    centered = w - ops.mean(w, axis=axes, keepdims=True)
    variance = ops.mean(ops.square(centered), axis=axes, keepdims=True)
    # An all-equal filter has no variance; its centered weights are 0 and stay 0.
    return centered * ops.rsqrt(variance + 1e-12)


def max_threshold(ops: ArrayNamespace, w: Any, delta: Any) -> Any:
    """Δ = delta * max|W| per region (paper: delta = 0.05)."""
    return delta * ops.max(ops.abs(w), axis=REGION_AXES, keepdims=True)


def mean_threshold(ops: ArrayNamespace, w: Any, delta: Any) -> Any:
    """Δ = delta * mean|W| per region (TWN: delta = 0.7; Li et al. 2016, eq. 6)."""
    return delta * ops.mean(ops.abs(w), axis=REGION_AXES, keepdims=True)


def at_least(ops: ArrayNamespace, x: Any, threshold: Any) -> Any:
    """1.0 where x >= threshold, else 0.0.

    Written with float arithmetic because TFLite's converter folds a constant kernel's quantizer
    away only if no step makes a tensor much larger, as a cast from bool to float does.
    """
    return 1.0 - ops.relu(ops.sign(threshold - x))


def above(ops: ArrayNamespace, x: Any, threshold: Any) -> Any:
    """1.0 where x > threshold, else 0.0."""
    return ops.relu(ops.sign(x - threshold))


def signed_binary_mask(
    ops: ArrayNamespace,
    w: Any,
    beta: Any,
    threshold: Any,
    pattern: patterns.Pattern | None = None,
    tightness: Any = 1.0,
) -> Any:
    """1.0 where a weight is effectual, else 0.0: βW >= Δ, and among the n largest βW of its group.

    Args:
      ops: array namespace.
      w: [taps, regions, Ct, filters].
      beta, threshold: [1, regions, 1, filters].
      pattern: (n, m), or None for no limit. Groups run over all input channels from channel 0,
        whatever the regions.
      tightness: see `patterns.within_pattern`.
    """
    score = w * beta
    mask = at_least(ops, score, threshold)
    if pattern is None:
        return mask
    taps, regions, ct, filters = w.shape
    by_channel = ops.reshape(score, [taps, regions * ct, filters])
    allowed = patterns.within_pattern(ops, by_channel, pattern, tightness)
    return mask * ops.reshape(allowed, w.shape)


def mean_scale(ops: ArrayNamespace, w: Any, mask: Any) -> Any:
    """alpha = mean |W| over the effectual weights of a region, 0 where a region has none."""
    total = ops.sum(ops.abs(w) * mask, axis=REGION_AXES, keepdims=True)
    return ops.divide_no_nan(total, ops.sum(mask, axis=REGION_AXES, keepdims=True))


def two_values(mask: Any, background: Any, effectual: Any) -> Any:
    """`effectual` where the mask is 1, `background` where it is 0: exactly two values a region."""
    return background + mask * (effectual - background)


def round_ste(ops: ArrayNamespace, x: Any) -> Any:
    """Rounds half to even; the gradient passes unchanged."""
    return x + ops.stop_gradient(ops.round(x) - x)


def on_int8_grid(ops: ArrayNamespace, *values: Any) -> list[Any]:
    """Rounds the values of a filter to multiples of s/127, s the filter's largest |value|.

    TFLite quantizes a convolution's weights per output channel with scale max|w|/127 and zero
    point 0. Values on this grid become exactly the integers round(127 v / s), and stay those when
    BatchNorm is folded in, which multiplies a filter by one number. The quotient is formed in this
    order because it is then exact for integer values, so that ties round alike everywhere.

    Args:
      ops: array namespace.
      *values: tensors [1, regions, 1, filters] which together hold all values of each filter.
    """
    largest = ops.abs(values[0])
    for value in values[1:]:
        largest = ops.maximum(largest, ops.abs(value))
    s = ops.stop_gradient(ops.max(largest, axis=1, keepdims=True))
    return [round_ste(ops, ops.divide_no_nan(127.0 * v, s)) * (s / 127.0) for v in values]


def surrogate_gradient(ops: ArrayNamespace, kind: str, x: Any, w: Any, t: Any, k: Any) -> Any:
    """Derivative that replaces the one of the step function, by estimator.

    Args:
      ops: array namespace.
      kind: 'ste': 1 where |W| <= 1, else 0 (Hubara et al. 2016, the paper's code).
        'ede': k t (1 - tanh²(t x)), the error decay estimator of IR-Net (Qin et al. 2020).
        'approx_sign': 2 - 2|x| where |x| <= 1, else 0 (Bi-Real Net, Liu et al., ECCV 2018).
      x: distance of the latent weight from its step, W - βΔ.
      w: the latent weight W.
      t, k: scalars of 'ede'.
    """
    if kind == "ste":
        return at_least(ops, 1.0, ops.abs(w))
    if kind == "ede":
        return k * t * (1.0 - ops.square(ops.tanh(t * x)))
    if kind == "approx_sign":
        return ops.maximum(2.0 - 2.0 * ops.abs(x), 0.0)
    raise ValueError(f"Unknown estimator {kind!r}; choose 'ste', 'ede' or 'approx_sign'.")


def straight_through(ops: ArrayNamespace, w: Any, quantized: Any, derivative: Any) -> Any:
    """`quantized`, with dL/dW = g * derivative through the mask that W was turned into.

    The gradient also flows into `quantized` itself, that is into its values (a learned scale or
    background). Zeroed weights receive the full gradient, as in the paper's published code.
    The added term is exactly 0, and its derivative with respect to W is `derivative`: every
    framework can differentiate this, and graph optimisers remove it where no gradient is asked for.

    Args:
      ops: array namespace.
      w: latent weights, finite.
      quantized: their quantized form, of the same shape, which may depend on W only through masks
        and stopped gradients.
      derivative: dq/dW, finite and broadcastable to w's shape.
    """
    return quantized + (w - ops.stop_gradient(w)) * ops.stop_gradient(derivative)

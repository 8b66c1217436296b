"""Random filters of every weight kind, as training would leave them, without training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

DENSE, BINARY, TERNARY, SIGNED_BINARY = "dense", "binary", "ternary", "signed_binary"
# Share of weights above TWN's threshold 0.7 * mean(|w|) for normally distributed weights
# (Li et al. 2016): 2 * (1 - Phi(0.7 * sqrt(2 / pi))).
TWN_DENSITY = 0.58
# Signed-binary networks of the paper keep about this share of effectual weights.
SIGNED_BINARY_DENSITY = 0.36


@dataclass(frozen=True)
class WeightSpec:
    """How to fill a filter.

    density: share of effectual weights (of mask bits for signed_binary); None: the usual one of the
    kind. pattern: (n, m), at most n effectual of each m consecutive input channels; (0, 0): none.
    background: a second value other than 0 for the remaining weights, so that the filter's mean is
    about 0 (signed_binary only).
    """

    kind: str = SIGNED_BINARY
    density: float | None = None
    pattern: tuple[int, int] = (0, 0)
    background: bool = False

    @property
    def effective_density(self) -> float:
        if self.density is not None:
            return self.density
        if self.kind == SIGNED_BINARY:
            n, m = self.pattern
            return min(SIGNED_BINARY_DENSITY, n / m) if m else SIGNED_BINARY_DENSITY
        return {DENSE: 1.0, BINARY: 1.0, TERNARY: TWN_DENSITY}[self.kind]

    def dense(self) -> WeightSpec:
        return replace(self, kind=DENSE, density=None, pattern=(0, 0), background=False)


def int8_filters(
    rng: np.random.Generator, shape: tuple[int, int, int, int], spec: WeightSpec
) -> np.ndarray:
    """Random int8 weights [O, KH, KW, I]; quantized kinds use +-127 as the converter does.

    Raises:
      ValueError: the pattern does not allow the density.
    """
    latent = rng.standard_normal(shape, dtype=np.float32)
    if spec.kind == DENSE:
        scale = 127 / np.abs(latent).max(axis=(1, 2, 3), keepdims=True)
        return np.rint(latent * scale).astype(np.int8)
    sign = np.where(rng.random((shape[0], 1, 1, 1)) < 0.5, 1, -1)
    if spec.kind == BINARY:
        return np.where(latent >= 0, 127, -127).astype(np.int8)
    if spec.kind == TERNARY:
        effectual = _largest(np.abs(latent), spec.effective_density)
        return (effectual * np.sign(latent) * 127).astype(np.int8)
    effectual = _patterned(latent, spec)
    background = 0
    if spec.background:
        density = effectual.mean(axis=(1, 2, 3), keepdims=True)
        background = np.rint(-127 * density / np.maximum(1 - density, 0.5)).astype(np.int32)
    return (sign * np.where(effectual, 127, background)).astype(np.int8)


def _patterned(latent: np.ndarray, spec: WeightSpec) -> np.ndarray:
    """The mask of the largest weights that keep to the pattern."""
    n, m = spec.pattern
    if not m:
        return _largest(latent, spec.effective_density)
    if spec.effective_density > n / m:
        raise ValueError(
            f"density {spec.effective_density} is more than pattern {n}:{m} allows ({n / m:.2f})"
        )
    allowed = np.zeros(latent.shape, bool)
    for start in range(0, latent.shape[3], m):
        group = latent[..., start : start + m]
        if group.shape[3] <= n:
            allowed[..., start : start + m] = True
            continue
        kth = np.partition(group, group.shape[3] - n, axis=-1)[..., group.shape[3] - n]
        allowed[..., start : start + m] = group >= kth[..., None]
    return _largest(np.where(allowed, latent, -np.inf), spec.effective_density) & allowed


def _largest(values: np.ndarray, share: float) -> np.ndarray:
    """The mask of the `share` largest weights of each filter."""
    flat = values.reshape(values.shape[0], -1)
    count = round(share * flat.shape[1])
    if count == 0:
        return np.zeros(values.shape, bool)
    threshold = np.partition(flat, flat.shape[1] - count, axis=1)[:, flat.shape[1] - count]
    return values >= threshold.reshape(-1, 1, 1, 1)

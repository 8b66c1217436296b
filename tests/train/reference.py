"""Float64 NumPy versions of the quantizers, written from their formulas weight by weight."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def regions(kernel, region_channels=None):
    """Kernel [..., Ci, Co] as float64 [taps, regions, Ct, Co]."""
    kernel = np.asarray(kernel, np.float64)
    *window, ci, co = kernel.shape
    ct = region_channels or ci
    return kernel.reshape(int(np.prod(window, dtype=int)), ci // ct, ct, co)


def signs(filters, count, share):
    """β [regions, filters]: the first share positive, rotated from block to block."""
    beta = -np.ones((count, filters))
    for r in range(count):
        for i in range(round(share * filters)):
            beta[r, (i + r * filters // count) % filters] = 1
    return beta


def signed_binary_mask(w, delta, beta, pattern=None):
    """w [taps, regions, Ct, Co], beta [regions, Co]; loops over every weight."""
    taps, count, ct, co = w.shape
    mask = np.zeros(w.shape)
    for o in range(co):
        for r in range(count):
            threshold = np.float32(delta) * np.float32(np.abs(w[:, r, :, o]).max())
            mask[:, r, :, o] = beta[r, o] * w[:, r, :, o] >= threshold
        for t in range(taps):
            if pattern is None:
                continue
            n, m = pattern
            score = (beta[:, o][:, None] * w[t, :, :, o]).reshape(-1)
            row = mask[t, :, :, o].reshape(-1)
            for start in range(0, len(score), m):
                group = range(start, min(start + m, len(score)))
                for channel in sorted(group, key=lambda c: (-score[c], c))[n:]:
                    row[channel] = 0
            mask[t, :, :, o] = row.reshape(count, ct)
    return mask


def alpha(w, mask):
    """Mean |W| over effectual weights, [regions, Co]."""
    total = (np.abs(w) * mask).sum((0, 2))
    return np.divide(total, mask.sum((0, 2)), out=np.zeros_like(total), where=mask.sum((0, 2)) > 0)


def signed_binary(w, delta, beta, scale="none", background="none", pattern=None, grid=False):
    """The quantized kernel, [taps, regions, Ct, Co]; 'learned' quantities at their start."""
    mask = signed_binary_mask(w, delta, beta, pattern)
    a = np.ones_like(beta) if scale == "none" else alpha(w, mask)
    size = w.shape[0] * w.shape[2]
    learned = Fraction(float(np.float32(0.3)))
    out = np.zeros(w.shape)
    for o in range(w.shape[3]):
        values = []  # exact fractions: (background, effectual) of each region
        for r in range(w.shape[1]):
            share = Fraction(int(mask[:, r, :, o].sum()), size)
            c = {"none": Fraction(0), "centered": share, "learned": learned}[background]
            factor = Fraction(float(beta[r, o] * a[r, o]))
            values.append((-c * factor, (1 - c) * factor))
        if grid:
            largest = max(abs(v) for pair in values for v in pair) or Fraction(1)
            values = [[round(127 * v / largest) * largest / 127 for v in pair] for pair in values]
        for r, (low, high) in enumerate(values):
            out[:, r, :, o] = np.where(mask[:, r, :, o] == 1, float(high), float(low))
    return out


def surrogate(estimator, w, x, t=0.1, k=10.0):
    if estimator == "ste":
        return (np.abs(w) <= 1).astype(float)
    if estimator == "ede":
        return k * t * (1 - np.tanh(t * x) ** 2)
    return np.where(np.abs(x) <= 1, 2 - 2 * np.abs(x), 0)


def lsq(x, step, levels, upstream):
    """LSQ (Esser et al., ICLR 2020) for x >= 0, element by element in float64.

    Returns:
      (quantized x, dL/dx, dL/ds with the paper's factor), for an upstream gradient dL/dy. x is
      [batch, ...]; the factor is 1 / sqrt(N L) with N the values of one sample.
    """
    x, upstream = np.asarray(x, np.float64), np.asarray(upstream, np.float64)
    y, dx, total = np.zeros_like(x), np.zeros_like(x), 0.0
    for i in np.ndindex(x.shape):
        v = x[i] / step
        if v <= levels:
            rounded = np.floor(v + 0.5)
            y[i], dx[i] = rounded * step, upstream[i]
            total += upstream[i] * (rounded - v)
        else:
            y[i] = levels * step
            total += upstream[i] * levels
    return y, dx, total / np.sqrt(x[0].size * levels)

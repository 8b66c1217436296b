"""Schedules as functions of the epoch.

They depend on the epoch alone, so a run that is resumed with `initial_epoch` continues exactly.
"""

from __future__ import annotations

from tf_signbin.train.rules.quantizers import SignedBinaryQuantizer


def progress(epoch: float, begin: int, end: int) -> float:
    """0 until `begin`, 1 from `end` on, linear between."""
    return min(max((epoch - begin) / max(end - begin, 1), 0.0), 1.0)


def ede(epoch: float, epochs: int, t_min: float = 0.1, t_max: float = 10.0) -> tuple[float, float]:
    """(t, k) of IR-Net's error decay estimator (Qin et al., CVPR 2020, eq. 11).

    t = t_min * 10^(log10(t_max / t_min) * epoch / epochs), k = max(1/t, 1).
    """
    t = t_min * (t_max / t_min) ** (epoch / epochs)
    return t, max(1.0 / t, 1.0)


def density(epoch: float, begin: int, end: int, start: float, target: float) -> float:
    """Wanted density: target + (start - target) (1 - progress)^3 (Zhu & Gupta, 2017)."""
    return target + (start - target) * (1.0 - progress(epoch, begin, end)) ** 3


def start_density(quantizer: SignedBinaryQuantizer, target: float) -> float:
    """Density of freshly initialised weights: half of them have the right sign."""
    limit = quantizer.pattern[0] / quantizer.pattern[1] if quantizer.pattern else 1.0
    return max(min(0.5, limit), target)

"""Interleaved timing: every round runs each contender once, in a new random order.

So a change of the machine's speed (frequency, other guests) meets all contenders alike, and none
always runs on the caches that another one left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

WARM_UP_ROUNDS = 10


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one contender's invokes: median, the 10th and 90th percentile, minimum."""

    median_ms: float
    p10_ms: float
    p90_ms: float
    min_ms: float
    rounds: int

    def to_dict(self) -> dict[str, float]:
        """Rounded to a tenth of a microsecond."""
        return {key: round(value, 4) for key, value in vars(self).items()}


def interleave(
    contenders: Mapping[str, Callable[[], object]],
    *,
    seconds: float,
    rounds: tuple[int, int] = (30, 400),
    seed: int = 0,
    tick: Callable[[float], None] = lambda share: None,
) -> dict[str, Timing]:
    """Times the contenders for about `seconds`, within the limits of `rounds`.

    `tick` is called after each round with the share of the work that is done.
    """
    names = list(contenders)
    rng = np.random.default_rng(seed)
    for _ in range(WARM_UP_ROUNDS):
        for name in names:
            contenders[name]()
    samples: dict[str, list[float]] = {name: [] for name in names}
    least, most = rounds
    start = time.perf_counter()
    for done in range(1, most + 1):
        for position in rng.permutation(len(names)):
            name = names[position]
            begin = time.perf_counter()
            contenders[name]()
            samples[name].append(time.perf_counter() - begin)
        spent = time.perf_counter() - start
        tick(max(done / most, min(spent / max(seconds, 1e-9), done / least, 1.0)))
        if done >= least and spent >= seconds:
            break
    return {name: _summarise(values) for name, values in samples.items()}


def _summarise(seconds: list[float]) -> Timing:
    p10, median, p90 = np.percentile(np.array(seconds) * 1e3, (10, 50, 90))
    return Timing(float(median), float(p10), float(p90), min(seconds) * 1e3, len(seconds))


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))

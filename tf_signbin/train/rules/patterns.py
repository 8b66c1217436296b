"""n-of-m patterns: at most n effectual weights in each m consecutive input channels of a tap.

A look-up table over m input channels needs one entry for each allowed subset. Allowing only
subsets of at most n channels keeps the table small while it covers more weights (docs: co-design),
so sparsity becomes speed. Groups start at channel 0; the last one may be shorter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_signbin.train.rules.namespace import ArrayNamespace

Pattern = tuple[int, int]


def check_pattern(pattern: Sequence[int] | None) -> Pattern | None:
    """Returns `pattern` as a tuple (n, m) of ints, or None.

    Raises:
      ValueError: unless 1 <= n < m.
    """
    if pattern is None:
        return None
    try:
        n, m = (int(v) for v in pattern)
    except (TypeError, ValueError):
        raise ValueError(f"pattern must be None or two integers (n, m), not {pattern!r}.") from None
    if not 1 <= n < m:
        raise ValueError(
            f"pattern=({n}, {m}) must satisfy 1 <= n < m: at most n effectual weights of each m "
            "input channels. Use pattern=None for no limit."
        )
    return n, m


def within_pattern(ops: ArrayNamespace, score: Any, pattern: Pattern, tightness: Any = 1.0) -> Any:
    """1.0 for the n largest scores >= 0 of each group of m input channels, 0.0 for the others.

    Equal scores rank by channel, the lower channel first, so never more than n are chosen.

    Args:
      ops: array namespace.
      score: float32 [taps, channels, filters]. Scores below 0 may come out as 0.0 or 1.0.
      pattern: (n, m).
      tightness: 1.0; a schedule may start below: then scores are chosen from `tightness` times the
        n-th largest one on, so 0.0 chooses all and the limit tightens gradually.

    Returns:
      float32 [taps, channels, filters].
    """
    n, m = pattern
    taps, channels, filters = score.shape
    padding = -channels % m
    padded = ops.pad(score, [[0, 0], [0, padding], [0, 0]], "constant", constant_values=-1.0)
    groups = ops.reshape(padded, [taps, (channels + padding) // m, m, filters])
    # The lower channel has the higher rank. Steps are float arithmetic: see functional.at_least.
    rank = np.arange(m, 0, -1, dtype=np.float32)[None, None, :, None]
    lowest = float(np.finfo(np.float32).min)
    remaining, chosen = groups, ops.zeros_like(groups)
    for _ in range(n):
        largest = ops.max(remaining, axis=2, keepdims=True)
        ranks = (1.0 - ops.relu(ops.sign(largest - remaining))) * rank
        first = 1.0 - ops.relu(ops.sign(ops.max(ranks, axis=2, keepdims=True) - ranks))
        chosen = chosen + first
        remaining = ops.where(first > 0.0, lowest, remaining)
    # `largest` is now the n-th. At tightness 1.0 nothing is added, whatever else equals it.
    limit = largest * tightness
    relaxed = ops.relu(ops.sign(largest - limit))
    near = 1.0 - ops.relu(ops.sign(limit - groups))
    chosen = ops.maximum(chosen, near * relaxed)
    return ops.reshape(chosen, [taps, channels + padding, filters])[:, :channels]

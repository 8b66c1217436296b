"""n-of-m patterns: at most n effectual weights in each m consecutive input channels of a tap.

A look-up table over m input channels needs one entry for each allowed subset. Allowing only
subsets of at most n channels keeps the table small while it covers more weights (docs: co-design),
so sparsity becomes speed. Groups start at channel 0; the last one may be shorter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_signbin.train.legacy_keras import tf

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


def within_pattern(score: tf.Tensor, pattern: Pattern, tightness: Any = 1.0) -> tf.Tensor:
    """1.0 for the n largest scores >= 0 of each group of m input channels, 0.0 for the others.

    Equal scores rank by channel, the lower channel first, so never more than n are chosen.

    Args:
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
    # A float64 has 29 bits more than the float32 it holds: room for a channel number that makes
    # the keys of a group distinct without changing the order of different scores. (The second term
    # does it for zeros.)
    channel = np.arange(channels)[None, :, None] % m
    keys = tf.cast(score, tf.float64) * (1.0 - channel * 2.0**-40) - channel * 2.0**-400
    padded = tf.pad(keys, [[0, 0], [0, padding], [0, 0]], constant_values=-1.0)
    groups = tf.reshape(padded, [taps, -1, m, filters])
    lowest = tf.constant(groups.dtype.min, groups.dtype)
    remaining = groups
    limit = tf.reduce_max(remaining, axis=2, keepdims=True)
    for _ in range(n - 1):
        remaining = tf.where(remaining >= limit, lowest, remaining)
        limit = tf.reduce_max(remaining, axis=2, keepdims=True)
    limit *= tf.cast(tightness, tf.float64)
    chosen = tf.cast(1.0 - tf.nn.relu(tf.sign(limit - groups)), score.dtype)
    return tf.reshape(chosen, [taps, channels + padding, filters])[:, :channels]

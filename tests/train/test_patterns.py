"""n-of-m selection against sorting in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_signbin.train.rules import patterns
from tf_signbin.train.rules.namespace import NUMPY


def select(score, pattern, tightness=1.0):
    chosen = patterns.within_pattern(NUMPY, score, pattern, tightness)
    assert chosen.dtype == np.float32
    return chosen


def expected(score, n, m):
    """1 for the n first of each group, sorted by descending score, then by channel."""
    chosen = np.zeros(score.shape)
    taps, channels, filters = score.shape
    for t, start, o in np.ndindex(taps, -(-channels // m), filters):
        group = np.arange(start * m, min((start + 1) * m, channels))
        order = np.lexsort((group, -score[t, group, o].astype(np.float64)))
        chosen[t, group[order[:n]], o] = 1
    return chosen


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 11), st.data())
def test_matches_sorting(seed, m, data):
    n = data.draw(st.integers(1, m - 1))
    rng = np.random.default_rng(seed)
    shape = (rng.integers(1, 4), rng.integers(1, 25), rng.integers(1, 5))
    # Few distinct values make ties; negative scores never count.
    score = rng.choice([-1.0, 0.0, 1e-30, 0.1, np.float32(0.1) + 1e-8, 0.5, 3.0], shape)
    score = score.astype(np.float32)
    effectual = score >= 0
    np.testing.assert_array_equal(
        select(score, (n, m)) * effectual, expected(score, n, m) * effectual
    )


def test_neighbouring_floats_keep_their_order():
    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    score = np.array([low, high, low, high], np.float32).reshape(1, 4, 1)
    np.testing.assert_array_equal(select(score, (2, 4)).ravel(), [0, 1, 0, 1])
    np.testing.assert_array_equal(select(score, (3, 4)).ravel(), [1, 1, 0, 1])


def test_ties_never_exceed_n():
    score = np.full((2, 23, 3), 0.7, np.float32)
    chosen = select(score, (3, 7))
    np.testing.assert_array_equal(chosen[0, :, 0], ([1] * 3 + [0] * 4) * 3 + [1, 1])


@pytest.mark.parametrize(("tightness", "count"), [(0.0, 5), (0.5, 3), (0.74, 2), (1.0, 1)])
def test_tightness_relaxes_the_limit(tightness, count):
    score = np.array([0.5, 1.0, 0.1, 0.75, 0.3, -2.0], np.float32).reshape(1, 6, 1)
    assert (select(score, (1, 6), tightness) * (score >= 0)).sum() == count


def test_zero_tightness_keeps_zero_scores_of_short_groups():
    assert np.isfinite(select(np.zeros((1, 3, 1), np.float32), (2, 10), 0.0)).all()


@pytest.mark.parametrize("pattern", [(0, 3), (3, 3), (4, 3), (1, 2, 3), "ab", 7])
def test_bad_patterns(pattern):
    with pytest.raises(ValueError, match="pattern"):
        patterns.check_pattern(pattern)

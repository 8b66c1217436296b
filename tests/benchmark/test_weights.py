"""The random filters are what they claim to be."""

import numpy as np
import pytest

from tf_signbin.benchmark.weights import WeightSpec, int8_filters
from tf_signbin.format import detect

SHAPE = (16, 3, 3, 70)


def filters(spec, seed=3):
    return int8_filters(np.random.default_rng(seed), SHAPE, spec)


@pytest.mark.parametrize("density", [0.02, 0.2, 0.36, 0.9, 1.0])
def test_signed_binary_has_one_sign_a_filter_and_the_density(density):
    weights = filters(WeightSpec(density=density))
    assert set(np.unique(weights)) <= {-127, 0, 127}
    assert all(len(np.unique(filter_[filter_ != 0])) == 1 for filter_ in weights)
    assert np.mean(weights != 0) == pytest.approx(density, abs=0.001)


@pytest.mark.parametrize(("n", "m"), [(3, 7), (2, 10), (1, 4)])
def test_pattern_holds_in_every_group(n, m):
    mask = filters(WeightSpec(pattern=(n, m))) != 0
    for start in range(0, SHAPE[3], m):
        assert mask[..., start : start + m].sum(axis=-1).max() <= n
    assert mask.mean() == pytest.approx(min(0.36, n / m), abs=0.01)


def test_pattern_and_density_that_exclude_each_other():
    with pytest.raises(ValueError, match=r"more than pattern 2:10 allows \(0\.20\)"):
        filters(WeightSpec(density=0.5, pattern=(2, 10)))


def test_background_gives_two_values_and_a_mean_near_zero():
    weights = filters(WeightSpec(background=True)).astype(float)
    assert all(len(np.unique(filter_)) == 2 for filter_ in weights)
    assert np.abs(weights.mean(axis=(1, 2, 3))).max() < 1


@pytest.mark.parametrize(
    ("kind", "detected"),
    [("binary", "two_valued"), ("ternary", "ternary"), ("signed_binary", "two_valued")],
)
def test_the_converter_detects_the_kind(kind, detected):
    assert detect(filters(WeightSpec(kind))).packed.kind == detected


def test_the_converter_leaves_dense_filters_alone():
    assert detect(filters(WeightSpec("dense"))).packed is None

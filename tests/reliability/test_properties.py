"""Hypothesis looks for a layer whose int8 result differs from TFLite's builtin reference kernel."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.delegate import models


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilated=st.booleans(),
    channels=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    regions=st.sampled_from([1, 1, 1, 2, 5]),
    extra=st.tuples(st.integers(0, 9), st.integers(0, 40)),
    batch=st.integers(1, 4),
    padding=st.sampled_from(["SAME", "VALID"]),
    density=st.sampled_from([0.0, 0.05, 0.36, 0.5, 0.95, 1.0]),
    pattern=st.sampled_from([(0, 0), (2, 10), (3, 7), (1, 4)]),
    kind=st.sampled_from(["two_valued", "two_valued", "ternary"]),
    extreme=st.sampled_from([None, None, -128, 127]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_int8_convolution(
    runner, kernel, stride, dilated, channels, regions, extra, batch, padding, density, pattern,
    kind, extreme, threads, seed,
):  # fmt: skip
    # The builtin kernel takes a stride or a dilation, not both.
    stride, dilation = ((1, 1), stride) if dilated else (stride, (1, 1))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [span + more for span, more in zip(spans, extra, strict=True)]
    in_channels = regions * max(1, channels[0] // regions)
    rng = np.random.default_rng(seed)
    layer = models.random_layer(
        rng, "int8", op="conv", shape=(channels[1], *kernel, in_channels), regions=regions,
        stride=stride, dilation=dilation, padding=padding, density=density, pattern=pattern,
        kind=kind, input_shape=(batch, *size, in_channels),
    )  # fmt: skip
    x = models.random_input(rng, layer)
    if extreme is not None:
        x[:] = extreme
    expected = runner.run_builtin_reference(models.one_layer_model(layer, packed=False), x)
    actual = runner.run(models.one_layer_model(layer, packed=True), x, num_threads=threads)
    np.testing.assert_array_equal(actual, expected, err_msg=layer.describe())

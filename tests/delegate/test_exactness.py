"""The delegate against TFLite's builtin reference kernels (int8) and NumPy in float64 (float32)."""

from __future__ import annotations

import numpy as np
import pytest

from tests.delegate import models

SEEDS = range(300)


@pytest.mark.parametrize("seed", SEEDS)
def test_int8_equals_builtin_reference(runner, seed):
    rng = np.random.default_rng(seed)
    layer = models.random_layer(rng, "int8")
    x = models.random_input(rng, layer)
    builtin = models.one_layer_model(layer, packed=False)
    expected = runner.run_builtin_reference(builtin, x)
    actual = runner.run(models.one_layer_model(layer, packed=True), x)
    np.testing.assert_array_equal(actual, expected, err_msg=f"seed {seed}: {layer.describe()}")


@pytest.mark.parametrize("seed", SEEDS)
def test_float32_is_close_to_float64(runner, seed):
    rng = np.random.default_rng(seed)
    layer = models.random_layer(rng, "float32")
    x = models.random_input(rng, layer)
    expected, size = models.float64_result(layer, x)
    actual = runner.run(models.one_layer_model(layer, packed=True), x)
    error = np.max(np.abs(actual - expected) / np.maximum(size, 1e-30), initial=0)
    assert error <= 1e-5, f"seed {seed}: {layer.describe()}: {error}"

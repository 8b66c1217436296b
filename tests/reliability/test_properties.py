"""Hypothesis looks for a layer whose result differs from TFLite's builtin kernel (int8, to the
bit) or from NumPy in float64 (float32, 1e-5 of the magnitudes that went in).

Each property runs some hundred configurations by default and thousands with the slow tests.
"""

from __future__ import annotations

import platform

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.delegate import models

_COMMON = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}
FAST, SLOW = settings(max_examples=200, **_COMMON), settings(max_examples=1200, **_COMMON)

_X86 = platform.machine() in ("x86_64", "AMD64")
KERNELS = [
    "auto", "auto", "table", "reference", *(["permute", "dense", "gemm", "row"] if _X86 else []),
]  # fmt: skip
ISAS = ["auto", "auto", "auto", "portable", *(["avx2"] if _X86 else [])]
CHANNELS = st.one_of(
    st.integers(1, 80), st.sampled_from([127, 128, 129, 255, 256, 257, 511, 512, 1000, 1024])
)
OPTIONS = st.fixed_dictionaries(
    {
        "kernel": st.sampled_from(KERNELS),
        "isa": st.sampled_from(ISAS),
        "group": st.sampled_from([0, 0, 0, 2, 5, 8]),
        "num_threads": st.integers(1, 3),
    }
)
WEIGHTS = {
    "density": st.sampled_from([0.0, 0.02, 0.36, 0.5, 0.95, 1.0]),
    "pattern": st.sampled_from([(0, 0), (2, 10), (3, 7), (1, 4)]),
    "kind": st.sampled_from(["two_valued", "two_valued", "ternary"]),
}
CONV = {
    "kernel": st.tuples(st.integers(1, 7), st.integers(1, 7)),
    "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
    "dilated": st.booleans(),
    "channels": st.tuples(CHANNELS, CHANNELS),
    "regions": st.sampled_from([1, 1, 1, 2, 5]),
    "extra": st.tuples(st.integers(0, 9), st.integers(0, 40)),
    "batch": st.integers(1, 4),
    "padding": st.sampled_from(["SAME", "VALID"]),
    **WEIGHTS,
}
EXTREME = st.sampled_from([None, None, -128, 127])
SEED = st.integers(0, 2**32 - 1)
# Multiply-adds of a layer: the reference kernels take some 10 ns for each.
_MOST = 20_000_000


def conv_layer(dtype: str, seed: int, config: dict) -> tuple[models.Layer, np.ndarray]:
    """The layer that hypothesis describes, and its input."""
    # The builtin kernel takes a stride or a dilation, not both.
    stride = config["stride"]
    stride, dilation = ((1, 1), stride) if config["dilated"] else (stride, (1, 1))
    kernel = config["kernel"]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [span + more for span, more in zip(spans, config["extra"], strict=True)]
    in_channels = config["regions"] * max(1, config["channels"][0] // config["regions"])
    out_channels = config["channels"][1]
    outputs = size[0] * size[1] * out_channels // (stride[0] * stride[1])
    assume(config["batch"] * outputs * kernel[0] * kernel[1] * in_channels < _MOST)
    rng = np.random.default_rng(seed)
    layer = models.random_layer(
        rng, dtype, op="conv", shape=(out_channels, *kernel, in_channels),
        regions=config["regions"], stride=stride, dilation=dilation, padding=config["padding"],
        density=config["density"], pattern=config["pattern"], kind=config["kind"],
        input_shape=(config["batch"], *size, in_channels),
    )  # fmt: skip
    return layer, models.random_input(rng, layer)


def fc_layer(dtype: str, seed: int, config: dict) -> tuple[models.Layer, np.ndarray]:
    rng = np.random.default_rng(seed)
    in_channels, out_channels = config["channels"]
    layer = models.random_layer(
        rng, dtype, op="fc", shape=(out_channels, 1, 1, in_channels), regions=1,
        density=config["density"], pattern=config["pattern"], kind=config["kind"],
        input_shape=(config["batch"], in_channels),
    )  # fmt: skip
    return layer, models.random_input(rng, layer)


def run(runner, layer: models.Layer, x: np.ndarray, options: dict) -> np.ndarray:
    """Rejects options that no kernel has; the delegate says so and never takes another."""
    try:
        return runner.run(models.one_layer_model(layer, packed=True), x, **options)
    except (RuntimeError, ValueError) as error:
        # The interpreter's error, or the loader's where this CPU lacks the instruction set.
        assume("no kernel runs this layer" not in str(error))
        assume("is not available" not in str(error))
        raise


def check_int8(runner, layer, x, extreme, options) -> None:
    if extreme is not None:
        x[:] = extreme
    expected = runner.run_builtin_reference(models.one_layer_model(layer, packed=False), x)
    actual = run(runner, layer, x, options)
    np.testing.assert_array_equal(actual, expected, err_msg=f"{layer.describe()} {options}")


def check_float32(runner, layer, x, options) -> None:
    expected, size = models.float64_result(layer, x)
    actual = run(runner, layer, x, options)
    wrong = np.abs(actual - expected) > 1e-5 * size + 1e-30
    assert not wrong.any(), f"{layer.describe()} {options}"


def _int8_convolution(runner, extreme, options, seed, **config):
    check_int8(runner, *conv_layer("int8", seed, config), extreme, options)


def _int8_fully_connected(runner, extreme, options, seed, **config):
    check_int8(runner, *fc_layer("int8", seed, config), extreme, options)


def _float32_convolution(runner, options, seed, **config):
    check_float32(runner, *conv_layer("float32", seed, config), options)


def _float32_fully_connected(runner, options, seed, **config):
    check_float32(runner, *fc_layer("float32", seed, config), options)


FC = {"channels": st.tuples(CHANNELS, CHANNELS), "batch": st.integers(1, 6), **WEIGHTS}
PROPERTIES = {
    "int8_convolution": (_int8_convolution, {"extreme": EXTREME, **CONV}),
    "int8_fully_connected": (_int8_fully_connected, {"extreme": EXTREME, **FC}),
    "float32_convolution": (_float32_convolution, CONV),
    "float32_fully_connected": (_float32_fully_connected, FC),
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_property(name, runner):
    _hold(name, runner, FAST)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_property_at_length(name, runner):
    _hold(name, runner, SLOW)


def _hold(name, runner, effort) -> None:
    check, arguments = PROPERTIES[name]

    @effort
    @given(options=OPTIONS, seed=SEED, **arguments)
    def holds(**drawn):
        check(runner, **drawn)

    holds()

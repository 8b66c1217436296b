"""Quantizers against float64 NumPy, and against small cases written by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.train.reference import (
    alpha,
    regions,
    signed_binary,
    signed_binary_mask,
    signs,
    surrogate,
)
from tf_signbin.train import BinaryQuantizer, SignedBinaryQuantizer, TernaryQuantizer
from tf_signbin.train.keras2.legacy_keras import keras, tf
from tf_signbin.train.keras2.weights import TfmotQuantizer

KERNELS = {"dense": (11, 6), "conv1d": (3, 8, 5), "conv2d": (3, 3, 10, 7), "one": (1, 1, 4, 1)}


def apply(quantizer, kernel):
    """Quantized kernel, gradients, the upstream gradient, and the layer that owns the variables."""
    layer = keras.layers.Layer()
    quantizer = TfmotQuantizer(quantizer)
    variables = quantizer.build(kernel.shape, "kernel", layer)
    latent = tf.Variable(kernel)
    upstream = np.random.default_rng(1).normal(size=kernel.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        q = quantizer(latent, True, variables)
        loss = tf.reduce_sum(q * upstream)
    gradients = tape.gradient(loss, [latent, *layer.trainable_variables])
    return q.numpy(), [g.numpy() for g in gradients], upstream, layer


OPTIONS = [
    {"scale": scale, "background": background, "pattern": pattern, "int8_grid": grid}
    for scale, background, pattern, grid in itertools.product(
        ("none", "mean", "learned"), ("none", "centered", "learned"), (None, (2, 3)), (False, True)
    )
]


@pytest.mark.parametrize("shape", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_signed_binary_forward(shape, options, rng):
    kernel = rng.normal(0, 0.5, shape).astype(np.float32)
    q, *_ = apply(SignedBinaryQuantizer(delta=0.1, **options), kernel)
    expected = signed_binary(
        regions(kernel),
        0.1,
        signs(shape[-1], 1, 0.5),
        options["scale"],
        options["background"],
        options["pattern"],
        options["int8_grid"],
    ).reshape(shape)
    np.testing.assert_allclose(q, expected, rtol=2e-6, atol=1e-7)
    for o in range(shape[-1]):
        assert len(np.unique(q[..., o])) <= 2


@pytest.mark.parametrize("estimator", ["ste", "ede", "approx_sign"])
@pytest.mark.parametrize("scale", ["none", "mean"])
@pytest.mark.parametrize("background", ["none", "centered"])
@pytest.mark.parametrize(
    "options",
    [{}, {"region_channels": 2}, {"pattern": (2, 4)}, {"region_channels": 3, "int8_grid": True}],
    ids=str,
)
def test_signed_binary_gradient(estimator, scale, background, options, rng):
    kernel = rng.normal(0, 0.8, (3, 3, 6, 5)).astype(np.float32)
    quantizer = SignedBinaryQuantizer(
        delta=0.1, estimator=estimator, scale=scale, background=background, **options
    )
    _, (gradient,), upstream, _ = apply(quantizer, kernel)
    w = regions(kernel, options.get("region_channels"))
    beta = signs(5, w.shape[1], 0.5)
    threshold = 0.1 * np.abs(w).max((0, 2), keepdims=True)
    slope = surrogate(estimator, w, w - beta[None, :, None] * threshold)
    if scale == "mean":
        mask = signed_binary_mask(w, 0.1, beta, options.get("pattern"))
        slope *= alpha(w, mask)[None, :, None]
    np.testing.assert_allclose(gradient, slope.reshape(kernel.shape) * upstream, 1e-5, 1e-6)


@pytest.mark.parametrize("grid", [False, True])
def test_learned_scale_and_background_gradients(grid, rng):
    """dL/dgamma = Σ g q/gamma and dL/dc = -β alpha Σ g per filter (gamma starts at 1)."""
    kernel = rng.normal(0, 0.5, (3, 3, 6, 4)).astype(np.float32)
    quantizer = SignedBinaryQuantizer(scale="learned", background="learned", int8_grid=grid)
    q, (_, d_gamma, d_background), upstream, layer = apply(quantizer, kernel)
    assert [v.name.split("/")[-1] for v in layer.trainable_variables] == [
        "kernel_gamma:0",
        "kernel_background:0",
    ]
    np.testing.assert_allclose(d_gamma.ravel(), (q * upstream).sum((0, 1, 2)), 1e-4, 1e-5)
    w, beta = regions(kernel), signs(4, 1, 0.5)
    a = alpha(w, signed_binary_mask(w, 0.05, beta))
    expected = -(beta * a).ravel() * upstream.sum((0, 1, 2))
    np.testing.assert_allclose(d_background.ravel(), expected, 1e-4, 1e-5)


def test_signed_binary_by_hand():
    """Two filters of four weights; delta 0.25, so Δ = 0.25 and 0.5, which are effectual."""
    kernel = np.array([[1.0, 0.5], [0.25, -2.0], [0.24, -0.5], [-0.5, 0.3]], np.float32)
    q, (gradient,), upstream, _ = apply(SignedBinaryQuantizer(delta=0.25), kernel)
    np.testing.assert_array_equal(q, [[1, 0], [1, -1], [0, -1], [0, 0]])
    # |W| = 2 is outside the clip; zeroed weights get the full gradient.
    np.testing.assert_array_equal(gradient, upstream * [[1, 1], [1, 0], [1, 1], [1, 1]])


def test_centered_on_the_int8_grid_by_hand():
    """One effectual weight of four: values 3/4 and -1/4, so 127 and round(-42.33) = -42."""
    kernel = np.array([[0.8, 0.1], [-0.1, -0.9], [-0.2, 0.1], [-0.5, 0.2]], np.float32)
    q, *_ = apply(SignedBinaryQuantizer(background="centered", int8_grid=True), kernel)
    np.testing.assert_array_equal(
        np.round(q / 0.75 * 127), [[127, 42], [-42, -127], [-42, 42], [-42, 42]]
    )
    np.testing.assert_allclose(q[:, 0], 0.75 * np.array([127, -42, -42, -42]) / 127, 1e-6)


def test_filters_of_zeros():
    """Δ = 0 makes every weight effectual; a pattern still allows n of m only."""
    zeros = np.zeros((1, 1, 8, 2), np.float32)
    q, *_ = apply(SignedBinaryQuantizer(), zeros)
    np.testing.assert_array_equal(q[0, 0], np.tile([[1, -1]], (8, 1)))
    q, *_ = apply(SignedBinaryQuantizer(pattern=(2, 5)), zeros)
    np.testing.assert_array_equal(q[0, 0, :, 0], [1, 1, 0, 0, 0, 1, 1, 0])
    q, *_ = apply(SignedBinaryQuantizer(background="centered", int8_grid=True), zeros)
    np.testing.assert_array_equal(q, zeros)


def test_no_effectual_weight():
    kernel = np.full((3, 2), -0.5, np.float32)
    for background in ("none", "centered"):
        quantizer = SignedBinaryQuantizer(
            positive_share=1.0, scale="mean", background=background, int8_grid=True
        )
        q, (gradient,), *_ = apply(quantizer, kernel)
        np.testing.assert_array_equal(q, 0 * kernel)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_positive_share(share):
    kernel = np.tile(np.array([[0.5], [-0.5]], np.float32), (1, 8))
    q, *_ = apply(SignedBinaryQuantizer(positive_share=share), kernel)
    np.testing.assert_array_equal(q.sum(0), [1] * round(8 * share) + [-1] * (8 - round(8 * share)))


@pytest.mark.parametrize("region_channels", [2, 4])
def test_regions(region_channels, rng):
    kernel = rng.normal(0, 0.5, (3, 3, 8, 6)).astype(np.float32)
    quantizer = SignedBinaryQuantizer(
        region_channels=region_channels, scale="mean", background="centered", pattern=(2, 3)
    )
    q, *_ = apply(quantizer, kernel)
    beta = signs(6, 8 // region_channels, 0.5)
    expected = signed_binary(
        regions(kernel, region_channels), 0.05, beta, "mean", "centered", (2, 3)
    ).reshape(kernel.shape)
    np.testing.assert_allclose(q, expected, rtol=2e-6, atol=1e-7)
    assert set(beta.mean(1)) == {0.0}, "every block holds as many positive regions as negative"
    assert (np.abs(beta.mean(0)) < 1).all(), "every filter holds both signs"


def test_int8_grid_gives_integers(rng):
    """Dividing by max|value|/127 per filter, as TFLite does, finds integers."""
    kernel = rng.normal(0, 0.5, (3, 3, 16, 12)).astype(np.float32)
    for region_channels, scale in itertools.product((None, 4), ("none", "mean")):
        quantizer = SignedBinaryQuantizer(
            background="centered", scale=scale, region_channels=region_channels, int8_grid=True
        )
        q, *_ = apply(quantizer, kernel)
        folded = q * rng.normal(0, 3, 12).astype(np.float32)  # a BatchNorm's factor
        integers = folded / (np.abs(folded).max((0, 1, 2)) / np.float32(127))
        np.testing.assert_allclose(integers, np.round(integers), atol=1e-3)


@pytest.mark.parametrize("estimator", ["ste", "ede"])
def test_standardized(estimator, rng):
    """q is that of v = (W - mean W) / std W; dL/dW = (h - mean h - v mean(h v)) / std W, h = dL/dv.

    The second is the derivative of the standardisation, per filter of n weights.
    """
    kernel = rng.normal(0.3, 0.1, (3, 3, 6, 4)).astype(np.float32)
    quantizer = SignedBinaryQuantizer(standardize=True, delta=0.1, estimator=estimator)
    q, (gradient,), upstream, _ = apply(quantizer, kernel)
    flat = kernel.astype(np.float64).reshape(-1, 4)
    v = (flat - flat.mean(0)) / flat.std(0)
    w, beta = regions(v.reshape(kernel.shape)), signs(4, 1, 0.5)
    expected = signed_binary(w, 0.1, beta).reshape(kernel.shape)
    np.testing.assert_array_equal(q, expected)
    threshold = 0.1 * np.abs(w).max((0, 2), keepdims=True)
    slope = surrogate(estimator, w, w - beta[None, :, None] * threshold)
    h = slope.reshape(-1, 4) * upstream.reshape(-1, 4)
    expected = (h - h.mean(0) - v * (h * v).mean(0)) / flat.std(0)
    np.testing.assert_allclose(gradient.reshape(-1, 4), expected, 1e-3, 1e-4)


@pytest.mark.parametrize("scale", ["none", "mean", "learned"])
@pytest.mark.parametrize("estimator", ["ste", "ede", "approx_sign"])
def test_binary(scale, estimator, rng):
    kernel = rng.normal(0, 0.8, (3, 3, 6, 5)).astype(np.float32)
    kernel[0, 0, 0, 0] = 0
    q, (gradient, *_), upstream, _ = apply(
        BinaryQuantizer(scale=scale, estimator=estimator), kernel
    )
    a = np.ones(5) if scale == "none" else np.abs(kernel.astype(np.float64)).mean((0, 1, 2))
    np.testing.assert_allclose(q, np.where(kernel >= 0, a, -a), rtol=1e-6)
    slope = surrogate(estimator, kernel, kernel)
    np.testing.assert_allclose(gradient, a * slope * upstream, 1e-5, 1e-6)


@pytest.mark.parametrize("threshold", ["mean", "max", "fixed"])
@pytest.mark.parametrize("scale", ["none", "mean"])
@pytest.mark.parametrize("estimator", ["ste", "ede"])
def test_ternary(threshold, scale, estimator, rng):
    kernel = rng.normal(0, 0.8, (3, 3, 6, 5)).astype(np.float32)
    quantizer = TernaryQuantizer(delta=0.3, threshold=threshold, scale=scale, estimator=estimator)
    q, (gradient,), upstream, _ = apply(quantizer, kernel)
    w = kernel.astype(np.float64)
    absolute = np.abs(w)
    limit = {"mean": absolute.mean((0, 1, 2)), "max": absolute.max((0, 1, 2)), "fixed": np.ones(5)}
    mask = absolute > 0.3 * limit[threshold]
    a = (absolute * mask).sum((0, 1, 2)) / mask.sum((0, 1, 2)) if scale == "mean" else np.ones(5)
    np.testing.assert_allclose(q, a * np.sign(w) * mask, rtol=1e-6)
    slope = surrogate(estimator, w, w - np.sign(w) * 0.3 * limit[threshold])
    np.testing.assert_allclose(gradient, a * slope * upstream, 1e-5, 1e-6)


def test_twn_by_hand():
    """mean|W| = 0.5, Δ = 0.35, effectual 0.8, -0.9 -> alpha = 0.85."""
    kernel = np.array([[0.8], [-0.9], [0.3], [0.0]], np.float32)
    q, *_ = apply(TernaryQuantizer(), kernel)
    np.testing.assert_allclose(q, [[0.85], [-0.85], [0], [0]], rtol=1e-6)


@pytest.mark.parametrize(
    "quantizer",
    [
        SignedBinaryQuantizer(0.1, 0.25, "centered", (2, 10), scale="mean", estimator="ede"),
        SignedBinaryQuantizer(region_channels=4, standardize=True, int8_grid=True),
        BinaryQuantizer(scale="learned"),
        TernaryQuantizer(0.05, "max", "none"),
    ],
)
def test_config_round_trip(quantizer):
    copy = type(quantizer).from_config(quantizer.get_config())
    assert copy == quantizer
    assert hash(copy) == hash(quantizer)
    assert copy is not quantizer
    assert copy != quantizer.with_options(scale="none" if quantizer.scale != "none" else "mean")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": 1.5}, "delta=1.5"),
        ({"positive_share": 2}, "positive_share=2"),
        ({"background": "mean"}, "background='mean'.*'centered'"),
        ({"pattern": (3, 3)}, r"pattern=\(3, 3\)"),
        ({"pattern": 5}, "pattern must be None or two integers"),
        ({"scale": "max"}, "scale='max'"),
        ({"estimator": "magic"}, "estimator='magic'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        SignedBinaryQuantizer(**options)


def test_region_must_divide_channels():
    with pytest.raises(ValueError, match="region_channels=3 does not divide the 8 input channels"):
        apply(SignedBinaryQuantizer(region_channels=3), np.zeros((3, 3, 8, 2), np.float32))

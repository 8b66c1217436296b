"""Trained models through TensorFlow's own converter, run by TFLite's reference kernels."""

from __future__ import annotations

import numpy as np
import pytest

import tf_signbin
from tests.litert_reference import Reference
from tests.train import models
from tf_signbin.convert.stock import stock_model
from tf_signbin.train import BinaryQuantizer, SignedBinaryQuantizer, TernaryQuantizer
from tf_signbin.train.keras2.configs import SignedBinaryQuantizeConfig
from tf_signbin.train.keras2.legacy_keras import tfmot_keras


def holds_our_quantizer(layer):
    return isinstance(getattr(layer, "quantize_config", None), SignedBinaryQuantizeConfig)


def quantized_kernels(model):
    """Kernels as the layers use them, [..., Ci, Co]."""
    kernels = []
    for layer in filter(holds_our_quantizer, model.layers):
        ((latent, quantizer, variables),) = layer._weight_vars
        kernels.append(quantizer(latent, False, variables).numpy())
    return kernels


@pytest.fixture(autouse=True)
def free_graphs():
    yield
    models.keras.backend.clear_session()


def matching(filters, kernel):
    """The converted filter with the kernel's shape and zero pattern up to each filter's factor."""
    rows = kernel.reshape(-1, kernel.shape[-1]).T
    for weights, _ in filters:
        flat = weights.reshape(weights.shape[0], -1).astype(np.float64)
        if flat.shape == rows.shape:
            factor = (flat * rows).sum(1) / np.maximum((rows * rows).sum(1), 1e-30)
            if np.allclose(flat, factor[:, None] * rows, atol=1e-3 * np.abs(flat).max()):
                return weights
    raise AssertionError(f"no converted filter is a scaled {kernel.shape}")


# With int8 every kind; with float32 those whose graph differs.
FAST = [("residual", "int8"), ("conv1d", "int8"), ("separable", "int8"), ("dense", "float32"),
        ("sequence", "int8")]  # fmt: skip
SLOW = [(kind, "int8") for kind in models.ALL] + [("residual", "float32"), ("conv1d", "float32")]
CASES = [*FAST, *(pytest.param(*c, marks=pytest.mark.slow) for c in SLOW if c not in FAST)]


@pytest.mark.parametrize(("kind", "activations"), CASES)
def test_every_layer_kind_converts(kind, activations, rng):
    model = models.ALL[kind]()
    quantized = models.train(tf_signbin.quantize_model(model, activations=activations), rng)
    reference = Reference(stock_model(quantized, activations))
    kernels = quantized_kernels(quantized)
    assert kernels
    for kernel in kernels:
        weights = matching(reference.filters(), kernel)
        assert weights.dtype == activations
        rows = weights.reshape(weights.shape[0], -1)
        assert all(len(np.unique(row)) <= 2 for row in rows)
        if activations == "int8":
            assert set(np.abs(rows.astype(int)).max(1)) <= {0, 127}
    x = models.data(quantized, rng)
    expected = quantized(x).numpy()
    if activations == "float32":
        np.testing.assert_allclose(reference.predict(x), expected, rtol=1e-4, atol=1e-4)
    else:
        # Fake quantization in float32 and integer kernels may round a value differently.
        steps = np.abs(reference.predict(x) - expected) / reference.output_scale()
        assert steps.max() <= 3.01, steps.max()


@pytest.mark.slow
def test_agrees_with_tflite_as_well_as_tfmot(rng):
    """Our int8 scheme folds to the same operators as tfmot's and differs no more from TFLite."""
    operators, differences = [], []
    for quantize in (
        tfmot_keras.quantize_model,
        lambda m: tf_signbin.quantize_model(m, activations="int8"),
    ):
        quantized = models.train(quantize(models.residual()), rng, steps=4)
        x = models.data(quantized, rng, 64)
        reference = Reference(stock_model(quantized, "int8"))
        error = np.abs(reference.predict(x) - quantized(x).numpy())
        operators.append(reference.operator_names())
        differences.append(error.mean() / reference.output_scale())
    assert operators[1] == operators[0]
    assert operators[1] == {"QUANTIZE", "CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED", "DEQUANTIZE"}
    assert differences[1] <= differences[0] + 0.25, "mean difference in int8 steps"


QUANTIZERS = [
    SignedBinaryQuantizer(),
    SignedBinaryQuantizer(background="learned", scale="learned"),
    SignedBinaryQuantizer(background="centered", pattern=(2, 5), scale="mean"),
    SignedBinaryQuantizer(background="centered", standardize=True, delta=0.2),
    SignedBinaryQuantizer(positive_share=0.0, estimator="ede"),
    SignedBinaryQuantizer(region_channels=4, scale="mean", background="centered"),
    BinaryQuantizer(scale="mean"),
    TernaryQuantizer(),
]


@pytest.mark.parametrize("activations", [pytest.param("float32", marks=pytest.mark.slow), "int8"])
def test_weights_of_every_quantizer_survive(activations, rng):
    """int8: exactly round(127 w / max|w|) of the trained weights; float: w times one factor.

    Each quantizer has one layer. BatchNorm factors of both signs flip filters.
    """
    image = models.keras.Input((8, 8, 8))
    x = image
    for i in range(len(QUANTIZERS)):
        x = models.layers.ReLU()(models.conv_norm(x, 8 + i))
        x = models.layers.Conv2D(8, 1, name=f"dense_{i}")(x)
    model = models.keras.Model(image, models.layers.Dense(5)(models.layers.Flatten()(x)))
    for layer in model.layers:
        if isinstance(layer, models.layers.BatchNormalization):
            layer.gamma.assign(rng.normal(0, 1, layer.gamma.shape))
    spare = iter(QUANTIZERS)
    quantized = tf_signbin.quantize_model(
        model,
        activations=activations,
        quantizer=lambda layer: next(spare),
        keep_dense=lambda layer: layer.name.startswith("dense"),
    )
    reference = Reference(stock_model(models.train(quantized, rng), activations))
    kernels = quantized_kernels(quantized)
    assert len(kernels) == len(QUANTIZERS)
    for kernel in kernels:
        weights = matching(reference.filters(), kernel)
        if activations == "int8":
            rows = kernel.reshape(-1, kernel.shape[-1]).T.astype(np.float64)
            largest = np.maximum(np.abs(rows).max(1, keepdims=True), 1e-30)
            expected = np.round(127 * rows / largest)
            flat = weights.reshape(weights.shape[0], -1)
            sign = np.sign((expected * flat).sum(1, keepdims=True))
            np.testing.assert_array_equal(flat, sign * expected)


def test_filters_without_effectual_weights_convert(rng):
    """Such a filter is all zeros; its channel of the int8 constant too."""
    quantized = tf_signbin.quantize_model(models.residual(), activations="int8")
    models.train(quantized, rng)
    kernel = next(layer for layer in quantized.layers if holds_our_quantizer(layer)).layer.kernel
    values = kernel.numpy()
    values[..., 0], values[..., -1] = -0.5, 0.5  # β = +1 first, -1 last
    kernel.assign(values)
    filters = [w for w, _ in Reference(stock_model(quantized, "int8")).filters()]
    shape = (values.shape[3], *values.shape[:3])
    assert any(w.shape == shape and not w[0].any() and not w[-1].any() for w in filters)


def test_logits_without_spread_run(rng):
    """As those of a deep network before training: softmax refuses scales that are too small."""
    keras = models.keras
    image = keras.Input((6,))
    small = keras.initializers.Constant(1e-12)
    hidden = keras.layers.Dense(16)(image)
    logits = keras.layers.Dense(4, kernel_initializer=small)(hidden)
    model = keras.Model(image, keras.layers.Softmax()(logits))
    quantized = tf_signbin.quantize_model(model, activations="int8")
    x = rng.uniform(-1, 1, (2, 6)).astype(np.float32)
    models.fit_ranges(quantized, x)
    found = Reference(stock_model(quantized)).predict(x)
    np.testing.assert_allclose(found, 0.25, atol=1 / 256)

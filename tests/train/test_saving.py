"""Quantized models through files: the same outputs, variables and further training."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tf_signbin
from tests.train import models
from tf_signbin.train import BinaryQuantizer, SignedBinaryQuantizer, TernaryQuantizer
from tf_signbin.train.keras2.legacy_keras import keras, tf

# Where their arrays lie in memory decides in which order TensorFlow's AVX-512 kernels add, so equal
# models predict the same but for that.
ROUNDING = 1e-6
QUANTIZER = SignedBinaryQuantizer(
    background="learned", scale="learned", pattern=(3, 7), estimator="ede"
)


slow = pytest.mark.slow


def every_kind():
    """A function that gives the layers of a model the three kinds of weights in turn."""
    kinds = itertools.cycle(
        (
            QUANTIZER,
            BinaryQuantizer(scale="learned", estimator="ede"),
            TernaryQuantizer(threshold="max", scale="mean"),
        )
    )
    return lambda layer: next(kinds)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""], ids=["keras", "h5", "saved_model"])
@pytest.mark.parametrize(
    ("kind", "activations"),
    [
        ("residual", "int8"),
        pytest.param("dense", "int8", marks=slow),
        pytest.param("residual", "float32", marks=slow),
        pytest.param("sequence", "int8", marks=slow),
        pytest.param("separable", "float32", marks=slow),
        pytest.param("separable1d", "int8", marks=slow),
    ],
)
def test_reload(suffix, kind, activations, tmp_path, rng):
    model = tf_signbin.quantize_model(
        models.ALL[kind](), activations=activations, quantizer=every_kind()
    )
    models.train(model, rng)
    for kernel in tf_signbin.quantized_kernels(model):
        if "delta" in kernel.variables:
            kernel.variables["delta"].assign(0.15)  # as a schedule does
    path = str(tmp_path / f"model{suffix}")
    model.save(path)
    with tf_signbin.quantize_scope():
        loaded = keras.models.load_model(path)
    x = models.data(model, rng)
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=0, atol=ROUNDING
    )
    if suffix:  # SavedModels come back without the classes' methods
        kernels = tf_signbin.quantized_kernels(loaded)
        assert [k.quantizer for k in kernels] == [
            k.quantizer for k in tf_signbin.quantized_kernels(model)
        ]
        deltas = {float(k.variables["delta"]) for k in kernels if "delta" in k.variables}
        assert deltas == {float(np.float32(0.15))}
    models.train(loaded, rng)
    models.train(model, rng)
    assert [w.shape for w in loaded.get_weights()] == [w.shape for w in model.get_weights()]


def test_weights_file_and_clone(tmp_path, rng):
    def fresh():
        return tf_signbin.quantize_model(models.residual(), quantizer=QUANTIZER)

    model = models.train(fresh(), rng)
    x = models.data(model, rng)
    expected = model.predict(x, verbose=0)
    for suffix in (".weights.h5", ".ckpt"):
        other = fresh()
        model.save_weights(str(tmp_path / f"weights{suffix}"))
        other.load_weights(str(tmp_path / f"weights{suffix}"))
        np.testing.assert_allclose(other.predict(x, verbose=0), expected, rtol=0, atol=ROUNDING)
    with tf_signbin.quantize_scope():
        clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(clone.predict(x, verbose=0), expected, rtol=0, atol=ROUNDING)


def test_calls_leave_the_wrapped_layer_as_it_was(rng):
    model = tf_signbin.quantize_model(models.residual(), activations="int8")
    models.train(model, rng)
    for kernel in tf_signbin.quantized_kernels(model):
        assert kernel.layer.kernel is kernel.latent
        assert isinstance(kernel.latent, tf.Variable)
        assert any(kernel.latent is v for v in kernel.layer.trainable_weights)


def test_loading_another_configuration_is_an_error(tmp_path):
    model = tf_signbin.quantize_model(models.dense(), quantizer=SignedBinaryQuantizer())
    other = tf_signbin.quantize_model(models.dense(), quantizer=QUANTIZER)
    model.save_weights(str(tmp_path / "w.weights.h5"))
    with pytest.raises(ValueError, match="quantization variables"):
        other.load_weights(str(tmp_path / "w.weights.h5"))

"""The rules import no framework, and the front end for Keras 2 leaves the process as it was."""

from __future__ import annotations

import numpy as np
import pytest

import tf_signbin
from tests.fresh_process import run
from tests.train import models
from tf_signbin.train import BinaryQuantizer, SignedBinaryQuantizer, TernaryQuantizer, api
from tf_signbin.train.keras2.weights import OPS
from tf_signbin.train.rules.namespace import NUMPY

FRAMEWORKS = ("tensorflow", "tensorflow_model_optimization", "keras", "tf_keras", "jax", "torch")


def test_rules_and_public_names_import_no_framework():
    output = run(f"""
        import importlib, pkgutil, sys
        import tf_signbin, tf_signbin.train
        from tf_signbin.train import rules
        for module in pkgutil.iter_modules(rules.__path__, rules.__name__ + "."):
            importlib.import_module(module.name)
        tf_signbin.SignedBinaryQuantizer(), tf_signbin.EDESchedule(3), tf_signbin.quantize_model
        print([name for name in {FRAMEWORKS} if name in sys.modules])
    """)
    assert output.strip() == "[]"


def test_keras_2_trains_and_converts_where_tf_keras_is_keras_3():
    """Without an environment variable, in a process whose tf.keras is Keras 3 before and after."""
    output = run("""
        import os
        import numpy as np, tensorflow as tf, tf_keras, tf_signbin
        before = tf.keras.Model.__module__
        model = tf_keras.Sequential([
            tf_keras.layers.Conv2D(8, 3, input_shape=(8, 8, 4)),
            tf_keras.layers.Conv2D(8, 3, activation="relu"),
            tf_keras.layers.Flatten(), tf_keras.layers.Dense(3)])
        model = tf_signbin.quantize_model(model, activations="int8")
        model.compile("adam", "mse")
        x = np.random.default_rng(0).normal(size=(16, 8, 8, 4)).astype("float32")
        model.fit(x, np.zeros((16, 3)), verbose=0, callbacks=[tf_signbin.LayerStatistics()])
        flatbuffer = tf_signbin.convert(model)
        rows = tf_signbin.inspect_model(flatbuffer).layers
        packed = sum(row.status == "already packed" for row in rows)
        print(before.split(".")[0], tf.keras.Model.__module__.split(".")[0],
              "TF_USE_LEGACY_KERAS" in os.environ, packed)
    """)
    assert output.split() == ["keras", "keras", "False", "1"]


@pytest.mark.parametrize(
    "quantizer",
    [
        SignedBinaryQuantizer(0.1, 0.25, "centered", (2, 5), scale="mean", estimator="ede"),
        SignedBinaryQuantizer(background="learned", scale="learned", int8_grid=True),
        SignedBinaryQuantizer(region_channels=4, scale="mean", background="centered"),
        BinaryQuantizer(scale="mean", estimator="approx_sign"),
        TernaryQuantizer(),
    ],
    ids=lambda q: q.kind,
)
def test_numpy_and_tensorflow_compute_the_same(quantizer, rng):
    kernel = rng.normal(0, 0.5, (3, 3, 8, 6)).astype(np.float32)
    variables = {
        spec.name: np.full(spec.shape, spec.initial, np.float32)
        for spec in quantizer.variables(kernel.shape)
    }
    tensors = {name: OPS.convert_to_tensor(value) for name, value in variables.items()}
    with_numpy = quantizer.quantize(NUMPY, kernel, variables)
    with_tensorflow = quantizer.quantize(OPS, OPS.convert_to_tensor(kernel), tensors)
    assert with_numpy.dtype == np.float32
    np.testing.assert_allclose(with_numpy, with_tensorflow, rtol=1e-6, atol=1e-7)
    w = quantizer.latent(NUMPY, kernel)
    mask = quantizer.mask(OPS, quantizer.latent(OPS, OPS.convert_to_tensor(kernel)), tensors)
    np.testing.assert_array_equal(quantizer.mask(NUMPY, w, variables), mask)


def test_the_class_of_the_model_decides():
    with pytest.raises(TypeError, match=r"quantize_model needs a Keras model.*not str"):
        tf_signbin.quantize_model("model.keras")
    model = models.dense()
    assert not api.has_fake_quantized_activations(model)
    assert not tf_signbin.quantized_kernels(model)
    assert not api.has_fake_quantized_activations(tf_signbin.quantize_model(model))
    quantized = tf_signbin.quantize_model(model, activations="int8")
    assert api.has_fake_quantized_activations(quantized)
    outer = models.keras.Sequential([quantized, models.layers.Dense(2)])
    assert api.has_fake_quantized_activations(outer)
    assert len(tf_signbin.quantized_kernels(outer)) == 2

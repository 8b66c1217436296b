"""A network that does not convert is known before it is trained."""

from __future__ import annotations

import warnings

import pytest
import tf_keras
from tf_keras import layers

import tf_signbin
from tf_signbin.convert import ConversionError
from tf_signbin.train.keras2.legacy_keras import tf


class Unconvertible(layers.Layer):
    """An operator that TensorFlow Lite has not."""

    def call(self, x):
        return tf.linalg.expm(x)


def test_untrained_network_converts():
    model = tf_signbin.quantize_model(
        tf_keras.Sequential(
            [layers.Dense(32, input_shape=(24,)), layers.ReLU(), layers.Dense(3, name="head")]
        )
    )
    report = tf_signbin.check_conversion(model)
    assert [layer.status for layer in report.layers] == ["packed", "dense"]


def test_quantize_model_warns_of_layers_that_do_not_convert():
    """By default, before training; what converts is no reason to warn."""
    square = tf_keras.Input((8, 8))
    x = layers.Dense(8, name="first")(square)
    x = layers.Lambda(lambda x: tf.math.cumsum(x, axis=1), name="fine")(x) * 2.0 + tf.sin(x)
    convertible = tf_keras.Model(square, layers.Dense(3)(layers.Flatten()(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tf_signbin.quantize_model(convertible, keep_dense=[])
    x = Unconvertible(name="mine")(x)
    model = tf_keras.Model(square, layers.Dense(3)(layers.Flatten()(x)))
    with pytest.warns(UserWarning, match=r"convert will fail .*'mine'.*") as caught:
        tf_signbin.quantize_model(model, keep_dense=[])
    assert "MatrixSolve" in str(caught[0].message) or "tf." in str(caught[0].message)


def test_operator_without_a_kernel_is_named():
    square = tf_keras.Input((8, 8))
    x = layers.Flatten()(Unconvertible()(square))
    model = tf_keras.Model(square, layers.Dense(3)(x), name="mine")
    with pytest.raises(ConversionError, match="converter refuses 'mine'") as caught:
        tf_signbin.check_conversion(model)
    message = str(caught.value)
    assert "MatrixSolve" in message or "tf." in message
    assert len(message) < 2500

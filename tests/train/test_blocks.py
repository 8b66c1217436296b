"""Layers of the user's that hold layers: what is inside is quantized, or the user is told."""

from __future__ import annotations

import numpy as np
import pytest

import tf_signbin
from tests.litert_reference import Reference
from tests.train import models
from tf_signbin.convert.stock import stock_model
from tf_signbin.train import SignedBinaryQuantizer
from tf_signbin.train.keras2.legacy_keras import keras, tf

layers = keras.layers


class Residual(layers.Layer):
    """Two convolutions, a norm that is told `training`, a dropout that is not, and a sum."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.stages = [layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv{i}")
                       for i in range(2)]  # fmt: skip
        self.norm = layers.BatchNormalization(name="norm")
        self.drop = layers.Dropout(0.5, name="drop")

    def call(self, x, training=False):
        y = tf.nn.relu(self.norm(self.stages[0](x), training=training))
        return tf.nn.relu(self.stages[1](self.drop(y)) + x)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def network():
    """A block that is called twice, and one that holds blocks."""
    shared = Residual(4, name="shared")
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="stem")(image)
    x = shared(shared(x))
    x = Pair(name="pair")(x)
    return keras.Model(image, layers.Dense(5, name="head")(layers.GlobalAveragePooling2D()(x)))


class Pair(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = Residual(4, name="a"), Residual(4, name="b")

    def call(self, x):
        return self.second(self.first(x))


INSIDE = [f"{block}_conv{i}" for block in ("shared", "pair_a", "pair_b") for i in range(2)]


def test_layers_inside_blocks_are_the_same_layers(rng):
    """With kernels that are two-valued already, the quantized model computes what the model did."""
    model = network()
    for layer in model._flatten_layers():
        if isinstance(layer, layers.Conv2D) and layer.name.startswith("conv"):
            layer.set_weights([np.where(rng.random(layer.kernel.shape) < 0.5, 1.0, 0.0)
                               * np.array([1, 1, -1, -1])])  # fmt: skip
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.random(w.shape) + 0.5 for w in layer.get_weights()])
    model.get_layer("shared").norm.trainable = False
    quantized = tf_signbin.quantize_model(model, quantizer=SignedBinaryQuantizer(delta=0.5))
    assert [k.name for k in tf_signbin.quantized_kernels(quantized)] == INSIDE
    x = rng.normal(size=(3, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(quantized(x), model(x), rtol=1e-4, atol=1e-4)
    assert not quantized.get_layer("shared_norm").trainable
    # In training the norms move and dropout is random.
    norm = quantized.get_layer("pair_a_norm")
    before = norm.moving_mean.numpy()
    assert not np.array_equal(quantized(x, training=True), quantized(x, training=True))
    assert not np.array_equal(norm.moving_mean, before)
    np.testing.assert_array_equal(model.get_layer("pair").first.norm.moving_mean, before)


def test_blocks_train_and_convert_in_int8(rng):
    quantized = tf_signbin.quantize_model(network(), activations="int8")
    assert [k.name for k in tf_signbin.quantized_kernels(quantized)] == INSIDE
    models.train(quantized, rng)
    x = models.data(quantized, rng)
    reference = Reference(stock_model(quantized))
    steps = reference.steps(x, quantized(x))
    assert steps.max() <= 3.01


class Noisy(Residual):
    def call(self, x, training=None):
        return super().call(x, training) + (tf.random.normal(tf.shape(x)) if training else 0.0)


class Scaled(Residual):
    def build(self, input_shape):
        self.factor = self.add_weight("factor", shape=input_shape[-1:], initializer="ones")

    def call(self, x):
        return super().call(x) * self.factor


class Deciding(Residual):
    def call(self, x):
        if tf.reduce_sum(x) > 0:
            x = -x
        return super().call(x)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Noisy, "depends on its argument `training`"),
        (Scaled, "has variables of its own .*factor"),
        (Deciding, "symbolic"),
    ],
)
def test_blocks_that_cannot_be_opened_are_told(kind, reason):
    image = keras.Input((8, 8, 4))
    x = kind(4, name="block")(layers.Conv2D(4, 1)(image))
    x = layers.Conv2D(4, 3, name="b")(x)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))
    expected = rf"'block' is a {kind.__name__} with 2 layers and 288 weights .*{reason}"
    with pytest.warns(UserWarning, match=expected):
        quantized = tf_signbin.quantize_model(model)
    assert [k.name for k in tf_signbin.quantized_kernels(quantized)] == ["b"]
    with pytest.raises(ValueError, match=rf"  block: a {kind.__name__} with 2 layers and 288 wei"):
        tf_signbin.convert(quantized, strict=True)
    summary = tf_signbin.summary(quantized, tflite=False)
    counted = {layer.name: layer.weights for layer in summary.layers if layer.is_dense}
    assert counted["conv0"] == counted["conv1"] == 144
    with pytest.raises(ValueError, match=expected):
        tf_signbin.quantize_model(model, activations="int8")

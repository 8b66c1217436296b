"""Layers of the user's that hold layers, and subclassed models."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import tf_signbin
from tf_signbin.train import SignedBinaryQuantizer

layers = keras.layers
_register = keras.saving.register_keras_serializable("tests")


@_register
class Block(layers.Layer):
    """Convolution, BatchNorm, ReLU, and a shortcut; `build` is Keras's."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.stages = [layers.Conv2D(filters, 3, padding="same", use_bias=False, name="conv")]
        self.norm = layers.BatchNormalization()

    def call(self, x, training=None):
        return keras.ops.relu(self.norm(self.stages[0](x), training=training)) + x

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@_register
class Network(keras.Model):
    def __init__(self, blocks=2, **kwargs):
        super().__init__(**kwargs)
        self.stem = layers.Conv2D(8, 3, name="stem")
        self.blocks = [Block(8, name=f"block{i}") for i in range(blocks)]
        self.pool = layers.GlobalAveragePooling2D()
        self.head = layers.Dense(5, name="head")

    def call(self, x, training=None):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(self.pool(x))


@_register
class Gated(layers.Layer):
    """Calculates with TensorFlow, which no graph of Keras shows."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(8, 3, padding="same", name="inner")

    def call(self, x):
        import tensorflow as tf

        return x * tf.sigmoid(self.conv(x))


def subclassed():
    model = Network()
    model.build((None, 8, 8, 3))
    return model


def functional():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="stem")(image)
    x = Block(8, name="block1")(Block(8, name="block0")(x))
    return keras.Model(image, layers.Dense(5, name="head")(layers.GlobalAveragePooling2D()(x)))


def values(model, x):
    return model.predict(x, verbose=0)


@pytest.mark.parametrize("make", [functional, subclassed])
def test_inner_layers_are_quantized_saved_and_converted(make, rng, tmp_path):
    model = make()
    x = rng.normal(size=(4, 8, 8, 3)).astype(np.float32)
    before = values(model, x)
    quantized = tf_signbin.quantize_model(model, background="none")
    assert (quantized is model) == (make is subclassed)
    kernels = tf_signbin.quantized_kernels(quantized)
    names = [kernel.name for kernel in kernels]
    assert [name[-11:] for name in names] == ["block0/conv", "block1/conv"]
    # BatchNorm follows them inside of the block, so they have no scale of their own.
    assert {kernel.quantizer.scale for kernel in kernels} == {"none"}
    if make is functional:
        np.testing.assert_array_equal(values(model, x), before)
    for block in (quantized.get_layer("block0"),) if make is functional else quantized.blocks:
        assert isinstance(block, Block)
        kernel = keras.ops.convert_to_numpy(block.stages[0].kernel)
        assert set(np.unique(kernel)) == {-1.0, 0.0, 1.0}
    quantized.compile("sgd", "mse")
    latent = kernels[0].latent.numpy()
    quantized.fit(x, np.zeros((4, 5), np.float32), verbose=0)
    assert not np.array_equal(kernels[0].latent.numpy(), latent)

    after = values(quantized, x)
    rows = tf_signbin.summary(quantized, tflite=False).layers
    assert [row.kind for row in rows] == ["dense", "signed_binary", "signed_binary", "dense"]
    assert [row.macs_per_sample for row in rows] == [
        36 * 27 * 8, 36 * 72 * 8, 36 * 72 * 8, 40]  # fmt: skip
    flatbuffer = tf_signbin.convert(quantized, strict=True)
    runtime = tf_signbin.Interpreter(flatbuffer, num_threads=1)
    runtime.allocate_tensors()
    np.testing.assert_allclose(runtime.predict(x), after, rtol=1e-4, atol=1e-5)

    quantized.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(values(loaded, x), after, rtol=1e-6)
    assert len(tf_signbin.quantized_kernels(loaded)) == 2
    quantized.save_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(quantized) if make is functional else loaded
    clone.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(values(clone, x), after, rtol=1e-6)


@pytest.mark.parametrize("make", [functional, subclassed])
def test_int8_networks_are_made_of_the_inner_layers(make, rng):
    model = make()
    x = rng.normal(size=(4, 8, 8, 3)).astype(np.float32)
    quantized = tf_signbin.quantize_model(model, activations="int8")
    assert [kernel.name for kernel in tf_signbin.quantized_kernels(quantized)] == [
        "block0_conv", "block1_conv"]  # fmt: skip
    for name, block in (("block0_conv", 0), ("block1_conv", 1)):
        outer = model.blocks[block] if make is subclassed else model.get_layer(f"block{block}")
        latent = quantized.get_layer(name).latent_kernel
        np.testing.assert_array_equal(latent.numpy(), outer.stages[0].kernel.numpy())
    assert np.isfinite(quantized(x, training=True)).all()


def test_without_a_graph_the_user_says_what_stays_dense(rng):
    image = keras.Input((8, 8, 3))
    x = Gated(name="gated")(layers.Conv2D(8, 3, name="stem")(image))
    model = keras.Model(image, layers.Dense(5, name="head")(layers.Flatten()(x)))
    with pytest.raises(ValueError, match=r"'gated' \(Gated\) cannot be traced.*keep_dense"):
        tf_signbin.quantize_model(model)
    with pytest.raises(ValueError, match=r"'gated' \(Gated\) cannot be traced.*float32"):
        tf_signbin.quantize_model(model, activations="int8")
    quantized = tf_signbin.quantize_model(model, keep_dense=["stem", "head"])
    assert [kernel.name for kernel in tf_signbin.quantized_kernels(quantized)] == ["inner"]


class Scaled(Block):
    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")

    def call(self, x):
        return self.stages[0](x) * self.factor


class Noisy(Block):
    def call(self, x, training=None):
        x = self.stages[0](x)
        return x + keras.random.normal((8,)) if training else x


class Trainer(Network):
    def train_step(self, data):
        return super().train_step(data)


def test_what_int8_would_lose_is_refused():
    image = keras.Input((8, 8, 8))
    model = keras.Model(image, Scaled(8, name="scaled")(image))
    with pytest.raises(ValueError, match=r"'scaled' \(Scaled\) has variables of its own: factor"):
        tf_signbin.quantize_model(model, activations="int8")
    model = keras.Model(image, Noisy(8, name="noisy")(image))
    with pytest.raises(ValueError, match=r"'noisy' \(Noisy\) does something else in training"):
        tf_signbin.quantize_model(model, activations="int8")
    trainer = Trainer(name="trainer")
    with pytest.raises(ValueError, match=r"'trainer' \(Trainer\) is not built"):
        tf_signbin.quantize_model(trainer)
    trainer.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match=r"'trainer' \(Trainer\) becomes .*\(train_step\)"):
        tf_signbin.quantize_model(trainer, activations="int8")
    with pytest.raises(ValueError, match="quantized already"):
        tf_signbin.quantize_model(tf_signbin.quantize_model(trainer))


@_register
class Separated(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.plane = layers.SeparableConv2D(6, 3, name="plane")
        self.line = layers.SeparableConv1D(4, 3, name="line")

    def call(self, x):
        x = self.plane(x)
        return self.line(keras.ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3])))


def test_separable_convolutions_inside(rng, tmp_path):
    image = keras.Input((8, 8, 8))
    model = keras.Model(image, Separated(name="separated")(image))
    quantized = tf_signbin.quantize_model(
        model, quantizer=SignedBinaryQuantizer(), keep_dense=lambda layer: False
    )
    assert [k.name for k in tf_signbin.quantized_kernels(quantized)] == ["plane", "line"]
    for kernel in tf_signbin.quantized_kernels(quantized):
        # The quantized weights put in the plain layer give the same.
        plain = model.get_layer("separated").plane
        plain = plain if kernel.name == "plane" else model.get_layer("separated").line
        plain.pointwise_kernel.assign(kernel.quantized())
    x = rng.normal(size=(4, 8, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(values(quantized, x), values(model, x), rtol=1e-4, atol=1e-5)
    rows = tf_signbin.summary(quantized, tflite=False).layers
    assert [row.kind for row in rows] == ["dense", "signed_binary"] * 2
    quantized.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(values(loaded, x), values(quantized, x), rtol=1e-6)


def test_functional_models_keep_steps_of_their_own(rng):
    image = keras.Input((8, 8, 3))
    y = layers.Dense(5)(layers.Flatten()(layers.Conv2D(4, 3, name="b")(layers.Conv2D(4, 3)(image))))

    class Counting(keras.Model):
        def compute_loss(self, *args, **kwargs):
            return 7.0 + 0.0 * super().compute_loss(*args, **kwargs)

    quantized = tf_signbin.quantize_model(Counting(image, y), quantizer=SignedBinaryQuantizer())
    quantized.compile("sgd", "mse")
    x = rng.normal(size=(4, 8, 8, 3)).astype(np.float32)
    assert quantized.train_on_batch(x, np.zeros((4, 5), np.float32)) == pytest.approx(7.0)

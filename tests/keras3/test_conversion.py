"""Converted models: operators, weights and results, against LiteRT's reference kernels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

import tf_signbin
from tests.convert.models import without_metadata
from tests.keras3 import models
from tests.litert_reference import BUILTIN, Reference
from tf_signbin.convert.keras3 import with_layer_names
from tf_signbin.convert.stock import stock_model
from tf_signbin.format.model import read_model, write_model
from tf_signbin.train.constant_weights import constant_weights

layers = keras.layers


def converted(model):
    return tf_signbin.unpack(tf_signbin.convert(model))


@pytest.mark.parametrize("kind", ["modern", *(pytest.param(k, marks=pytest.mark.slow)
                                                for k in ("residual", "conv1d"))])  # fmt: skip
def test_int8_models_have_no_float_operator_and_agree(kind, rng):
    quantized = tf_signbin.quantize_model(getattr(models, kind)(), activations="int8")
    models.train(quantized, rng)
    reference = Reference(converted(quantized))
    assert reference.float_operators() == []
    x = models.data(quantized, rng, 32)
    steps = reference.steps(x, quantized.predict(x, verbose=0))
    # Averages, biases and fixed-point multipliers are rounded one step apart, which later layers
    # multiply (docs/guides/convert.md); another operator is tens of steps away.
    assert steps.max() <= 8.01
    assert steps.mean() <= 1.5


@pytest.mark.parametrize("kind", ["residual", pytest.param("conv1d", marks=pytest.mark.slow)])
def test_float_models_agree(kind, rng):
    quantized = models.train(tf_signbin.quantize_model(getattr(models, kind)()), rng)
    x = models.data(quantized, rng)
    found = Reference(converted(quantized)).predict(x)
    np.testing.assert_allclose(found, quantized.predict(x, verbose=0), rtol=1e-4, atol=1e-4)


def test_every_quantized_layer_is_packed_and_bytes_are_the_same(rng, tmp_path):
    quantized = models.train(tf_signbin.quantize_model(models.residual(), "int8"), rng)
    flatbuffer = tf_signbin.convert(quantized, strict=True)
    assert flatbuffer == tf_signbin.convert(quantized)
    quantized.save(tmp_path / "model.keras")
    assert flatbuffer == tf_signbin.convert(tmp_path / "model.keras")
    rows = tf_signbin.inspect_model(flatbuffer).layers
    packed = sorted(row.name for row in rows if row.status == "already packed")
    assert packed == ["conv_0a", "conv_0b", "conv_1a", "conv_1b"]


@pytest.mark.parametrize("kind", ["shared", pytest.param("nested", marks=pytest.mark.slow)])
def test_models_convert_as_by_from_keras_model(kind):
    """The same file but for names, and the record of what it was converted from."""
    model = tf_signbin.quantize_model(getattr(models, kind)(), "int8")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with constant_weights():  # the converter's own folding may end a bit apart
        stock = with_layer_names(converter.convert(), model)
    assert comparable(stock_model(model)) == comparable(stock)


def comparable(data):
    """The file without the number of the function that its outputs are named after."""
    model = read_model(without_metadata(data))
    for graph in model.subgraphs:
        for index in graph.outputs:
            graph.tensors[index].name = b"output"
    return write_model(model)


ELEMENTWISE = ["relu", "relu6", "sigmoid", "tanh", "softmax", "silu", "hard_sigmoid",
               "hard_silu", "gelu", "leaky_relu", "exponential", "hard_tanh", "elu",
               "selu"]  # fmt: skip
SINGLE = {
    "maximum": lambda x: layers.Maximum()([x, layers.Conv2D(4, 1)(x)]),
    "average": lambda x: layers.Average()([x, x, layers.Conv2D(4, 1)(x)]),
    "add3": lambda x: layers.Add()([x, x, layers.Conv2D(4, 1)(x)]),
    # x + 0.3 * y, a layer of keras.applications.
    "scaled_sum": lambda x: CustomScaleLayer(0.3)([x, layers.Conv2D(4, 1)(x)]),
    "subtract": lambda x: x - layers.Conv2D(4, 1)(x),
    "constants": lambda x: (2.0 - x * np.linspace(0.1, 1, 4, dtype=np.float32)) / 3.0,
    "deconvolution": lambda x: layers.Conv2DTranspose(3, 3, strides=2, padding="same")(x),
    "grouped": lambda x: layers.Conv2D(4, 3, groups=2)(x),
    "crop": lambda x: layers.Cropping2D(1)(layers.ZeroPadding2D(2)(x)),
    "permute": lambda x: layers.Permute((2, 1, 3))(x),
    "bilinear": lambda x: layers.UpSampling2D(interpolation="bilinear")(x),
    "nearest": lambda x: layers.UpSampling2D()(x),
    "global_max": lambda x: layers.GlobalMaxPooling2D()(x),
    "dense_on_images": lambda x: layers.Dense(3, activation="relu")(x),
    "norm_first": lambda x: layers.ReLU()(layers.BatchNormalization()(x)),
    "norm_of_vectors": lambda x: layers.BatchNormalization()(layers.GlobalMaxPooling2D()(x)),
    "rms_norm": lambda x: layers.RMSNormalization()(x),
    "unit_norm": lambda x: layers.UnitNormalization()(x),
    "elu_of_half": lambda x: layers.ELU(0.5)(x),
    "square": lambda x: keras.ops.square(x),
    "negative": lambda x: -x,
    "division": lambda x: x / (keras.ops.absolute(x) + 1.0),
    "depthwise_as_groups": lambda x: layers.Conv2D(8, 3, groups=4, activation="relu")(x),
    "flip": lambda x: keras.ops.flip(x, axis=1),
    "min": lambda x: keras.ops.min(x, axis=1),
    "sum": lambda x: keras.ops.sum(x, axis=(1, 2)),
    "pool_twice": lambda x: layers.AveragePooling2D(2)(layers.AveragePooling2D(2)(x)),
    "chain": lambda x: layers.Concatenate()(
        [layers.Concatenate()([layers.Conv2D(4, 1)(x), x]), layers.Conv2D(2, 1)(x)]
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*ELEMENTWISE, *SINGLE])
def test_every_operator_runs_in_int8(kind, rng):
    image = keras.Input((8, 8, 4), name="image")
    make = SINGLE.get(kind, lambda x: layers.Activation(kind)(layers.Conv2D(4, 1)(x)))
    model = keras.Model(image, make(image))
    quantized = tf_signbin.quantize_model(model, "int8", quantizer=lambda layer: None)
    models.train(quantized, rng)
    # The reference kernel of SUM gives the zero point for every int8 input.
    kernels = [BUILTIN] if kind == "sum" else []
    reference = Reference(converted(quantized), *kernels)
    assert reference.float_operators() == []
    x = models.data(quantized, rng, 8)
    steps = np.abs(reference.predict(x) - quantized.predict(x, verbose=0))
    # SELU is nine operators, of which each may round a tie the other way; a step before tanh, whose
    # slope is 1, is several of its own, which are 1/128.
    assert steps.max() / reference.output_scale() <= {"selu": 4.01, "tanh": 8.01}.get(kind, 2.01)


def test_layer_normalization_runs_in_int8(rng):
    image = keras.Input((8, 8, 4))
    x = layers.LayerNormalization(name="norm")(layers.Conv2D(64, 3)(image))
    model = keras.Model(image, layers.Dense(5)(layers.Conv2D(16, 3, activation="gelu")(x)))
    quantized = tf_signbin.quantize_model(model, "int8", quantizer=lambda layer: None)
    models.train(quantized, rng)
    reference = Reference(converted(quantized))
    assert reference.float_operators() == []
    assert "L2_NORMALIZATION" in [op["op_name"] for op in reference.operators]
    x = models.data(quantized, rng, 8)
    expected = quantized.predict(x, verbose=0)
    # One step of difference before the norm is several behind it where a pixel's values are alike.
    steps = np.abs(reference.predict(x) - expected) / reference.output_scale()
    assert np.quantile(steps, 0.99) <= 4.01
    # Its values are those of Keras's own layer, but for the grids in between.
    unit = keras.Model(quantized.inputs, quantized.get_layer("norm").output)
    own = keras.Model(image, model.get_layer("norm").output)
    own.layers[1].set_weights(quantized.get_layer(model.layers[1].name).get_weights())
    own.get_layer("norm").gamma.assign(unit.get_layer("norm").scale / np.float32(8.0))
    own.get_layer("norm").beta.assign(unit.get_layer("norm").shift)
    found, wanted = unit.predict(x, verbose=0), own.predict(x, verbose=0)
    assert np.abs(found - wanted).mean() < 0.05 * np.abs(wanted).mean()


def test_what_has_no_int8_operator_runs_in_float_and_is_named(rng):
    image = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 1, activation="softplus", name="odd")(image)
    model = keras.Model(image, layers.Conv2D(4, 3)(x))
    with pytest.warns(UserWarning, match=r"'odd' \(softplus\)"):
        quantized = tf_signbin.quantize_model(model, "int8", quantizer=lambda layer: None)
    models.train(quantized, rng)
    reference = Reference(converted(quantized))
    assert set(reference.float_operators()) == {"EXP", "ADD", "LOG"}
    x = models.data(quantized, rng, 8)
    steps = np.abs(reference.predict(x) - quantized.predict(x, verbose=0))
    assert steps.max() / reference.output_scale() <= 2.01


def test_embeddings_of_integer_inputs(rng):
    words = keras.Input((12,), dtype="int32", name="words")
    x = layers.Conv1D(8, 3, activation="relu")(layers.Embedding(50, 8)(words))
    model = keras.Model(words, layers.Dense(5)(layers.GlobalAveragePooling1D()(x)))
    quantized = tf_signbin.quantize_model(model, "int8", quantizer=lambda layer: None)
    quantized.compile("adam", "mse")
    x = rng.integers(0, 50, size=(16, 12)).astype(np.int32)
    quantized.fit(x, rng.normal(size=(16, 5)).astype(np.float32), verbose=0)
    reference = Reference(converted(quantized))
    assert reference.float_operators() == []
    steps = np.abs(reference.predict(x) - quantized.predict(x, verbose=0))
    assert steps.max() / reference.output_scale() <= 2.01


@pytest.mark.slow
def test_conv_next_runs_in_int8(rng):
    """The network of keras.applications with a block a stage instead of up to 27."""
    from keras.src.applications.convnext import ConvNeXt

    model = ConvNeXt(
        depths=[1, 1, 1, 1], projection_dims=[16, 32, 48, 64], drop_path_rate=0.1,
        input_shape=(32, 32, 3), classes=5, classifier_activation=None,
    )  # fmt: skip
    quantized = tf_signbin.quantize_model(model, activations="int8")
    quantized.compile("sgd", "mse")
    x = (rng.random((4, 32, 32, 3)) * 255).astype(np.float32)
    assert np.isfinite(quantized.train_on_batch(x, np.zeros((4, 5), np.float32)))
    flatbuffer = tf_signbin.convert(quantized, strict=True)
    assert Reference(tf_signbin.unpack(flatbuffer)).float_operators() == []
    runtime = tf_signbin.Interpreter(flatbuffer, num_threads=1)
    runtime.allocate_tensors()
    found, expected = runtime.predict(x), quantized.predict(x, verbose=0)
    assert np.abs(found - expected).max() <= 0.2 * np.abs(expected).max()


def test_dense_int8_weights_are_those_that_were_trained(rng):
    image = keras.Input((8, 8, 4))
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, use_bias=False, name="c")(image))
    quantized = tf_signbin.quantize_model(
        keras.Model(image, layers.Dense(3, name="d")(layers.Flatten()(x))),
        "int8",
        quantizer=lambda layer: None,
    )
    models.train(quantized, rng)
    reference = Reference(converted(quantized))
    for name, operator in (("c", "CONV_2D"), ("d", "FULLY_CONNECTED")):
        latent = quantized.get_layer(name).latent_kernel.numpy().astype(np.float64)
        rows = latent.reshape(-1, latent.shape[-1]).T
        expected = np.round(127 * rows / np.abs(rows).max(1, keepdims=True))
        (found,) = (op["inputs"][1] for op in reference.operators if op["op_name"] == operator)
        stored = reference.interpreter.get_tensor(found).reshape(rows.shape).astype(np.float64)
        # BatchNorm's factors may turn a filter's sign.
        signs = np.sign((stored * expected).sum(1, keepdims=True))
        np.testing.assert_allclose(stored * signs, expected, atol=1.0 if name == "d" else 0.0)


def test_logits_without_spread_run():
    """As those of a deep network before training: softmax refuses scales that are too small."""
    image = keras.Input((8,))
    logits = layers.Dense(4, kernel_initializer=keras.initializers.Constant(1e-12))(image)
    model = keras.Model(image, layers.Softmax()(logits))
    quantized = tf_signbin.quantize_model(model, "int8", quantizer=lambda layer: None)
    x = np.ones((2, 8), np.float32)
    quantized(x, training=True)
    np.testing.assert_allclose(Reference(converted(quantized)).predict(x), 0.25, atol=1 / 256)

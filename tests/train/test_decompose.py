"""What Keras 2 does in one layer and LiteRT in several operators runs in int8, or is told."""

from __future__ import annotations

import numpy as np
import pytest
from tf_keras.src.applications.inception_resnet_v2 import CustomScaleLayer

import tf_signbin
from tests.litert_reference import BUILTIN, Reference
from tests.train import models
from tf_signbin.convert.stock import stock_model
from tf_signbin.train.keras2.legacy_keras import keras, tf

layers = keras.layers
KEEP_ALL_BUT_B = {"keep_dense": lambda layer: layer.name != "b"}

KINDS = {
    "norm": lambda x: layers.ReLU()(layers.BatchNormalization()(layers.MaxPooling2D()(x))),
    "norm_of_vectors": lambda x: layers.BatchNormalization()(layers.GlobalMaxPooling2D()(x)),
    "swish": lambda x: layers.Conv2D(4, 1, activation="swish")(x),
    "hard_sigmoid": lambda x: layers.Activation("hard_sigmoid")(x),
    "elu": lambda x: layers.ELU(0.5)(x),
    "selu": lambda x: layers.Conv2D(4, 1, activation="selu")(x),
    "exponential": lambda x: layers.Activation("exponential")(0.3 * x),
    "relu1": lambda x: layers.ReLU(1.0)(x),
    "layer_norm": lambda x: layers.LayerNormalization()(x),
    "layer_norm_of_steps": lambda x: layers.LayerNormalization()(layers.Reshape((16, 16))(x)),
    "unit_norm": lambda x: layers.UnitNormalization()(x),
    "rescaling": lambda x: layers.Rescaling(0.5, -0.1)(x),
    "normalization": lambda x: layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[3.0] * 4)(
        x
    ),
    "sum_of_three": lambda x: layers.Add()([x, layers.Conv2D(4, 1)(x), layers.ReLU()(x)]),
    "average": lambda x: layers.Average()([x, layers.Conv2D(4, 1)(x)]),
    "custom_scale": lambda x: CustomScaleLayer(0.2)([x, layers.Conv2D(4, 1)(x)]),
    "silu": lambda x: tf.nn.silu(x),
    "square": lambda x: tf.square(x),
    "negative": lambda x: -x,
    "quotient": lambda x: x / (tf.abs(x) + 1.0),
    "constants": lambda x: (2.0 - x) / 3.0,
}
# A step may be many of the output's behind a small range.
LARGEST = {"relu1": 10.01, "selu": 4.01}
# These make short vectors longer, and a step of such a one with them: a few values are far apart.
LENGTHENING = ("layer_norm", "layer_norm_of_steps", "unit_norm")


def test_layers_of_several_operators_run_in_int8(rng, tmp_path):
    image = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 3, padding="same", name="a")(image)
    x = layers.Conv2D(4, 3, padding="same", name="b")(x)
    model = keras.Model(image, [layers.Flatten(name=f"{k}_")(f(x)) for k, f in KINDS.items()])
    quantized = tf_signbin.quantize_model(model, activations="int8", **KEEP_ALL_BUT_B)
    data = models.data(quantized, rng)
    before = model(data)
    quantized(data, training=True)
    models.fit_ranges(quantized, data)
    expected = dict(zip(quantized.output_names, quantized(data), strict=True))
    reference = Reference(stock_model(quantized), BUILTIN)
    assert reference.float_operators() == []
    found = reference.outputs(data)
    for name, of_float in zip(model.output_names, before, strict=True):
        steps = np.abs(found[name] - expected[name]) / reference.output_scale(name)
        assert steps.mean() <= 0.5, name
        kind = name.rstrip("_")
        largest = np.quantile(steps, 0.99) if kind in LENGTHENING else steps.max()
        assert largest <= LARGEST.get(kind, 3.01), name
        # Signed-binary weights are others; the layers behind them compute the same.
        assert expected[name].shape == of_float.shape
    path = str(tmp_path / "model.keras")
    quantized.save(path)
    for one, other in zip(keras.models.load_model(path)(data), expected.values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_parts_compute_what_the_layer_did(rng):
    """With ranges as wide as needed, and weights that are kept, only rounding is left."""
    image = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 1, name="b")(image)
    outputs = [layers.Flatten(name=f"{k}_")(f(image)) for k, f in KINDS.items()]
    model = keras.Model(image, [layers.Flatten()(x), *outputs])
    for layer in model.layers:
        if type(layer).__name__ in ("BatchNormalization", "LayerNormalization"):
            layer.set_weights([rng.uniform(0.5, 2.0, w.shape) for w in layer.get_weights()])
    quantized = tf_signbin.quantize_model(model, activations="int8", **KEEP_ALL_BUT_B)
    data = models.data(quantized, rng, 64)
    models.fit_ranges(quantized, data)
    wanted, found = model(data), quantized(data)
    for name, one, other in list(zip(model.output_names, wanted, found, strict=True))[1:]:
        error = np.sqrt(np.mean(np.square(one - other)))
        assert error <= 0.05 * np.std(one), name


def test_what_runs_in_float_is_told():
    image = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 1, activation="softplus", name="b")(image)
    x = layers.GroupNormalization(2, name="groups")(x)
    model = keras.Model(image, layers.Dense(2, name="out")(layers.Flatten()(tf.math.erf(x))))
    expected = r"'b_activation' \(softplus\), 'groups' \(GroupNorm.*\), 'tf.math.erf' \(math.erf\)"
    with pytest.warns(UserWarning, match=f"no int8 operator for these layers: {expected}"):
        tf_signbin.quantize_model(model, activations="int8", keep_dense=["out"])


@pytest.mark.slow
def test_float_layers_between_int8_ones_convert(rng):
    steps = keras.Input((8, 4))
    x = layers.Conv1D(8, 3, padding="same", name="b")(layers.Conv1D(8, 3, name="a")(steps))
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4, name="attention")(x, x)])
    x = layers.GRU(6, name="gru")(layers.TimeDistributed(layers.Dense(5), name="each")(x))
    model = keras.Model(steps, layers.Dense(3, name="out")(x))
    expected = r"'attention' \(MultiHead.*'each' \(TimeDistributed\), 'gru' \(GRU\)"
    with pytest.warns(UserWarning, match=expected):
        quantized = tf_signbin.quantize_model(model, activations="int8", **KEEP_ALL_BUT_B)
    data = models.data(quantized, rng)
    models.fit_ranges(quantized, data)
    reference = Reference(stock_model(quantized))
    steps = reference.steps(data, quantized(data))
    assert steps.max() <= 2.01


def test_names_of_parts_give_way_to_the_users():
    x = layers.Conv2D(4, 1, activation="elu", name="b")(image := keras.Input((8, 8, 4)))
    x = layers.Activation("selu", name="b_activation_relu")(x)
    x = layers.Conv2D(4, 1, name="b_activation_sum")(layers.ReLU(name="b_activation")(x))
    model = keras.Model(image, layers.Dense(2, name="out")(layers.Flatten()(x)))
    quantized = tf_signbin.quantize_model(model, activations="int8", keep_dense=["out"])
    names = [layer.name for layer in quantized.layers]
    assert {"b_activation_relu", "b_activation"} <= set(names)
    assert len(set(names)) == len(names)


def test_a_norm_that_is_called_twice_is_folded_nowhere(rng):
    """Behind a convolution and alone: one layer, one set of statistics."""
    image = keras.Input((8, 8, 4))
    norm = layers.BatchNormalization(name="norm")
    x = norm(layers.Conv2D(4, 3, name="b")(norm(image), training=False))
    model = keras.Model(image, layers.Dense(5, name="out")(layers.GlobalAveragePooling2D()(x)))
    quantized = tf_signbin.quantize_model(model, activations="int8", **KEEP_ALL_BUT_B)
    data = models.data(quantized, rng)
    before = quantized.get_layer("norm").moving_mean.numpy()
    quantized(data, training=True)
    assert np.abs(quantized.get_layer("norm").moving_mean - before).max() > 0
    models.fit_ranges(quantized, data)
    reference = Reference(stock_model(quantized))
    assert reference.float_operators() == []
    steps = reference.steps(data, quantized(data))
    assert steps.max() <= 3.01

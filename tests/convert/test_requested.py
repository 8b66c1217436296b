"""strict=True knows layers by their weights, whatever the stock converter calls them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tf_signbin
from tf_signbin.convert import ConversionReport, UnpackedLayersError, convert
from tf_signbin.format.model import operator_name, read_model
from tf_signbin.train.keras2.legacy_keras import keras

layers = keras.layers


def randomize(model):
    """BatchNorm statistics as after training, with gammas of both signs."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        name = variable.name.split("/")[-1]
        if name.startswith("moving_variance"):
            variable.assign(rng.uniform(0.5, 2, variable.shape))
        elif name.startswith(("gamma", "beta", "moving_mean")):
            variable.assign(rng.normal(size=variable.shape))
    return model


def norm_around_dense(before, after="norm"):
    """BatchNorm - Dense - BatchNorm: the stock converter folds both into the Dense."""
    image = x = keras.Input((6, 6, 16) if before in ("pool", "flatten") else (32,))
    x = {
        "input": lambda x: x,
        "relu": layers.ReLU(),
        "pool": layers.GlobalAveragePooling2D(),
        "flatten": layers.Flatten(),
    }[before](x)
    x = layers.BatchNormalization(name="folded")(x)
    x = layers.Dense(48, name="mid")(x)
    if after != "none":
        x = layers.BatchNormalization()(x)
    if after == "norm, relu":
        x = layers.ReLU()(x)
    return keras.Model(image, layers.Dense(5, name="head")(x))


QUANTIZERS = {
    "default": None,
    "ternary": tf_signbin.TernaryQuantizer(),
    "binary": tf_signbin.BinaryQuantizer(),
    "pattern": tf_signbin.SignedBinaryQuantizer(background="none", pattern=(2, 7)),
}
FAST = [
    ("input", "norm", "default"), ("pool", "norm, relu", "ternary"), ("relu", "norm", "binary"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        pytest.param(*case, marks=[] if case in FAST else pytest.mark.slow)
        for case in itertools.product(
            ("input", "relu", "pool", "flatten"), ("none", "norm", "norm, relu"), QUANTIZERS
        )
    ],
)
def test_batch_norm_before_dense(before, after, kind):
    model = norm_around_dense(before, after)
    quantized = tf_signbin.quantize_model(model, quantizer=QUANTIZERS[kind], keep_dense="head")
    report = ConversionReport()
    convert(randomize(quantized), strict=True, verify=True, report=report)
    [layer] = report.packed
    assert layer.name == "quant_mid"
    assert report.verification.ok


def test_batch_norm_is_named_where_int8_has_lost_its_factors():
    quantized = randomize(tf_signbin.quantize_model(norm_around_dense("relu"), keep_dense="head"))

    def dataset():
        rng = np.random.default_rng(1)
        return ([rng.random((1, 32)).astype(np.float32)] for _ in range(4))

    with pytest.raises(UnpackedLayersError, match=r"quant_mid: .*Normalization 'folded'.*int8"):
        convert(quantized, representative_dataset=dataset, strict=True)
    report = ConversionReport()
    convert(quantized, representative_dataset=dataset, report=report)
    assert "'folded'" in report.dense[0].reason


def slashes():
    image = keras.Input((10, 10, 3))
    x = layers.Conv2D(8, 3, name="stem/conv")(image)
    for block in ("block_0", "block_1"):
        x = layers.Conv2D(8, 1, use_bias=False, name=f"{block}/project")(x)
        x = layers.ReLU()(layers.BatchNormalization(name=f"{block}/project/norm")(x))
    return keras.Model(image, layers.Dense(4, name="head")(layers.GlobalAveragePooling2D()(x)))


def separable():
    image = keras.Input((10, 10, 3))
    x = layers.Conv2D(8, 3, activation="relu")(image)
    x = layers.SeparableConv2D(12, 3, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.SeparableConv2D(16, 3)(x)
    return keras.Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


def encoder():
    image = keras.Input((6, 6, 8))
    x = layers.Conv2D(8, 3, padding="same", name="c1")(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(image, layers.Conv2D(8, 3, padding="same", name="c2")(x), name="encoder")


def shared():
    """Two inputs through one nested encoder."""
    shared_encoder = encoder()
    images = [keras.Input((6, 6, 8)), keras.Input((6, 6, 8))]
    x = layers.Concatenate()([layers.Flatten()(shared_encoder(image)) for image in images])
    return keras.Model(images, layers.Dense(4)(layers.Dense(16, name="dense")(x)))


@pytest.mark.parametrize(
    ("build", "requested", "operators"),
    [(slashes, 2, 2), (separable, 2, 2), (shared, 2, 3)],
)
@pytest.mark.parametrize("activations", ["float32", pytest.param("int8", marks=pytest.mark.slow)])
def test_renamed_split_and_repeated_layers(build, requested, operators, activations):
    quantized = tf_signbin.quantize_model(build(), activations=activations)
    randomize(quantized)
    inputs = [np.random.default_rng(0).normal(size=(4, *x.shape[1:])) for x in quantized.inputs]
    quantized(inputs if len(inputs) > 1 else inputs[0], training=True)  # ranges
    assert len(tf_signbin.quantized_kernels(quantized)) == requested
    report = ConversionReport()
    data = convert(quantized, strict=True, report=report)
    assert len(report.packed) == operators
    names = [layer.name for layer in tf_signbin.inspect_model(data).layers]
    assert len(set(names)) == len(names)


def test_quantized_model_inside_another():
    inner = tf_signbin.quantize_model(encoder(), keep_dense=lambda layer: False)
    images = [keras.Input((6, 6, 8)), keras.Input((6, 6, 8))]
    report = ConversionReport()
    convert(keras.Model(images, layers.Add()([inner(x) for x in images])), strict=True,
            report=report)  # fmt: skip
    assert len(report.packed) == 4


def test_a_layer_that_is_lost_is_named():
    """The packed layer of another layer with the same shape is no excuse."""
    image = keras.Input((8, 8, 8))
    x = layers.Conv2D(8, 3, name="one")(image)
    x = layers.ReLU()(x)
    x = layers.Conv2D(8, 3, name="two")(x)
    x = layers.Dense(4, name="head")(layers.Flatten()(x))
    quantized = tf_signbin.quantize_model(
        keras.Model(image, x), keep_dense=lambda layer: layer.name == "head"
    )
    [one, _] = tf_signbin.quantized_kernels(quantized)

    class Noisy(keras.layers.Layer):
        """Spoils a kernel in the graph, as a quantizer of one's own may."""

        def call(self, x):
            noise = np.random.default_rng(0).normal(1, 0.1, one.latent.shape).astype(np.float32)
            return keras.backend.conv2d(x, one.quantized() * noise)

    y = Noisy(name="noisy")(quantized.inputs[0])
    y = quantized.get_layer("quant_two")(layers.ReLU()(y))
    spoiled = keras.Model(quantized.inputs, [y, quantized.outputs[0]])
    convert(spoiled, strict=True)  # the layer itself is still there
    assert [operator_name(m, op) for m in [read_model(convert(spoiled))]
            for op in m.subgraphs[0].operators].count("TfSignBinConv2D") == 3  # fmt: skip

"""An emulated network predicts what LiteRT's kernels compute, and the delegate."""

from __future__ import annotations

import ai_edge_litert.interpreter as litert
import keras
import numpy as np
import pytest
import tf_keras

import tf_signbin
from tests.keras3 import models
from tests.litert_reference import Reference

layers = keras.layers
XNNPACK = litert.OpResolverType.BUILTIN

KINDS = {
    "conv": lambda x: layers.Conv2D(12, 3, name="few_bits")(x),
    "norm": lambda x: models.conv_norm(x, 12),
    "relu": lambda x: layers.ReLU()(models.conv_norm(x, 12)),
    "depthwise": lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu6")(x),
    "transposed": lambda x: layers.Conv2DTranspose(5, 3, strides=2)(x),
    "scale": lambda x: layers.Rescaling(0.3, -0.1)(x),
    "mean": lambda x: layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x)),
    "pool": lambda x: layers.AveragePooling2D(2)(x),
    "dense": lambda x: layers.Dense(9)(layers.Flatten()(x)),
    "sum": lambda x: layers.Add()([layers.Conv2D(8, 1)(x), x]),
}


def network():
    image = keras.Input((12, 12, 3))
    x = layers.ReLU()(models.conv_norm(image, 8, name="stem"))
    return keras.Model(image, [layers.Flatten(name=f"{k}_")(f(x)) for k, f in KINDS.items()])


@pytest.fixture(scope="module")
def trained():
    """The network after some steps, images, and what the emulation of each kernel set predicts."""
    rng = np.random.default_rng(20)
    keras.utils.set_random_seed(20)
    options = {"input_bits": {"few_bits": 4}, "keep_dense": ["stem", "conv2d_tr*"]}
    model = tf_signbin.quantize_model(network(), activations="int8", **options)
    for _ in range(3):
        model(models.data(model, rng), training=True)
    images = models.data(model, rng, 32)
    file = tf_signbin.unpack(tf_signbin.convert(model))
    return model, images, file


def compared(model, images, found, scales):
    """By output: the share of the model's values that are the file's, and the largest distance in
    steps of its grid."""
    results = {}
    for i, (name, values) in enumerate(zip(KINDS, model.predict(images, verbose=0), strict=True)):
        steps = np.abs(found[f"output_{i}"] - values) / scales[i]
        results[name] = ((steps < 0.5).mean(), steps.max())
    return results


@pytest.mark.parametrize("kernels", ["reference", "xnnpack"])
def test_every_kind_rounds_as_the_kernels(trained, kernels):
    model, images, file = trained
    reference = Reference(file)
    scales = [reference.output_scale(f"output_{i}") for i in range(len(KINDS))]
    runner = reference if kernels == "reference" else Reference(file, XNNPACK)
    found = runner.outputs(images)
    emulated = compared(tf_signbin.emulate(model, kernels), images, found, scales)
    # What is left is float32's error in sums that are near the middle of two steps.
    assert all(share >= 0.9995 and steps < 1.01 for share, steps in emulated.values()), emulated
    plain = compared(model, images, found, scales)
    assert sum(share < 0.9995 for share, _ in plain.values()) >= 5, plain


def test_an_interpreter_says_which_layers_round_twice(rng):
    model = models.train(tf_signbin.quantize_model(models.residual(), activations="int8"), rng)
    file = tf_signbin.convert(model)
    interpreter = tf_signbin.Interpreter(file)
    interpreter.allocate_tensors()
    x = models.data(model, rng, 64)
    emulated = tf_signbin.emulate(model, interpreter).predict(x, verbose=0)
    step = Reference(tf_signbin.unpack(file)).output_scale()
    distance = np.abs(interpreter.predict(x) - emulated) / step
    assert (distance < 0.5).mean() >= 0.995
    assert distance.max() < 1.01


def test_weights_are_shared_and_training_is_the_models(rng):
    model = tf_signbin.quantize_model(models.tiny(), activations="int8")
    emulated = tf_signbin.emulate(model)
    assert {id(v) for v in emulated.variables} == {id(v) for v in model.variables}
    x = models.data(model, rng)
    np.testing.assert_array_equal(emulated(x, training=True), model(x, training=True))
    models.train(emulated, rng)  # through the emulated one
    assert {id(v) for v in emulated.trainable_variables} == {
        id(v) for v in model.trainable_variables
    }
    with pytest.raises(NotImplementedError, match="save and convert the model"):
        emulated.get_config()
    with pytest.raises(ValueError, match="cannot be converted"):
        tf_signbin.convert(emulated)


def test_what_cannot_be_emulated_is_refused(rng):
    with pytest.raises(ValueError, match="has no int8 activations"):
        tf_signbin.emulate(tf_signbin.quantize_model(models.tiny()))
    model = tf_signbin.quantize_model(models.tiny(), activations="int8")
    with pytest.raises(ValueError, match=r"kernels='fast' must be one of \('reference', "):
        tf_signbin.emulate(model, "fast")
    other = tf_signbin.quantize_model(models.conv1d(), activations="int8")
    interpreter = tf_signbin.Interpreter(tf_signbin.convert(other))
    with pytest.raises(ValueError, match="allocate_tensors"):
        tf_signbin.emulate(model, interpreter)
    with pytest.raises(TypeError, match=r"Interpreter\(tf_signbin.convert\(model\)\)"):
        tf_signbin.emulate(tf_keras.Sequential())

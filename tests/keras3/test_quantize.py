"""Which layers change, what is kept, saving, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest

import tf_signbin
from tests.keras3 import models
from tests.train import reference
from tf_signbin.train import BinaryQuantizer, SignedBinaryQuantizer

layers = keras.layers
BLOCKS = ["conv_0a", "conv_0b", "conv_1a", "conv_1b"]


def names(model):
    return [kernel.name for kernel in tf_signbin.quantized_kernels(model)]


def test_defaults_are_those_of_the_other_front_end():
    assert names(tf_signbin.quantize_model(models.residual())) == BLOCKS
    assert tf_signbin.default_keep_dense(models.residual()) == {"stem", "short_1", "logits"}


def test_pattern_of_wide_layers():
    model = models.residual()
    channels = {name: model.get_layer(name).kernel.shape[-2] for name in BLOCKS}
    widest = max(channels.values())
    assert min(channels.values()) < widest
    quantized = tf_signbin.quantize_model(
        model, pattern=lambda layer: (2, 10) if layer.kernel.shape[-2] == widest else None
    )
    found = {k.name: k.quantizer.pattern for k in tf_signbin.quantized_kernels(quantized)}
    assert found == {name: (2, 10) if c == widest else None for name, c in channels.items()}


def test_weights_are_kept_and_quantized_by_the_rule(rng):
    model = models.residual()
    quantized = tf_signbin.quantize_model(model, background="none", delta=0.1)
    for kernel in tf_signbin.quantized_kernels(quantized):
        latent = model.get_layer(kernel.name).kernel.numpy()
        np.testing.assert_array_equal(kernel.latent.numpy(), latent)
        w = reference.regions(latent)
        expected = reference.signed_binary(w, 0.1, reference.signs(w.shape[3], 1, 0.5))
        found = keras.ops.convert_to_numpy(kernel.quantized())
        np.testing.assert_allclose(found, expected.reshape(latent.shape), rtol=1e-6)
    np.testing.assert_array_equal(
        quantized.get_layer("stem").kernel.numpy(), model.get_layer("stem").kernel.numpy()
    )


def test_plain_int8_training_needs_no_quantizer(rng):
    model = models.residual()
    quantized = tf_signbin.quantize_model(model, activations="int8", quantizer=lambda layer: None)
    assert names(quantized) == []
    x = models.data(model, rng)
    models.train(quantized, rng)
    assert np.isfinite(quantized.predict(x, verbose=0)).all()


def test_nested_models_are_flattened_with_readable_names(rng):
    model = models.nested()
    quantized = tf_signbin.quantize_model(model, keep_dense=["c", "dense*"])
    assert names(quantized) == ["block_c", "d"]
    x = models.data(model, rng)
    same = tf_signbin.quantize_model(model, quantizer=lambda layer: None, activations="int8")
    assert np.abs(same(x, training=True)).max() < np.inf


def test_shared_layers_and_dictionaries(rng):
    model = models.shared()
    quantized = tf_signbin.quantize_model(
        model, activations="int8", keep_dense=["far", "same", "tower"]
    )
    assert names(quantized) == ["second"]
    x = {name: rng.normal(size=(4, 8, 8, 4)).astype(np.float32) for name in ("left", "right")}
    found = quantized(x, training=True)
    assert {k: tuple(v.shape) for k, v in found.items()} == {"same": (4, 1), "far": (4, 2)}
    swapped = quantized({"left": x["right"], "right": x["left"]})
    np.testing.assert_allclose(swapped["same"], quantized(x)["same"], atol=0.02)


def test_dense_layers_on_images_are_convolutions_unless_masked(rng):
    image = keras.Input((4, 4, 3))
    x = layers.Dense(6, name="first")(image)
    model = keras.Model(image, layers.Dense(5, name="last")(layers.Flatten()(x)))
    quantized = tf_signbin.quantize_model(model, keep_dense="last", scale="none")
    assert isinstance(quantized.get_layer("first"), layers.Conv2D)
    x = rng.normal(size=(2, 4, 4, 3)).astype(np.float32)
    (kernel,) = tf_signbin.quantized_kernels(quantized)
    model.get_layer("first").kernel.assign(keras.ops.reshape(kernel.quantized(), (3, 6)))
    np.testing.assert_allclose(quantized(x), model(x), rtol=1e-5, atol=1e-6)
    words = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(words)
    model = keras.Model(words, layers.LSTM(3)(layers.Dense(5, name="masked")(x)))
    quantized = tf_signbin.quantize_model(model, keep_dense=[])
    assert isinstance(quantized.get_layer("masked"), layers.Dense)


def test_annotate_and_apply():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, name="first"),
            tf_signbin.quantize_annotate_layer(
                layers.Conv2D(8, 3, name="a"), SignedBinaryQuantizer(delta=0.2)
            ),
            tf_signbin.quantize_annotate_layer(layers.Conv2D(8, 3, name="b"), BinaryQuantizer()),
        ]
    )
    applied = tf_signbin.quantize_apply(model)
    found = {k.name: k.quantizer.kind for k in tf_signbin.quantized_kernels(applied)}
    assert found == {"a": "signed_binary", "b": "binary"}
    annotated = tf_signbin.quantize_annotate_model(models.residual())
    assert names(tf_signbin.quantize_apply(annotated)) == names(
        tf_signbin.quantize_model(models.residual())
    )


def test_call_arguments_and_frozen_layers_stay():
    image = keras.Input((8, 8, 3))
    norm = layers.BatchNormalization(name="norm")
    x = norm(layers.Conv2D(8, 3, name="a", trainable=False)(image), training=False)
    model = keras.Model(image, layers.Conv2D(4, 3, name="b")(x))
    quantized = tf_signbin.quantize_model(model, activations="int8", keep_dense=lambda layer: False)
    assert not quantized.get_layer("a").trainable_weights
    # What Keras makes of the argument is its own affair.
    (node,) = quantized.get_layer("norm")._inbound_nodes
    assert node.arguments.kwargs == {"training": False}


@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_files_load_with_the_imports_alone(activations, tmp_path, rng):
    model = models.residual()
    quantized = tf_signbin.quantize_model(model, activations=activations, background="learned")
    models.train(quantized, rng)
    x = models.data(model, rng, 4)
    quantized.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=x, y=quantized.predict(x, verbose=0))
    code = (
        "import tf_signbin, sys; assert 'keras' not in sys.modules\n"
        "import keras, numpy as np; d = np.load('data.npz')\n"
        "m = keras.models.load_model('model.keras')\n"
        "np.testing.assert_allclose(m.predict(d['x'], verbose=0), d['y'], rtol=1e-5, atol=1e-6)\n"
        "assert len(tf_signbin.quantized_kernels(m)) == 4\n"
    )
    if activations == "int8":  # in the other order
        code = "import keras\n" + code.replace("; assert 'keras' not in sys.modules", "")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=600)
    clone = keras.models.clone_model(quantized)
    clone.set_weights(quantized.get_weights())
    np.testing.assert_allclose(clone.predict(x, verbose=0), quantized.predict(x, verbose=0))
    quantized.save_weights(tmp_path / "model.weights.h5")
    other = tf_signbin.quantize_model(models.residual(), activations, background="learned")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(other.predict(x, verbose=0), quantized.predict(x, verbose=0))


def test_compiled_step_and_mixed_precision(rng):
    with _policy("mixed_bfloat16"):
        model = models.residual()
        quantized = tf_signbin.quantize_model(model, background="none")
    kernel = tf_signbin.quantized_kernels(quantized)[0]
    assert kernel.latent.dtype == "float32"
    # Effectual weights have one float32 threshold, not a bfloat16 one.
    latent = kernel.latent.numpy().astype(np.float64)
    w = reference.regions(latent)
    expected = reference.signed_binary_mask(w, 0.05, reference.signs(w.shape[3], 1, 0.5))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(kernel.mask()), expected.reshape(latent.shape)
    )
    quantized.compile("sgd", "mse", jit_compile=True)
    x = models.data(model, rng, 8)
    assert np.isfinite(quantized.train_on_batch(x, np.zeros((8, 5), np.float32)))


class _policy:  # noqa: N801
    """The global policy in a `with` block."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.name)

    def __exit__(self, *error):
        keras.config.set_dtype_policy(self.before)


def test_what_cannot_be_served_is_named():
    with _policy("float64"):
        double = models.residual()
    with pytest.raises(ValueError, match="'stem' computes in float64"):
        tf_signbin.quantize_model(double, activations="int8")
    with pytest.raises(ValueError, match="no known input shape"):
        tf_signbin.quantize_model(keras.Sequential([layers.Dense(3)]))
    pixels = keras.Input((8, 8, 3), dtype="uint8", name="pixels")
    model = keras.Model(pixels, layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(pixels)))
    with pytest.raises(ValueError, match="integers of input 'pixels'"):
        tf_signbin.quantize_model(model, activations="int8", keep_dense=lambda layer: False)
    quantized = tf_signbin.quantize_model(models.residual())
    with pytest.raises(ValueError, match="quantized already"):
        tf_signbin.quantize_model(quantized)
    with pytest.raises(ValueError, match="is left to quantize"):
        tf_signbin.quantize_model(models.residual(), keep_dense="*")

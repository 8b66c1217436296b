"""Ways to train a quantized model: each must move the weights, and give what plain fit would."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest

import tf_signbin

layers = keras.layers


@contextlib.contextmanager
def policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def network():
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3))
    x = layers.Activation("swish")(layers.Conv2D(8, 3, name="stem")(image))
    x = layers.Conv2D(8, 3, use_bias=False, name="middle")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(5, name="head")(x))


def quantized(activations="int8", model=None):
    return tf_signbin.quantize_model(model or network(), activations=activations, pattern=(3, 7))


@pytest.fixture
def data(rng):
    x = rng.normal(size=(32, 8, 8, 3)).astype(np.float32)
    return x, rng.normal(size=(32, 5)).astype(np.float32)


def fit(model, data, **arguments):
    model.compile(keras.optimizers.SGD(0.05), "mse", **arguments)
    return model.fit(*data, batch_size=16, shuffle=False, epochs=2, verbose=0).history["loss"]


def weights(model):
    return {v.path: keras.ops.convert_to_numpy(v) for v in model.weights}


def assert_same(first, second, **tolerance):
    for left, right in zip(first.weights, second.weights, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(left), keras.ops.convert_to_numpy(right), **tolerance
        )


def test_compiled_by_xla(data):
    plain, compiled = quantized(), quantized()
    losses = fit(plain, data, jit_compile=False)
    assert fit(compiled, data, jit_compile=True) == pytest.approx(losses, rel=0.02)
    assert losses[1] < losses[0]


MIXED = [("mixed_bfloat16", "int8"), ("mixed_bfloat16", "float32"), ("mixed_float16", "int8"),
         ("mixed_float16", "float32")]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "activations"),
    [MIXED[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in MIXED[1:])],
)
def test_mixed_precision(name, activations, data):
    plain = quantized(activations)
    with policy(name):
        mixed = quantized(activations, network())
    assert mixed.get_layer("middle").compute_dtype == name.removeprefix("mixed_")
    assert fit(mixed, data) == pytest.approx(fit(plain, data), rel=0.1)
    for variable in mixed.weights:
        assert variable.dtype == "float32"
    if name == "mixed_bfloat16" and activations == "int8":
        runtime = tf_signbin.Interpreter(tf_signbin.convert(mixed, strict=True), num_threads=1)
        runtime.allocate_tensors()
        found, expected = runtime.predict(data[0]), mixed.predict(data[0], verbose=0)
        assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_custom_loop(data):
    import tensorflow as tf

    fitted, looped = quantized(), quantized()
    fit(fitted, data)
    optimizer = keras.optimizers.SGD(0.05)
    optimizer.build(looped.trainable_variables)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(looped(x, training=True) - y))
        variables = [v.value for v in looped.trainable_variables]
        optimizer.apply(tape.gradient(loss, variables), looped.trainable_variables)

    for _ in range(2):
        for i in (0, 16):
            step(data[0][i : i + 16], data[1][i : i + 16])
    assert_same(looped, fitted, rtol=1e-3, atol=1e-4)


class Distiller(keras.Model):
    def __init__(self, student, teacher):
        super().__init__()
        self.student, self.teacher = student, teacher
        teacher.trainable = False

    def call(self, x, training=None):
        return self.student(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(self.teacher(x, training=False) - y_pred))


def test_distillation_with_callbacks(data):
    teacher, student = network(), quantized("float32")
    before, kept = weights(student), weights(teacher)
    distiller = Distiller(student, teacher)
    distiller.compile(keras.optimizers.SGD(0.05))
    watch = tf_signbin.LayerStatistics()
    history = distiller.fit(*data, batch_size=16, epochs=2, verbose=0, callbacks=[watch]).history
    assert history["loss"][1] < history["loss"][0]
    assert 0.0 < history["density"][0] < 3 / 7 + 0.01
    assert not np.array_equal(weights(student)["middle/kernel"], before["middle/kernel"])
    for path, value in kept.items():
        np.testing.assert_array_equal(weights(teacher)[path], value)


def test_frozen_layers_stay_until_they_are_thawed(data):
    model = network()
    for name in ("stem", "middle", "norm"):
        model.get_layer(name).trainable = False
    frozen = quantized(model=model)
    before = weights(frozen)
    fit(frozen, data)
    moved = {path for path, v in weights(frozen).items() if not np.array_equal(v, before[path])}
    assert {"stem/kernel", "middle/kernel", "norm/moving_mean", "middle/delta"}.isdisjoint(moved)
    assert "head/kernel" in moved
    for layer in frozen.layers:
        layer.trainable = True
    fit(frozen, data)
    moved = {path for path, v in weights(frozen).items() if not np.array_equal(v, before[path])}
    assert {"stem/kernel", "middle/kernel", "norm/moving_mean", "norm/gamma"} <= moved
    frozen.trainable = False
    before = weights(frozen)
    fit(frozen, data)
    assert all(np.array_equal(v, before[path]) for path, v in weights(frozen).items()), "ranges too"


@pytest.mark.slow
@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_export_and_checkpoints(activations, data, tmp_path):
    import tensorflow as tf

    model = quantized(activations)
    best = keras.callbacks.ModelCheckpoint(str(tmp_path / "best.keras"))
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    model.fit(*data, batch_size=16, verbose=0, callbacks=[best, backup])
    expected = model.predict(data[0], verbose=0)
    loaded = keras.models.load_model(tmp_path / "best.keras")
    np.testing.assert_allclose(loaded.predict(data[0], verbose=0), expected, rtol=1e-5, atol=1e-6)
    assert_same(loaded, model, rtol=0)
    loaded.fit(*data, batch_size=16, verbose=0)  # compiled as before

    tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    other = quantized(activations)
    tf.train.Checkpoint(model=other).read(str(tmp_path / "checkpoint"))
    assert_same(other, model, rtol=0)

    model.export(str(tmp_path / "saved"), verbose=False)
    saved = tf.saved_model.load(str(tmp_path / "saved"))  # which owns the variables
    np.testing.assert_allclose(saved.serve(data[0]), expected, rtol=1e-5, atol=1e-5)
    flatbuffer = tf_signbin.convert(str(tmp_path / "saved"))
    packed = [row for row in tf_signbin.inspect_model(flatbuffer).layers if not row.is_dense]
    assert [row.activation_type for row in packed] == [activations]

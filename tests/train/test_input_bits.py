"""Inputs of few bits in Keras 2: the quantizer by itself, models, files."""

from __future__ import annotations

import numpy as np
import pytest

import tf_signbin
from tests.train import models
from tests.train.reference import lsq
from tf_signbin.convert import inspect_model, verify
from tf_signbin.train.keras2.layers import ReluAgain
from tf_signbin.train.keras2.legacy_keras import keras, tf
from tf_signbin.train.keras2.weights import OPS, TfmotInputQuantizer
from tf_signbin.train.keras2.wrapper import StableQuantizeLayer
from tf_signbin.train.rules.inputs import InputQuantizer


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("bits", [3, 4, 6])
def test_forward_and_gradients_are_lsqs(bits, rng):
    x = np.maximum(rng.normal(size=(3, 4, 5)), 0.0).astype(np.float32) * 3
    upstream = rng.normal(size=x.shape).astype(np.float32)
    quantizer = InputQuantizer(bits, momentum=0.0)
    layer = StableQuantizeLayer(TfmotInputQuantizer(quantizer))
    layer(x, training=True)
    values = layer.quantizer_vars
    values["correction"].assign(-0.5)
    with tf.GradientTape() as tape:
        source = tf.constant(x)
        tape.watch(source)
        y = layer(source, training=True)
        loss = tf.reduce_sum(y * upstream)
    dx, dc = tape.gradient(loss, [source, values["correction"]])
    step = float(quantizer.step(OPS, {n: OPS.convert_to_tensor(v) for n, v in values.items()}))
    expected_y, expected_dx, expected_ds = lsq(x, step, 2**bits - 1, upstream)
    np.testing.assert_allclose(y, expected_y, atol=1e-5 * step * 2**bits)
    np.testing.assert_array_equal(dx, expected_dx.astype(np.float32))
    assert float(dc) * step / 0.5 == pytest.approx(expected_ds, rel=1e-3, abs=1e-4)
    np.testing.assert_array_equal(y, layer(x, training=False))


def test_a_shared_range_stays_and_has_the_same_gradient(rng):
    x = np.maximum(rng.normal(size=(3, 4, 5)), 0.0).astype(np.float32) * 3
    layer = StableQuantizeLayer(TfmotInputQuantizer(InputQuantizer(4)))
    layer(x, training=True)
    before = [np.array(v) for v in layer.get_weights()]

    def gradients(observe):
        with tf.GradientTape() as tape:
            source = tf.constant(x)
            tape.watch(source)
            loss = tf.reduce_sum(layer(source, training=True, observe=observe) ** 2)
        return tape.gradient(loss, [source, layer.quantizer_vars["correction"]])

    shared = gradients(observe=False)
    np.testing.assert_array_equal(before, layer.get_weights())
    # The same batch again leaves a moving average where it is.
    for one, other in zip(shared, gradients(observe=True), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 5), (2, 3, 4, 5)])
def test_relu_again_changes_nothing(shape, rng):
    x = np.maximum(rng.normal(size=shape), 0.0).astype(np.float32)
    for training in (True, False):
        np.testing.assert_array_equal(ReluAgain()(x, training=training), x)


def quantized(build, rng, **arguments):
    arguments = {"activations": "int8", "input_bits": 4} | arguments
    return models.train(tf_signbin.quantize_model(build(), **arguments), rng)


@pytest.mark.parametrize(
    ("kind", "packed"),
    [("residual", [4] * 4), ("concatenated", [4, 4]), ("bottleneck", [4] * 3)],
)
def test_bits_in_the_file(kind, packed, rng):
    data = tf_signbin.convert(quantized(getattr(models, kind), rng))
    info = inspect_model(data)
    assert [layer.input_bits for layer in info.layers if not layer.is_dense] == packed
    assert all(layer.input_bits == 8 for layer in info.layers if layer.is_dense)
    report = verify(tf_signbin.unpack(data), data)
    assert report.ok, report


@pytest.mark.parametrize("kind", ["dense", "relu6"])
def test_layers_with_signed_inputs_keep_8_bits(kind, rng):
    with pytest.warns(UserWarning, match="keep 8-bit inputs"):
        model = quantized(getattr(models, kind), rng)
    info = inspect_model(tf_signbin.convert(model))
    assert [layer.input_bits for layer in info.layers if not layer.is_dense] == [8, 4]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_go_on(suffix, rng, tmp_path):
    model = quantized(models.residual, rng, pattern=(2, 10))
    tf_signbin.low_bit_inputs(model)[0].set_bits(6)
    model.save(tmp_path / f"model{suffix}")
    with tf_signbin.quantize_scope():
        again = keras.models.load_model(tmp_path / f"model{suffix}")
        copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    x = models.data(model, rng)
    for other in (again, copy):
        np.testing.assert_array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))
        assert [e.bits for e in tf_signbin.low_bit_inputs(other)] == [6, 4, 4, 4]
    models.train(again, rng)


def test_annotated_models_and_names(rng):
    annotated = tf_signbin.quantize_annotate_model(models.residual(), activations="int8")
    model = tf_signbin.quantize_apply(annotated, activations="int8", input_bits=5)
    found = tf_signbin.low_bit_inputs(model)
    assert [each.bits for each in found] == [5] * 4
    names = {k.name for k in tf_signbin.quantized_kernels(model)}
    assert {reader for each in found for reader in each.quantizer.readers} == names


def test_callbacks_and_schedules_work_beside(rng):
    model = tf_signbin.quantize_model(
        models.residual(), activations="int8", pattern=(3, 7), input_bits=4
    )
    model.compile("adam", "mse")
    x = models.data(model, rng, 32)
    callbacks = [tf_signbin.LayerStatistics(), tf_signbin.PatternSchedule(0, 1)]
    history = model.fit(x, rng.normal(size=(32, 5)), epochs=2, verbose=0, callbacks=callbacks)
    assert history.history["density"][-1] <= 3 / 7


def test_summary_shows_the_bits(rng):
    model = tf_signbin.quantize_model(models.residual(), activations="int8", input_bits=5)
    found = tf_signbin.summary(model, tflite=False)
    bits = [layer.input_bits for layer in found.layers if not layer.is_dense]
    assert bits == [5] * 4
    assert str(found).count("int8, 5 bits") == 4


def test_float_activations_are_refused():
    with pytest.raises(ValueError, match="needs activations='int8'"):
        tf_signbin.quantize_model(models.residual(), input_bits=4)

"""Inputs of few bits in Keras 3: the layer by itself, models, files."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

import tf_signbin
from tests.keras3 import models
from tests.keras3.test_conversion import Reference, converted
from tests.train.reference import lsq
from tf_signbin.convert import inspect_model, verify
from tf_signbin.train.keras3.layers import FakeQuantize, FakeQuantizeInput, ReluAgain
from tf_signbin.train.rules.inputs import InputQuantizer

layers = keras.layers


def array(x):
    return keras.ops.convert_to_numpy(x)


def observing_layer(bits, x):
    layer = FakeQuantizeInput(InputQuantizer(bits))
    layer(x, training=True)
    return layer


def step_of(layer):
    values = {n: array(v) for n, v in layer.input_variables.items()}
    bits = round(float(values["bits"]))
    return float(layer.input_quantizer.step(keras.ops, values)), 2**bits - 1


@pytest.mark.parametrize("bits", [3, 4, 5, 6, 8])
def test_forward_and_gradients_are_lsqs(bits, rng):
    import tensorflow as tf

    x = np.maximum(rng.normal(size=(3, 4, 5)), 0.0).astype(np.float32) * 3
    upstream = rng.normal(size=x.shape).astype(np.float32)
    layer = observing_layer(bits, x)
    layer.input_variables["correction"].assign(-0.5)
    layer.trainable = False  # the range stays
    step, levels = step_of(layer)
    with tf.GradientTape() as tape:
        source = tf.constant(x)
        tape.watch(source)
        correction = layer.input_variables["correction"].value
        tape.watch(correction)
        y = layer(source, training=True)
        loss = tf.reduce_sum(y * upstream)
    dx, dc = tape.gradient(loss, [source, correction])
    expected_y, expected_dx, expected_ds = lsq(x, step, levels, upstream)
    np.testing.assert_allclose(array(y), expected_y, atol=1e-5 * step * levels)
    np.testing.assert_array_equal(array(dx), expected_dx.astype(np.float32))
    # Gradient descent on the correction moves the step as LSQ's does: ds = start * dc.
    start = step / 0.5
    assert float(dc) * start == pytest.approx(expected_ds, rel=1e-3, abs=1e-4)
    np.testing.assert_array_equal(array(y), array(layer(x, training=False)))


@pytest.mark.parametrize("make", [FakeQuantize, lambda: FakeQuantizeInput(InputQuantizer(4))])
def test_an_empty_batch_moves_nothing(make, rng):
    layer = make()
    layer(rng.normal(size=(3, 4)).astype(np.float32), training=True)
    before = [array(v) for v in layer.weights]
    layer(np.zeros((0, 4), np.float32), training=True)
    np.testing.assert_array_equal(before, [array(v) for v in layer.weights])


def test_values_and_zero_point(rng):
    x = np.maximum(rng.normal(size=(4, 100)), 0.0).astype(np.float32)
    layer = observing_layer(4, x)
    y, (step, _) = array(layer(x)), step_of(layer)
    codes = y / step
    np.testing.assert_allclose(codes, np.round(codes), atol=1e-4)
    assert codes.min() >= 0.0
    assert codes.max() <= 15.001


@pytest.mark.parametrize("how", ["inference", "frozen", "sharing"])
def test_ranges_stay(how, rng):
    layer = observing_layer(4, np.ones((2, 2), np.float32))
    before = [array(v) for v in layer.weights]
    layer.trainable = how != "frozen"
    layer(np.full((2, 2), 9.0, np.float32), training=how != "inference", observe=how != "sharing")
    np.testing.assert_array_equal(before, [array(v) for v in layer.weights])


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 5), (2, 3, 4, 5)])
def test_relu_again_changes_nothing(shape, rng):
    x = np.maximum(rng.normal(size=shape), 0.0).astype(np.float32)
    for training in (True, False):
        np.testing.assert_array_equal(array(ReluAgain()(x, training=training)), x)


@pytest.mark.parametrize("shape", [(None,), (None, None, None)])
def test_gradient_counts_a_sample_of_open_sizes(shape, rng):
    import tensorflow as tf

    x = np.maximum(rng.normal(size=(3, *range(4, 4 + len(shape)))), 0.0).astype(np.float32) * 3
    layer = observing_layer(4, x)
    layer.trainable = False  # the range stays

    def gradient(x):
        with tf.GradientTape() as tape:
            correction = layer.input_variables["correction"].value
            tape.watch(correction)
            loss = tf.reduce_sum(layer(x, training=True) ** 2)
        return tape.gradient(loss, correction)

    opened = tf.function(gradient, input_signature=[tf.TensorSpec((None, *shape), tf.float32)])
    assert float(opened(x)) == pytest.approx(float(gradient(tf.constant(x))), rel=1e-5)


def open_length():
    """Sequences of any length: a stream with a reader of few bits, a norm that is not folded."""
    tokens = keras.Input((None, 8))
    x = layers.ReLU()(layers.Conv1D(8, 3, padding="same", name="stem")(tokens))
    y = layers.Conv1D(8, 3, padding="same", name="conv")(x)
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.Conv1D(8, 3, padding="same", name="last")(x)
    return keras.Model(tokens, layers.Dense(5, name="logits")(layers.GlobalMaxPooling1D()(x)))


def test_sequences_of_open_length(rng):
    model = tf_signbin.quantize_model(open_length(), activations="int8", input_bits=4)
    x = rng.normal(size=(16, 12, 8)).astype(np.float32)
    model.compile("adam", "mse")
    model.fit(x, rng.normal(size=(16, 5)), epochs=2, verbose=0)
    with pytest.warns(UserWarning, match="in float32.*conv, norm_scale, last") as warned:
        data = tf_signbin.convert(model)
    assert [w.filename for w in warned if "float32" in str(w.message)] == [__file__]
    interpreter = tf_signbin.Interpreter(data)
    (index,) = (detail["index"] for detail in interpreter.get_input_details())
    for length in (5, 12):
        interpreter.resize_tensor_input(index, (1, length, 8))
        interpreter.allocate_tensors()
        interpreter.set_tensor(index, x[:1, :length])
        interpreter.invoke()
        output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        expected = model.predict(x[:1, :length], verbose=0)
        np.testing.assert_allclose(output, expected, atol=0.05 * np.abs(expected).max())


def quantized(build, rng, **arguments):
    arguments = {"activations": "int8", "input_bits": 4} | arguments
    return models.train(tf_signbin.quantize_model(build(), **arguments), rng)


def test_residual_network(rng):
    """Bits in summaries of the model and of the file; what shares its input gets it requantized."""
    model = quantized(models.residual, rng)
    found = {each.name: (each.quantizer.readers, each.bits) for each in
             tf_signbin.low_bit_inputs(model)}  # fmt: skip
    assert sorted(found.values()) == [((f"conv_{i}{p}",), 4) for i in range(2) for p in "ab"]
    summary = tf_signbin.summary(model, tflite=False)
    assert str(summary).count("int8, 4 bits") == 4
    data = tf_signbin.convert(model)
    bits = {layer.name: layer.input_bits for layer in inspect_model(data).layers}
    expected = {f"conv_{i}{p}": 4 for i in range(2) for p in "ab"}
    assert bits == {"stem": 8, "short_1": 8, "logits": 8, "conv_0a_input_relu": 8,
                    "conv_1a_input_relu": 8} | expected  # fmt: skip
    report = verify(tf_signbin.unpack(data), data)
    assert report.ok, report
    assert [check.note for check in report.layers if "bit" in check.note] == ["4-bit input"] * 4
    reference = Reference(tf_signbin.unpack(data))
    assert reference.float_operators() == []
    assert "RELU" not in [op["op_name"] for op in reference.operators]


def single_block(bits, rng):
    """One low-bit convolution that shares its input, so that few roundings lie before the end."""
    image = keras.Input((8, 8, 3))
    x = layers.ReLU()(models.conv_norm(image, 8, name="stem"))
    y = models.conv_norm(x, 8, name="conv")
    x = layers.ReLU()(layers.Add()([x, y]))
    plain = keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))
    model = tf_signbin.quantize_model(plain, activations="int8", input_bits=bits)
    return models.train(model, rng, steps=8)


@pytest.mark.parametrize("bits", [3, 4, 5, 6])
def test_keras_agrees_with_the_file(bits, rng):
    model = single_block(bits, rng)
    reference = Reference(converted(model))
    x = models.data(model, rng, 32)
    steps = np.abs(reference.predict(x) - model.predict(x, verbose=0)) / reference.output_scale()
    assert steps.max() <= 3.01


def test_delegate_is_bit_exact_with_reference_kernels(rng):
    """verify compares every packed operator and the whole file with LiteRT's reference kernels."""
    data = tf_signbin.convert(quantized(models.residual, rng, pattern=(2, 10)))
    report = verify(tf_signbin.unpack(data), data)
    assert report.ok, report
    interpreter = tf_signbin.Interpreter(data, on_unclaimed="error")
    interpreter.allocate_tensors()
    assert len(interpreter.claimed_layers) >= 4


@pytest.mark.parametrize("background", ["none", "learned"])
def test_with_patterns_and_backgrounds(background, rng):
    model = quantized(models.residual, rng, pattern=(3, 7), background=background)
    data = tf_signbin.convert(model)
    packed = [layer for layer in inspect_model(data).layers if not layer.is_dense]
    assert [layer.input_bits for layer in packed] == [4] * 4
    assert all(layer.has_background == (background != "none") for layer in packed)


def test_each_layer_its_own(rng):
    model = quantized(models.residual, rng, input_bits={"conv_0*": 5, "conv_1b": 6})
    bits = {n: e.bits for e in tf_signbin.low_bit_inputs(model) for n in e.quantizer.readers}
    assert bits == {"conv_0a": 5, "conv_0b": 5, "conv_1b": 6}
    model = quantized(models.residual, rng, input_bits=lambda layer: 4 if "b" in layer.name else 8)
    readers = [each.quantizer.readers for each in tf_signbin.low_bit_inputs(model)]
    assert readers == [("conv_0b",), ("conv_1b",)]


def test_layers_with_signed_inputs_are_named():
    with pytest.warns(UserWarning, match="keep 8-bit inputs.*conv1d") as warned:
        tf_signbin.quantize_model(models.conv1d(), activations="int8", input_bits=4)
    assert [w.filename for w in warned] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tf_signbin.quantize_model(models.residual(), activations="int8", input_bits=4)


def test_annotated_models(rng):
    annotated = tf_signbin.quantize_annotate_model(models.residual(), activations="int8")
    model = tf_signbin.quantize_apply(annotated, activations="int8", input_bits=5)
    assert [each.bits for each in tf_signbin.low_bit_inputs(model)] == [5] * 4


def test_files_and_copies_go_on(rng, tmp_path):
    model = quantized(models.residual, rng)
    tf_signbin.low_bit_inputs(model)[0].set_bits(6)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    x = models.data(model, rng)
    for other in (again, copy):
        np.testing.assert_array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))
        assert [e.bits for e in tf_signbin.low_bit_inputs(other)] == [6, 4, 4, 4]
        assert [e.quantizer.get_config() for e in tf_signbin.low_bit_inputs(other)] == [
            e.quantizer.get_config() for e in tf_signbin.low_bit_inputs(model)
        ]
    models.train(again, rng)


def test_bits_are_lowered_within_a_budget_and_trained_on(rng):
    model = quantized(models.residual, rng, input_bits="auto")
    assert {each.bits for each in tf_signbin.low_bit_inputs(model)} == {8}
    x = models.data(model, rng, 64)
    wanted = model.predict(x, verbose=0)

    def evaluate(m):
        return -float(np.mean((m.predict(x, verbose=0) - wanted) ** 2)) / float(np.var(wanted))

    start = evaluate(model)
    budget = 0.02
    bits = tf_signbin.lower_input_bits(model, evaluate, budget)
    assert set(bits) == {f"conv_{i}{p}" for i in range(2) for p in "ab"}
    assert set(bits.values()) <= {4, 5, 6, 8}
    assert evaluate(model) >= start - budget
    models.train(model, rng)
    shown = {layer.name.removesuffix("_1"): layer.input_bits
             for layer in inspect_model(tf_signbin.convert(model)).layers}  # fmt: skip
    assert {name: shown[name] for name in bits} == bits


def test_a_plain_model_has_no_low_bit_inputs():
    assert tf_signbin.low_bit_inputs(models.residual()) == []
    with pytest.raises(ValueError, match="input_bits='auto'"):
        tf_signbin.lower_input_bits(models.residual(), lambda m: 0.0)

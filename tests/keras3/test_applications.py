"""Every family of keras.applications, small and without weights, up to the delegate."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

import tf_signbin
from tests import families
from tests.litert_reference import Reference
from tools import applications

# MobileNetV2 on 32 pixels ends in maps of one pixel, whose statistics over a batch say nothing.
FAMILIES = {**families.FAMILIES, "MobileNetV2": (96, 34), "MobileNetV3Large": (32, 47)}
FAST = ("MobileNet", "MobileNetV2", "MobileNetV3Small")


CASES = [
    pytest.param(
        name, activations,
        marks=() if name in FAST and activations == "int8" else pytest.mark.slow,
    )
    for name in FAMILIES
    for activations in ("int8", "float32")
]  # fmt: skip


@pytest.mark.parametrize(("name", "activations"), CASES)
def test_family_from_quantizing_to_the_delegate(name, activations, rng, tmp_path):
    size, kernels = FAMILIES[name]
    model = applications.build(name, size, classes=10)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            # Statistics of the one step below, and no division by next to nothing: signals would
            # grow from layer to layer until rounding errors decided the prediction.
            layer.momentum, layer.epsilon = 0.0, 0.1
    model = tf_signbin.quantize_model(model, activations=activations)
    assert len(tf_signbin.quantized_kernels(model)) == kernels

    x = rng.uniform(-1, 1, (4, size, size, 3)).astype(np.float32)
    families.check_training_step(keras, model, x, name)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = np.asarray(model(x, training=False))
    np.testing.assert_array_equal(np.asarray(loaded(x, training=False)), expected)

    packed = tf_signbin.convert(loaded, strict=True)
    plain = tf_signbin.unpack(packed)
    report = families.check_packed(plain, packed, x, kernels, activations)
    # Without the stem, which is faster in the delegate although it is dense.
    interpreter = tf_signbin.Interpreter(packed, num_threads=1, claim_dense=False)
    interpreter.allocate_tensors()
    assert len(interpreter.claimed_layers) == len(report.layers)
    if activations == "float32":
        reference = Reference(plain).predict(x)
        # Two orders of summation, the reference kernels' and Keras's, are apart what a network of
        # this depth makes of float rounding. Ours also subtracts sums, the background's, which
        # costs up to a digit; a wrong layer is thousands of times further away.
        rounding = np.abs(reference - expected).max()
        assert np.abs(interpreter.predict(x) - reference).max() <= 20 * rounding + 1e-6
        np.testing.assert_allclose(reference, expected, rtol=1e-2, atol=1e-3)
    keras.utils.clear_session()


def test_the_documented_table_is_that_of_the_measurements():
    text = applications.PAGE.read_text()
    assert applications.with_table(text) == text, "run tools/applications.py --table"
    measured = json.loads(applications.RESULTS.read_text())["networks"]
    assert set(measured) <= set(applications.SIZES) == set(FAMILIES)
    assert all(row["claimed"] >= row["packed_layers"] for row in measured.values())

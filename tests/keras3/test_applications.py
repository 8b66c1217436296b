"""Every family of keras.applications, small and without weights, up to the delegate."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

import tf_signbin
from tests.litert_reference import Reference
from tf_signbin.convert.verify import verify
from tools import applications

# Input size, and quantized kernels: all but the first, the last, shortcuts and depthwise ones.
# MobileNetV2 on 32 pixels ends in maps of one pixel, whose statistics over a batch say nothing.
FAMILIES = {
    "MobileNet": (32, 13),
    "MobileNetV2": (96, 34),
    "MobileNetV3Small": (32, 41),
    "MobileNetV3Large": (32, 47),
    "VGG16": (32, 14),
    "ResNet50": (32, 48),
    "ResNet50V2": (32, 48),
    "DenseNet121": (32, 119),
    "Xception": (71, 35),
    "InceptionV3": (75, 93),
    "InceptionResNetV2": (75, 243),
    "NASNetMobile": (32, 195),
    "EfficientNetB0": (32, 64),
    "EfficientNetV2B0": (32, 74),
    "ConvNeXtTiny": (32, 39),
}
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
    before = [kernel.latent.numpy() for kernel in tf_signbin.quantized_kernels(model)]
    # Eagerly: the graph of the step takes longer to build than the step.
    model.compile(keras.optimizers.SGD(1e-2), "sparse_categorical_crossentropy", run_eagerly=True)
    assert np.isfinite(model.train_on_batch(x, np.arange(4)))
    after = [kernel.latent.numpy() for kernel in tf_signbin.quantized_kernels(model)]
    moved = [(a != b).any() for a, b in zip(before, after, strict=True)]
    # Without BatchNormalization VGG's signal has faded to nothing behind its first layers.
    assert all(moved) or name == "VGG16"

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = np.asarray(model(x, training=False))
    np.testing.assert_array_equal(np.asarray(loaded(x, training=False)), expected)

    packed = tf_signbin.convert(loaded, strict=True)
    plain = tf_signbin.unpack(packed)
    # The delegate and reference kernels around it, against reference kernels alone.
    report = verify(plain, packed, [[x[:1]], [x[1:2]]], delegate=True)
    # Layers on their own inputs; through 240 of them the roundings of float sums add up.
    assert all(check.ok for check in report.layers), report
    assert len(report.layers) >= kernels
    if activations == "int8":
        assert Reference(plain).float_operators() == []
        assert report.ok, report
        assert all(check.error == 0 for check in report.layers)
    # Without the stem, which is faster in the delegate although it is dense.
    interpreter = tf_signbin.Interpreter(packed, num_threads=1, claim_dense=False)
    interpreter.allocate_tensors()
    assert len(interpreter.claimed_layers) == len(report.layers)
    if activations == "float32":
        np.testing.assert_allclose(interpreter.predict(x), expected, rtol=1e-2, atol=1e-3)
    keras.utils.clear_session()


def test_the_documented_table_is_that_of_the_measurements():
    text = applications.PAGE.read_text()
    assert applications.with_table(text) == text, "run tools/applications.py --table"
    measured = json.loads(applications.RESULTS.read_text())["networks"]
    assert set(measured) <= set(applications.SIZES) == set(FAMILIES)
    assert all(row["claimed"] >= row["packed_layers"] for row in measured.values())

"""Every family of tf_keras.applications, small and without weights, up to the delegate."""

from __future__ import annotations

import numpy as np
import pytest

import tf_signbin
from tests.litert_reference import Reference
from tests.train import models
from tf_signbin.convert.verify import verify
from tf_signbin.train.keras2.legacy_keras import keras

# Input size, and quantized kernels: all but the first, the last, shortcuts and depthwise ones.
FAMILIES = {
    "MobileNet": (32, 13),
    "MobileNetV2": (32, 34),
    "MobileNetV3Small": (32, 41),
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
    "RegNetX002": (32, 26),
    "RegNetY002": (32, 52),
}
FAST = [("MobileNetV2", "float32"), ("MobileNetV3Small", "int8"), ("RegNetX002", "int8")]
CASES = [
    pytest.param(name, activations, marks=() if (name, activations) in FAST else pytest.mark.slow)
    for name in FAMILIES
    for activations in ("int8", "float32")
]


@pytest.mark.parametrize(("name", "activations"), CASES)
def test_family_from_quantizing_to_the_delegate(name, activations, rng):
    size, kernels = FAMILIES[name]
    keras.utils.set_random_seed(int(rng.integers(2**31)))
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10)
    quantized = tf_signbin.quantize_model(model, activations=activations)
    assert len(tf_signbin.quantized_kernels(quantized)) == kernels

    x = rng.uniform(-1, 1, (4, size, size, 3)).astype(np.float32)
    if activations == "int8":
        models.fit_ranges(quantized, x, training=True)
    before = [kernel.latent.numpy() for kernel in tf_signbin.quantized_kernels(quantized)]
    # Eagerly: the graph of the step takes longer to build than the step.
    quantized.compile(
        keras.optimizers.SGD(1e-2), "sparse_categorical_crossentropy", run_eagerly=True
    )
    assert np.isfinite(quantized.train_on_batch(x, np.arange(4)))
    after = [kernel.latent.numpy() for kernel in tf_signbin.quantized_kernels(quantized)]
    moved = [(a != b).any() for a, b in zip(before, after, strict=True)]
    # Without BatchNormalization VGG's signal has faded to nothing behind its first layers.
    assert all(moved) or name == "VGG16"

    packed = tf_signbin.convert(quantized, strict=True)
    plain = tf_signbin.unpack(packed)
    # The delegate and reference kernels around it, against reference kernels alone.
    report = verify(plain, packed, [[x[:1]], [x[1:2]]], delegate=True)
    assert len(report.layers) >= kernels
    # Statistics of BatchNormalization from before training let rounding grow to any size: in float
    # each layer is judged by what it makes of its own input.
    assert all(check.ok for check in report.layers), report
    if activations == "int8":
        assert report.ok, report
        assert all(check.error == 0 for check in report.layers)
        assert Reference(plain).float_operators() == []
    assert np.isfinite(tf_signbin.Interpreter(packed).predict(x)).all()
    keras.backend.clear_session()

"""keras.applications quantize as they are, with int8 activations, without weights and small."""

from __future__ import annotations

import keras
import pytest

import tf_signbin
from tf_signbin.train.keras3.layers import FakeQuantize

# Family, input size, quantized kernels: all but the first, the last, shortcuts and depthwise ones.
FAMILIES = [
    ("MobileNetV3Small", 32, 41),
    ("MobileNet", 32, 13),
    ("MobileNetV2", 32, 34),
    ("EfficientNetB0", 32, 64),
    ("EfficientNetV2B0", 32, 74),
    ("ResNet50", 32, 48),
    ("ResNet50V2", 32, 48),
    ("DenseNet121", 32, 119),
    ("Xception", 71, 35),
    ("InceptionV3", 75, 93),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size", "kernels"), FAMILIES, ids=lambda v: str(v))
def test_family_quantizes(name, size, kernels):
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(size, size, 3), classes=10)
    quantized = tf_signbin.quantize_model(model, activations="int8")
    assert len(tf_signbin.quantized_kernels(quantized)) == kernels
    assert any(isinstance(layer, FakeQuantize) for layer in quantized.layers)
    keras.utils.clear_session()

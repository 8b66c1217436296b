"""Every family of tf_keras.applications, small and without weights, up to the delegate."""

from __future__ import annotations

import numpy as np
import pytest

import tf_signbin
from tests import families
from tests.train import models
from tf_signbin.train.keras2.legacy_keras import keras

FAMILIES = {**families.FAMILIES, "RegNetX002": (32, 26), "RegNetY002": (32, 52)}
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
    families.check_training_step(keras, quantized, x, name)

    packed = tf_signbin.convert(quantized, strict=True)
    plain = tf_signbin.unpack(packed)
    families.check_packed(plain, packed, x, kernels, activations)
    assert np.isfinite(tf_signbin.Interpreter(packed).predict(x)).all()
    keras.backend.clear_session()

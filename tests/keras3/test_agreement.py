"""A trained int8 network predicts in Keras what its file predicts."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import tf_signbin
from tests.keras3 import models
from tests.litert_reference import Reference
from tf_signbin.training.datasets import digits

layers = keras.layers


def network():
    """Additions, both kinds of average pooling, and a shortcut of 1x1."""
    image = keras.Input((8, 8, 1))
    x = layers.ReLU()(models.conv_norm(image, 16))
    y = models.conv_norm(layers.ReLU()(models.conv_norm(x, 16)), 16)
    x = layers.AveragePooling2D(2)(layers.ReLU()(layers.Add()([x, y])))
    y = models.conv_norm(layers.ReLU()(models.conv_norm(x, 32)), 32)
    x = layers.ReLU()(layers.Add()([models.conv_norm(x, 32, 1), y]))
    return keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.slow
def test_predictions_agree():
    keras.utils.set_random_seed(0)
    data = digits.load()
    x, test = (
        (images / 255.0 - data.mean).astype(np.float32) / np.float32(data.std)
        for images in (data.train_images, data.test_images)
    )
    model = network()
    for epochs, rate in ((4, 1e-2), (6, 3e-3)):
        if epochs == 6:
            model = tf_signbin.quantize_model(model, activations="int8")
        model.compile(
            keras.optimizers.Adam(rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        model.fit(x, data.train_labels, batch_size=64, epochs=epochs, verbose=0)
    expected = model.predict(test, verbose=0).argmax(1)
    reference = Reference(tf_signbin.unpack(tf_signbin.convert(model)))
    found = reference.predict(test)
    assert (expected == data.test_labels).mean() > 0.95
    assert (found.argmax(1) == expected).mean() >= 0.995

    emulated = tf_signbin.emulate(model).predict(test, verbose=0)
    assert (found.argmax(1) == emulated.argmax(1)).mean() >= 0.999
    # Float sums of a few values lie on the other side of the middle between two steps.
    steps = np.abs(found - emulated) / reference.output_scale()
    assert (steps < 0.5).mean() >= 0.99
    assert steps.max() <= 2.01

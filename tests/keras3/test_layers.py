"""The layers by themselves, against their formulas in NumPy float64."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tf_signbin.train.keras3 import layers
from tf_signbin.train.rules.dense import on_channel_grid
from tf_signbin.train.rules.namespace import NUMPY


def test_range_is_the_mean_at_first_and_a_moving_average_later(rng):
    layer = layers.FakeQuantize(momentum=0.75)
    low = high = 0.0
    for step in range(8):
        batch = rng.normal(size=(4, 3)).astype(np.float32) * 3
        layer(batch, training=True)
        keep = min(0.75, step / (step + 1))
        low = keep * low + (1 - keep) * float(batch.min())
        high = keep * high + (1 - keep) * float(batch.max())
    assert float(layer.minimum) == pytest.approx(low, rel=1e-5)
    assert float(layer.maximum) == pytest.approx(high, rel=1e-5)


def test_fake_quantization_rounds_to_255_steps_with_zero_on_the_grid(rng):
    layer = layers.FakeQuantize(limits=(-1.0, 127 / 128))
    x = rng.uniform(-1.5, 1.5, 1000).astype(np.float32)
    x = x[np.abs(x * 128 % 1 - 0.5) > 1e-3]  # float32 rounds a value beside a tie either way
    expected = np.clip(np.floor(x.astype(np.float64) * 128 + 0.5), -128, 127) / 128
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x)), expected, atol=1e-7)


@pytest.mark.parametrize("how", ["inference", "frozen", "sharing"])
def test_ranges_stay(how, rng):
    layer = layers.FakeQuantize()
    layer(np.ones((2, 2), np.float32), training=True)
    before = [np.array(v) for v in layer.weights]
    layer.trainable = how != "frozen"
    x = rng.normal(size=(2, 2)).astype(np.float32) * 9
    layer(x, training=how != "inference", observe=how != "sharing")
    np.testing.assert_array_equal(before, [np.array(v) for v in layer.weights])


def test_values_without_spread_have_a_range():
    layer = layers.FakeQuantize()
    y = layer(np.zeros((2, 2), np.float32), training=True)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(y), np.zeros((2, 2)))


def test_dense_weights_are_127ths_of_the_largest_of_their_channel(rng):
    kernel = rng.normal(size=(3, 3, 4, 5)).astype(np.float32)
    kernel[..., 2] = 0.0
    largest = np.abs(kernel.astype(np.float64)).max((0, 1, 2))
    steps = np.round(127 * kernel / np.where(largest > 0, largest, 1))
    found = on_channel_grid(NUMPY, kernel, (0, 1, 2))
    np.testing.assert_allclose(found, steps * largest / 127, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(4, 3), (4, 6, 3), (4, 5, 6, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_channel_scale(shape, training, rng):
    layer = layers.ChannelScale()
    x = rng.normal(size=shape).astype(np.float32)
    layer(x)
    scale, shift = rng.normal(size=(2, 3)).astype(np.float32)
    layer.scale.assign(scale)
    layer.shift.assign(shift)
    found = keras.ops.convert_to_numpy(layer(x, training=training))
    np.testing.assert_allclose(found, x * scale + shift, rtol=1e-5, atol=1e-6)

"""The record of a layer: energy by hand, and the same from Keras as from the converted file."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tf_signbin
from tests.train import models
from tf_signbin.costs import LayerFacts, totals
from tf_signbin.train import BinaryQuantizer, SignedBinaryQuantizer, TernaryQuantizer

# Horowitz, ISSCC 2014, figure 1.1.9: pJ.
FLOAT_ADD, FLOAT_MULTIPLY, INT32_ADD, INT8_MULTIPLY, INT32_MULTIPLY = 0.9, 3.7, 0.1, 0.2, 3.1
DRAM_64_BITS = 1300


def dense(activation_type, weights, outputs, macs):
    return LayerFacts.dense(
        name="", operator="", activation_type=activation_type, weights=weights, outputs=outputs,
        macs=macs,
    )  # fmt: skip


def test_energy_of_dense_layers_by_hand():
    layer = dense("float32", 16, 10, 1000)
    assert layer.arithmetic_nj_per_sample == pytest.approx(FLOAT_ADD + FLOAT_MULTIPLY)
    assert layer.dram_nj_per_sample == pytest.approx(16 * 4 / 8 * DRAM_64_BITS / 1e3)
    layer = dense("int8", 16, 10, 1000)
    picojoules = 1000 * (INT32_ADD + INT8_MULTIPLY) + 10 * INT32_MULTIPLY
    assert layer.arithmetic_nj_per_sample == pytest.approx(picojoules / 1e3)
    assert layer.dram_nj_per_sample == pytest.approx(2 * DRAM_64_BITS / 1e3)


def test_masks_by_hand():
    """Two filters of 12 weights in two regions, 5 of all 24 effectual, over a background."""
    masks = np.zeros((1, 2, 1, 3, 4), bool)
    masks.reshape(-1)[[0, 1, 5, 13, 20]] = True
    layer = LayerFacts.masked(
        masks, positions=7, is_binary=False, name="", operator="", kind="signed_binary",
        activation_type="int8", regions=2, has_background=True, weight_bytes=8,
    )  # fmt: skip
    assert (layer.weights, layer.effectual_weights, layer.density) == (24, 5, 5 / 24)
    assert (layer.outputs_per_sample, layer.macs_per_sample) == (7 * 2, 7 * 24)
    assert layer.additions_per_sample == 7 * (5 + 12), "the window's sum serves both filters"
    assert layer.scalings_per_sample == 7 * 2 * 2 * 2, "two values in each of two regions"
    assert layer.engine_lookups_per_output == 3
    picojoules = 7 * 17 * INT32_ADD + 56 * INT32_MULTIPLY + DRAM_64_BITS
    assert layer.energy_nj_per_sample == pytest.approx(picojoules / 1e3)


def test_totals_are_sums():
    masks = np.ones((1, 4, 1, 1, 8), bool)
    packed = LayerFacts.masked(
        masks, positions=1, is_binary=True, name="", operator="", kind="binary",
        activation_type="float32", regions=1, has_background=True, weight_bytes=36,
    )  # fmt: skip
    other = dense("float32", 10, 5, 10)
    sums = totals([packed, other])
    assert sums["weights"] == 42
    assert (sums["packed_weights"], sums["density"], sums["bits_per_weight"]) == (32, 1.0, 9.0)
    assert sums["macs_per_sample"] == 42
    energies = packed.energy_nj_per_sample + other.energy_nj_per_sample
    assert sums["energy_nj_per_sample"] == pytest.approx(energies)
    assert totals([])["density"] == 1.0


SOURCES = [
    ("residual", {"activations": "int8", "pattern": (2, 10)}),
    ("residual", {"quantizer": SignedBinaryQuantizer()}),
    ("bottleneck", {"activations": "int8", "quantizer": BinaryQuantizer()}),
    ("mobile", {"quantizer": TernaryQuantizer()}),
    ("conv1d", {"activations": "int8", "background": "centered"}),
]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [*SOURCES[:2], *(pytest.param(*source, marks=pytest.mark.slow) for source in SOURCES[2:])],
    ids=str,
)
def test_the_same_record_from_keras_and_from_the_file(kind, arguments, rng):
    model = tf_signbin.quantize_model(models.ALL[kind](), **arguments)
    models.train(model, rng)
    from_keras = tf_signbin.summary(model, tflite=False).layers
    from_file = tf_signbin.inspect_model(tf_signbin.convert(model)).layers

    def figures(layer):
        shape = (
            layer.is_dense, layer.activation_type, layer.weights, layer.weight_bytes,
            layer.outputs_per_sample, layer.macs_per_sample, layer.products_per_sample,
            layer.scalings_per_sample, layer.engine_lookups_per_output, layer.has_background,
        )  # fmt: skip
        if layer.has_background and "pattern" not in arguments:
            # Without a pattern either of the two values may be the mask's in a file, and may show
            # a pattern by chance.
            return shape
        group = layer.engine_group_channels
        return (
            *shape, layer.effectual_weights, layer.additions_per_sample,
            layer.distinct_patterns.get(group, math.nan),
        )  # fmt: skip

    def sort(layers):
        return sorted(repr(figures(layer)) for layer in layers)

    assert sort(from_keras) == sort(from_file)
    ours, files = totals(from_keras), totals(from_file)
    assert ours["weight_bytes"] == files["weight_bytes"]
    assert ours["energy_nj_per_sample"] == pytest.approx(files["energy_nj_per_sample"], rel=0.02)

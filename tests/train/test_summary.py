"""tf_signbin.summary against counts made by hand and the converter's real output."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tf_signbin
from tests.train import models
from tf_signbin.convert.report import ConversionReport
from tf_signbin.train import BinaryQuantizer, SignedBinaryQuantizer, TernaryQuantizer

layers = models.layers


def one_layer(quantizer, **arguments):
    """A 3x3 convolution, 10 -> 4 channels on 6x6 pixels, between two dense ones."""
    image = models.keras.Input((6, 6, 10))
    x = layers.Conv2D(10, 1)(image)
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="middle")(x)
    x = layers.BatchNormalization()(x)
    model = models.keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))
    quantized = tf_signbin.quantize_model(model, quantizer=quantizer, **arguments)
    summary = tf_signbin.summary(quantized, tflite=False)
    return next(row for row in summary.layers if row.name == "quant_middle"), summary, quantized


def set_mask(quantized, effectual):
    """Latent weights with this many effectual ones in each filter, from tap 0, channel 0 on."""
    kernel = quantized.get_layer("quant_middle").layer.kernel
    values = np.full((90, 4), -1.0, np.float32) * [1, 1, -1, -1]
    values[:effectual] *= -1
    kernel.assign(values.reshape(kernel.shape))


def test_signed_binary_by_hand():
    _, _, quantized = one_layer(SignedBinaryQuantizer())
    set_mask(quantized, 12)
    row = tf_signbin.summary(quantized, tflite=False).layers[1]
    assert (row.weights, row.effectual_weights, row.density) == (360, 48, 48 / 360)
    assert (row.macs_per_sample, row.additions_per_sample) == (36 * 360, 36 * 48)
    assert (row.products_per_sample, row.scalings_per_sample) == (0, 36 * 4)
    # 12 bytes of bits and two float32 values for each filter of 90 weights.
    assert row.weight_bytes == 4 * (12 + 8)
    assert row.bits_per_weight == 8 * 80 / 360
    assert row.engine_lookups_per_output == 9 * 2
    # float additions, one scaling per output, weights once from DRAM: 1.3 nJ for 8 bytes.
    picojoules = 36 * 48 * 0.9 + 36 * 4 * 3.7 + 80 / 8 * 1300
    assert row.energy_nj_per_sample == pytest.approx(picojoules / 1000)
    # The masks of all four filters are equal.
    assert set(row.distinct_patterns.values()) == {1.0}


def test_background_and_pattern_by_hand():
    quantizer = SignedBinaryQuantizer(background="centered", pattern=(2, 10))
    _, _, quantized = one_layer(quantizer, activations="int8")
    set_mask(quantized, 90)
    row = tf_signbin.summary(quantized, tflite=False).layers[1]
    assert (row.effectual_weights, row.pattern, row.background) == (4 * 9 * 2, (2, 10), "centered")
    # The window sum of 90 inputs is shared by the four filters.
    assert row.additions_per_sample == 36 * (72 + 90)
    assert (row.scalings_per_sample, row.engine_lookups_per_output) == (2 * 36 * 4, 9)
    assert row.weight_bytes == 4 * (12 + 2)


@pytest.mark.parametrize(
    ("quantizer", "kind", "row_bytes", "lookups"),
    [(BinaryQuantizer(), "binary", 12 + 8, 18), (TernaryQuantizer(), "ternary", 24 + 4, 36)],
)
def test_baselines(quantizer, kind, row_bytes, lookups):
    row, summary, _ = one_layer(quantizer)
    assert (row.kind, row.weight_bytes) == (kind, 4 * row_bytes)
    assert row.engine_lookups_per_output == lookups
    assert row.density == 1.0 if kind == "binary" else row.density < 1
    assert [r.kind for r in summary.layers] == ["dense", kind, "dense"]


def test_totals_table_and_dict():
    row, summary, _ = one_layer(SignedBinaryQuantizer())
    totals = summary.totals()
    assert totals["weights"] == 100 + 360 + 144 * 3
    assert totals["packed_weights"] == 360
    assert totals["macs_per_sample"] == 36 * 100 + 36 * 360 + 432
    assert summary.other_parameters == 10 + 4 * 4 + 3, "biases and the BatchNorm's four vectors"
    assert json.loads(json.dumps(summary.to_dict()))["totals"]["effectual_weights"] == (
        row.effectual_weights
    )
    assert "quant_middle" in str(summary)
    assert "signed_binary" in str(summary)


def test_nested_separable_and_plain_models_are_listed():
    rows = tf_signbin.summary(tf_signbin.quantize_model(models.separable()), tflite=False).layers
    kinds = [(row.operator, row.kind) for row in rows]
    assert kinds == [
        ("Conv2D", "dense"),
        ("SeparableConv2D", "dense"),
        ("SeparableConv2D", "signed_binary"),
        ("SeparableConv2D", "dense"),
        ("SeparableConv2D", "signed_binary"),
        ("Dense", "dense"),
    ]
    assert len(tf_signbin.summary(models.nested(), tflite=False).layers) == 4
    with pytest.raises(ValueError, match="no convolution or dense layer"):
        tf_signbin.summary(models.keras.Sequential([layers.ReLU(input_shape=(3,))]))


SIZES = [
    ("residual", {"activations": "int8", "pattern": (3, 7)}),
    ("residual", {"quantizer": TernaryQuantizer()}),
    ("conv1d", {"activations": "int8", "quantizer": BinaryQuantizer()}),
    ("separable", {"activations": "int8"}),
    ("dense", {"quantizer": SignedBinaryQuantizer(region_channels=4, scale="mean")}),
    ("sequence", {"activations": "int8", "background": "learned"}),
]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [SIZES[0], *(pytest.param(*size, marks=pytest.mark.slow) for size in SIZES[1:])],
    ids=str,
)
def test_sizes_equal_the_converters(kind, arguments, rng):
    """The file's size, and the packed bytes of each layer, exactly."""
    quantized = tf_signbin.quantize_model(models.ALL[kind](), **arguments)
    models.train(quantized, rng)
    summary = tf_signbin.summary(quantized)
    report = ConversionReport()
    assert summary.tflite_bytes == len(tf_signbin.convert(quantized, report=report))
    ours = sorted(row.weight_bytes for row in summary.layers if not row.is_dense)
    assert ours == sorted(layer.packed_bytes for layer in report.packed)

"""tf_signbin.summary of Keras 3 models: the other front end's numbers, and those of the file."""

from __future__ import annotations

import keras
import pytest

import tf_signbin
from tests.keras3 import models

layers = keras.layers
# What the record of a layer and the record of its operator in the file have in common.
COUNTED = ("kind", "activation_type", "weights", "effectual_weights", "weight_bytes", "regions",
           "pattern", "has_background", "outputs_per_sample", "macs_per_sample",
           "additions_per_sample", "products_per_sample", "scalings_per_sample",
           "engine_lookups_per_output")  # fmt: skip


def rows(summary, fields=COUNTED):
    # A file does not say how masks were trained.
    kinds = {"signed_binary": "two_valued", "binary": "two_valued"}
    return sorted(
        tuple(kinds.get(value, value) for value in (getattr(layer, f) for f in fields))
        for layer in summary.layers
    )


@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_same_network_same_numbers_in_both_kerases(activations, rng):
    from tests.train import models as keras2_models

    ours, theirs = models.residual(), keras2_models.residual()
    theirs.set_weights(ours.get_weights())
    arguments = {"activations": activations, "pattern": (3, 7), "background": "centered"}
    ours, theirs = (
        tf_signbin.summary(tf_signbin.quantize_model(m, **arguments), tflite=False)
        for m in (ours, theirs)
    )
    fields = (*COUNTED, "operator", "filter_shape", "background", "delta")
    assert rows(ours, fields) == rows(theirs, fields)
    assert ours.totals() == theirs.totals()


# A file without a pattern does not say which one it was trained with.
UNPATTERNED = [f for f in COUNTED if f not in ("pattern", "engine_lookups_per_output")]
CASES = [
    ("modern", {"activations": "int8", "keep_dense": "dense*", "background": "none"}, UNPATTERNED),
    ("residual", {"activations": "int8", "pattern": (3, 7)}, COUNTED),
    ("conv1d", {"quantizer": tf_signbin.TernaryQuantizer()}, COUNTED),
    ("nested", {"keep_dense": ["c", "dense*"], "background": "none"}, UNPATTERNED),
    # A layer that is called twice becomes two operators.
    ("shared", {"activations": "int8", "keep_dense": ["far", "same", "tower"]}, ()),
]


@pytest.mark.parametrize(
    ("kind", "arguments", "fields"),
    [CASES[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[1:])],
    ids=str,
)
def test_numbers_are_those_of_the_file(kind, arguments, fields, rng):
    quantized = tf_signbin.quantize_model(getattr(models, kind)(), **arguments)
    if kind != "shared":
        models.train(quantized, rng)
    with_file = kind == "residual"  # which converts once more
    summary = tf_signbin.summary(quantized, tflite=with_file)
    flatbuffer = tf_signbin.convert(quantized)
    info = tf_signbin.inspect_model(flatbuffer)
    assert summary.tflite_bytes == (len(flatbuffer) if with_file else None)
    assert summary.totals()["macs_per_sample"] == info.totals()["macs_per_sample"]
    if fields:
        assert rows(summary, fields) == rows(info, fields)

"""Every callback on Keras 3: schedules reach what they promise, statistics what NumPy counts."""

from __future__ import annotations

import glob
import itertools

import keras
import numpy as np
import pytest

import tf_signbin
from tests.keras3 import models
from tf_signbin.train import SignedBinaryQuantizer, TernaryQuantizer

layers = keras.layers


def dense():
    return keras.Sequential(
        [
            keras.Input((20,)),
            layers.Dense(24, activation="relu", name="first"),
            layers.Dense(16, use_bias=False, name="second"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dense(5, name="logits"),
        ]
    )


def fit(model, rng, callbacks, epochs=3, **arguments):
    if not model.compiled:
        model.compile(keras.optimizers.Adam(1e-2), "mse")
    x, y = models.data(model, rng, 32), rng.normal(size=(32, 5))
    return model.fit(
        x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks, **arguments
    ).history


def watch(function):
    """A callback that keeps the function's values at the epochs' ends, and those values."""
    seen = []
    return keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(function())), seen


def masks(model):
    return [keras.ops.convert_to_numpy(k.mask()) for k in tf_signbin.quantized_kernels(model)]


def share(model):
    return np.concatenate([mask.ravel() for mask in masks(model)]).mean()


def test_ede_schedule_is_the_formula_of_irnet(rng):
    quantizer = SignedBinaryQuantizer(estimator="ede")
    model = tf_signbin.quantize_model(dense(), quantizer=quantizer)
    variables = tf_signbin.quantized_kernels(model)[0].variables
    record, seen = watch(lambda: (float(variables["ede_t"]), float(variables["ede_k"])))
    fit(model, rng, [tf_signbin.EDESchedule(epochs=4), record], epochs=4)
    t = [0.1 * 10 ** (2 * epoch / 4) for epoch in range(4)]
    np.testing.assert_allclose(seen, [(v, max(1 / v, 1)) for v in t], rtol=1e-5)


@pytest.mark.parametrize("per_layer", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_density_schedule_reaches_its_target_and_resumes(per_layer, rng):
    model = tf_signbin.quantize_model(dense(), activations="int8", keep_dense="logits")
    schedule = tf_signbin.DensitySchedule(0.2, end=2, per_layer=per_layer, steps=2)
    history = fit(model, rng, [schedule, tf_signbin.LayerStatistics()])
    assert share(model) == pytest.approx(0.2, abs=0.01)
    assert history["density"][-1] == pytest.approx(share(model), abs=1e-6)
    if per_layer:
        assert [m.mean() for m in masks(model)] == pytest.approx([0.2, 0.2], abs=0.02)
    resumed = fit(model, rng, [schedule], epochs=4, initial_epoch=3)
    assert len(resumed["loss"]) == 1
    assert share(model) == pytest.approx(0.2, abs=0.01)


def test_pattern_schedule_tightens(rng):
    model = tf_signbin.quantize_model(dense(), pattern=(2, 8), keep_dense="logits")
    record, seen = watch(lambda: share(model))
    fit(model, rng, [tf_signbin.PatternSchedule(1, 4), record], epochs=6)
    assert seen[0] > 0.4, "no limit in the first epoch"
    assert np.all(np.diff(seen)[1:4] < 0), "each further epoch tightens"
    for mask in masks(model):
        groups = mask[: len(mask) // 8 * 8].reshape(-1, 8, mask.shape[-1])
        assert groups.sum(1).max() <= 2, "the limit holds exactly in the end"


def test_layer_statistics(rng, tmp_path):
    import tensorflow as tf

    quantizers = {"first": TernaryQuantizer(), "second": SignedBinaryQuantizer()}
    model = tf_signbin.quantize_model(
        dense(), quantizer=lambda layer: quantizers[layer.name], keep_dense="logits"
    )
    start = masks(model)
    record, seen = watch(lambda: masks(model))
    history = fit(model, rng, [tf_signbin.LayerStatistics(str(tmp_path)), record], epochs=2)
    steps = [np.concatenate([m.ravel() for m in step]) for step in (start, *seen)]
    assert history["density"] == pytest.approx([step.mean() for step in steps[1:]])
    flips = [(before != after).mean() for before, after in itertools.pairwise(steps)]
    assert history["flip_ratio"] == pytest.approx(flips)
    (events,) = glob.glob(str(tmp_path / "events*"))
    tags = {
        value.tag
        for record in tf.data.TFRecordDataset(events)
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    }
    for name in quantizers:
        assert {f"density/{name}", f"flip_ratio/{name}", f"threshold/{name}"} <= tags


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tf_signbin.EDESchedule(4), "estimator='ede'"),
        (lambda: tf_signbin.PatternSchedule(0, 1), "Give quantize_model a pattern"),
        (lambda: tf_signbin.LayerStatistics(), "quantize_model first"),
        (lambda: tf_signbin.DensitySchedule(0.2), "must be SignedBinaryQuantizer"),
    ],
)
def test_models_that_are_not_concerned(make, message, rng):
    quantized = tf_signbin.quantize_model(dense(), quantizer=tf_signbin.BinaryQuantizer())
    model = dense() if "first" in message else quantized
    with pytest.raises(ValueError, match=message):
        fit(model, rng, [make()])

"""Schedules reach what they promise, and statistics are what NumPy counts."""

from __future__ import annotations

import glob

import numpy as np
import pytest

import tf_signbin
from tests.train import models
from tf_signbin.train import SignedBinaryQuantizer, TernaryQuantizer
from tf_signbin.train.keras2.legacy_keras import keras, tf


def fit(model, rng, callbacks, epochs=3, **arguments):
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    x = models.data(model, rng, 32)
    return model.fit(
        x, rng.normal(size=(32, 5)), batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks,
        **arguments,
    )  # fmt: skip


def density(model):
    return tf_signbin.summary(model, tflite=False).totals()["density"]


def test_ede_schedule(rng):
    quantizer = SignedBinaryQuantizer(estimator="ede")
    model = tf_signbin.quantize_model(models.dense(), quantizer=quantizer)
    seen = []
    kernel = tf_signbin.quantized_kernels(model)[0]
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: seen.append(
            (float(kernel.variables["ede_t"]), float(kernel.variables["ede_k"]))
        )
    )
    fit(model, rng, [tf_signbin.EDESchedule(epochs=4), record], epochs=4)
    t = [0.1 * 10 ** (2 * epoch / 4) for epoch in range(4)]
    np.testing.assert_allclose(seen, [(v, max(1 / v, 1)) for v in t], rtol=1e-5)
    with pytest.raises(ValueError, match="estimator='ede'"):
        fit(tf_signbin.quantize_model(models.dense()), rng, [tf_signbin.EDESchedule(4)])


@pytest.mark.parametrize("per_layer", [False, True])
@pytest.mark.parametrize("target", [0.36, 0.25, 0.2, 0.1])
def test_density_schedule_reaches_its_target(per_layer, target, rng):
    model = tf_signbin.quantize_model(models.residual())
    schedule = tf_signbin.DensitySchedule(target, end=2, per_layer=per_layer, steps=2)
    statistics = tf_signbin.LayerStatistics()
    history = fit(model, rng, [schedule, statistics]).history
    assert density(model) == pytest.approx(target, abs=0.01)
    assert history["density"][-1] == pytest.approx(density(model), abs=1e-6)
    if per_layer:
        rows = [r for r in tf_signbin.summary(model, tflite=False).layers if not r.is_dense]
        assert [r.density for r in rows] == pytest.approx([target] * len(rows), abs=0.02)
    else:
        deltas = {float(k.variables["delta"]) for k in tf_signbin.quantized_kernels(model)}
        assert len(deltas) == 1


def test_density_falls_gradually_and_resumes(rng):
    model = tf_signbin.quantize_model(models.residual())
    schedule = tf_signbin.DensitySchedule(0.1, end=4, steps=1)
    history = fit(model, rng, [schedule, tf_signbin.LayerStatistics()], epochs=6).history
    steps = np.diff(history["density"])
    assert (steps[:4] < 0).all()
    assert history["density"][-1] == pytest.approx(0.1, abs=0.01)
    resumed = fit(
        model, rng, [schedule, tf_signbin.LayerStatistics()], epochs=7, initial_epoch=6
    ).history
    assert resumed["density"] == pytest.approx([0.1], abs=0.01)


def test_density_schedule_with_a_pattern(rng):
    model = tf_signbin.quantize_model(models.residual(), pattern=(3, 7))
    fit(model, rng, [tf_signbin.DensitySchedule(0.2, end=1, steps=2)])
    assert density(model) == pytest.approx(0.2, abs=0.01)


def test_pattern_schedule_tightens(rng):
    model = tf_signbin.quantize_model(models.residual(), pattern=(2, 8))
    statistics = tf_signbin.LayerStatistics()
    history = fit(model, rng, [tf_signbin.PatternSchedule(1, 4), statistics], epochs=6).history[
        "density"
    ]
    assert history[0] > 0.4, "no limit in the first epoch"
    assert np.all(np.diff(history)[1:4] < 0), "each further epoch tightens"
    for kernel in tf_signbin.quantized_kernels(model):
        mask = kernel.mask().numpy()
        assert mask[:, :, :8].sum(2).max() <= 2, "the limit holds exactly in the end"
    with pytest.raises(ValueError, match="Give quantize_model a pattern"):
        fit(tf_signbin.quantize_model(models.dense()), rng, [tf_signbin.PatternSchedule(0, 1)])


def test_layer_statistics(rng, tmp_path):
    model = tf_signbin.quantize_model(
        models.dense(),
        quantizer=lambda layer: TernaryQuantizer() if "dense" in layer.name else None,
    )
    masks = [[k.mask().numpy() for k in tf_signbin.quantized_kernels(model)]]
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: masks.append(
            [k.mask().numpy() for k in tf_signbin.quantized_kernels(model)]
        )
    )
    history = fit(model, rng, [tf_signbin.LayerStatistics(str(tmp_path)), record], epochs=2).history
    for epoch in range(2):
        before = np.concatenate([m.ravel() for m in masks[epoch]])
        after = np.concatenate([m.ravel() for m in masks[epoch + 1]])
        assert history["density"][epoch] == pytest.approx(after.mean())
        assert history["flip_ratio"][epoch] == pytest.approx((before != after).mean())
    (events,) = glob.glob(str(tmp_path / "events*"))
    tags = {
        value.tag
        for record in tf.data.TFRecordDataset(events)
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    }
    names = [k.name for k in tf_signbin.quantized_kernels(model)]
    for name in names:
        assert {f"density/{name}", f"flip_ratio/{name}", f"threshold/{name}"} <= tags
    assert {"density", "flip_ratio"} <= tags


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tf_signbin.DensitySchedule(1.5), "target=1.5"),
        (lambda: tf_signbin.DensitySchedule(0.2, begin=3, end=2), "begin=3 and end=2"),
        (lambda: tf_signbin.PatternSchedule(2, 2), "begin=2 and end=2"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_unquantized_model_is_an_error(rng):
    with pytest.raises(ValueError, match="quantize_model first"):
        fit(models.dense(), rng, [tf_signbin.LayerStatistics()])

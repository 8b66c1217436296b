"""Every backend of Keras trains the same model, on one device and on several, and converts it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

import tf_signbin
from tests.keras3 import models
from tests.litert_reference import Reference

STEPS, BATCH = 6, 16

# Trains start.keras on data.npz; TensorFlow does it in the tests' own process.
TRAIN = """
import sys
import keras, numpy as np, tf_signbin
from tests.keras3.models import trained

def result(name, distribution=None):
    keras.distribution.set_distribution(distribution)
    model, losses = trained("start.keras", np.load("data.npz"))
    weights = [keras.ops.convert_to_numpy(w) for w in model.weights]
    predicted = model.predict(np.load("data.npz")["x"][0], verbose=0)
    np.savez(name + ".npz", *weights, losses=losses, predicted=predicted)
    return model

model = result("one")
model.save("trained.keras")
if "convert" in sys.argv:
    open("trained.tflite", "wb").write(tf_signbin.convert(model))
if "distribute" in sys.argv:
    devices = keras.distribution.list_devices()
    assert len(devices) == 2, devices
    result("two", keras.distribution.DataParallel(devices=devices))
"""


def in_another_process(backend, folder, *arguments, script=TRAIN, **environment):
    environment |= {"KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder, env={**os.environ, **environment},
        capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]


# Inputs of 4 bits have learned steps, and the residual stream beside them keeps its 8 bits.
ALL_BITS = (4, pytest.param(8, marks=pytest.mark.slow))


@pytest.fixture(params=ALL_BITS, ids=lambda bits: f"{bits} bits")
def start(request, tmp_path, rng):
    """start.keras and data.npz in a folder."""
    model = tf_signbin.quantize_model(models.tiny(), activations="int8", input_bits=request.param)
    assert len(tf_signbin.low_bit_inputs(model)) == (request.param < 8)
    model.save(tmp_path / "start.keras")
    x = models.data(model, rng, STEPS * BATCH)
    y = rng.normal(size=(STEPS, BATCH, 5)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x.reshape(STEPS, BATCH, *x.shape[1:]), y=y)
    return tmp_path


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backend_trains_as_tensorflow_does_and_converts(backend, start):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    data = np.load(start / "data.npz")
    model, losses = models.trained(start / "start.keras", data)
    arguments = ["convert"] + ["distribute"] * (backend == "jax")
    flags = "--xla_force_host_platform_device_count=2"
    in_another_process(backend, start, *arguments, XLA_FLAGS=flags)

    one = np.load(start / "one.npz")
    # The same function; after that a value beside a tie is rounded otherwise now and then.
    np.testing.assert_allclose(one["losses"][0], losses[0], rtol=1e-5)
    np.testing.assert_allclose(one["losses"], losses, rtol=5e-3)
    for number, weight in enumerate(model.weights):
        found = one[f"arr_{number}"]
        np.testing.assert_allclose(found, weight.numpy(), rtol=0.02, atol=5e-3, err_msg=weight.path)
    if backend == "jax":
        two = np.load(start / "two.npz")
        np.testing.assert_allclose(two["losses"], one["losses"], rtol=5e-3)
        for number, weight in enumerate(model.weights):
            np.testing.assert_allclose(
                two[f"arr_{number}"], one[f"arr_{number}"], rtol=0.02, atol=5e-3,
                err_msg=weight.path,
            )  # fmt: skip

    # The other process had TensorFlow convert the model by itself; here the file converts.
    packed = tf_signbin.convert(start / "trained.keras", strict=True)
    assert packed == (start / "trained.tflite").read_bytes()
    reference = Reference(tf_signbin.unpack(packed))
    steps = np.abs(reference.predict(data["x"][0]) - one["predicted"]) / reference.output_scale()
    assert steps.max() <= 3.01


# Two replicas on logical CPUs, against one device with the whole batch.
MIRRORED = """
import keras, numpy as np, tensorflow as tf, tf_signbin
from tests.keras3.models import trained

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
data = np.load("data.npz")

def result(strategy):
    with strategy.scope():
        model, losses = trained("start.keras", data)
    return [keras.ops.convert_to_numpy(w) for w in model.weights], losses

devices = ["cpu:0", "cpu:1"]
one, one_losses = result(tf.distribute.OneDeviceStrategy(devices[0]))
two, two_losses = result(tf.distribute.MirroredStrategy(devices))
np.testing.assert_allclose(two_losses, one_losses, rtol=5e-3)
for a, b in zip(one, two, strict=True):
    np.testing.assert_allclose(b, a, rtol=0.02, atol=5e-3)
"""


@pytest.mark.slow
def test_mirrored_strategy_trains_as_one_device_does(start):
    """Both replicas see the same images: BatchNorm and ranges take their batch's statistics."""
    with np.load(start / "data.npz") as data:
        halves = {name: data[name][:, : BATCH // 2] for name in ("x", "y")}
    np.savez(start / "data.npz", **{k: np.concatenate([v, v], 1) for k, v in halves.items()})
    in_another_process("tensorflow", start, script=MIRRORED)

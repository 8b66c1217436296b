"""JAX trains the same model as TensorFlow, and its models convert."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

TRAIN = """
import sys
import keras, numpy as np, tf_signbin
data = np.load("data.npz")
model = keras.models.load_model("start.keras")
model.compile(keras.optimizers.SGD(0.05), "mse")
watch = tf_signbin.LayerStatistics()
history = model.fit(data["x"], data["y"], batch_size=8, epochs=3, shuffle=False, verbose=0,
                    callbacks=[watch]).history
predicted = model.predict(data["x"], verbose=0)
np.savez(sys.argv[1], loss=history["loss"], density=history["density"], predicted=predicted)
open(sys.argv[1] + ".tflite", "wb").write(tf_signbin.convert(model))
"""


@pytest.mark.slow
def test_jax_trains_as_tensorflow_does(tmp_path, rng):
    pytest.importorskip("jax")
    import tf_signbin
    from tests.keras3 import models

    model = tf_signbin.quantize_model(models.residual(), activations="int8", pattern=(2, 10))
    model.save(tmp_path / "start.keras")
    y = rng.normal(size=(32, 5)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=models.data(model, rng, 32), y=y)
    results = []
    for backend in ("tensorflow", "jax"):
        environment = {**os.environ, "KERAS_BACKEND": backend}
        subprocess.run(
            [sys.executable, "-c", TRAIN, f"{backend}.npz"],
            cwd=tmp_path, env=environment, check=True, timeout=900,
        )  # fmt: skip
        results.append(np.load(tmp_path / f"{backend}.npz"))
    ours, jax = results
    np.testing.assert_allclose(jax["loss"], ours["loss"], rtol=0.02)
    np.testing.assert_allclose(jax["density"], ours["density"], atol=0.01)
    runtime = tf_signbin.Interpreter((tmp_path / "jax.npz.tflite").read_bytes(), num_threads=1)
    runtime.allocate_tensors()
    found = runtime.predict(np.load(tmp_path / "data.npz")["x"])
    assert np.abs(found - jax["predicted"]).max() < 0.05 * np.abs(jax["predicted"]).max()

"""Files of quantized models load in a new process with the imports alone, in any order."""

from __future__ import annotations

import pytest
import tf_keras

import tf_signbin
from tests.fresh_process import run

LOAD = (
    "model = {keras}.models.load_model({path!r}); print([type(l).__name__ for l in model.layers])"
)
KERAS2 = ["import tf_signbin, tf_keras", "import tf_keras, tf_signbin",
          "import tf_signbin, tensorflow_model_optimization, tf_keras"]  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.keras"
    convs = [tf_keras.layers.Conv2D(4, 3, input_shape=(6, 6, 2)), tf_keras.layers.Conv2D(4, 3)]
    model = tf_keras.Sequential([*convs, tf_keras.layers.Flatten(), tf_keras.layers.Dense(2)])
    tf_signbin.quantize_model(model, activations="int8").save(path)
    return path


@pytest.mark.parametrize("imports", KERAS2)
def test_keras2_files_load_with_the_imports_alone(imports, saved):
    assert "StableQuantizeWrapper" in run(
        f"{imports}\n{LOAD.format(keras='tf_keras', path=str(saved))}"
    )


def test_keras2_files_load_through_tensorflow(saved):
    program = (
        f"import tf_signbin, tensorflow as tf\n{LOAD.format(keras='tf.keras', path=str(saved))}"
    )
    assert "StableQuantizeWrapper" in run(program, TF_USE_LEGACY_KERAS="1")

"""Keras 3 models of backends other than TensorFlow: converted in a process that has it.

TensorFlow's converter takes TensorFlow's graphs. A model that JAX or PyTorch trained is saved and
converted by a second Python with KERAS_BACKEND=tensorflow, which computes the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def has_other_backend(model: Any) -> bool:
    """Whether this is a Keras 3 model in a process whose Keras does not run on TensorFlow."""
    origins = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    if "keras" not in origins or not hasattr(model, "save"):
        return False
    return bool(sys.modules["keras"].backend.backend() != "tensorflow")


def stock_in_other_process(model: Any, arguments: dict[str, Any]) -> bytes:
    """`stock_model` of a saved copy of the model.

    Args:
      model: built Keras 3 model.
      arguments: of stock_model by name, without the representative_dataset.

    Raises:
      ValueError: the other process failed; the message ends with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, result = Path(folder, "model.keras"), Path(folder, "model.tflite")
        model.save(file)
        run = subprocess.run(
            [sys.executable, "-m", __name__, str(file), str(result), json.dumps(arguments)],
            env={**os.environ, "KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            text=True,
        )
        if run.returncode:
            raise ValueError(
                f"model {model.name!r} does not convert with KERAS_BACKEND=tensorflow:\n"
                + run.stderr[-2000:]
            )
        return result.read_bytes()


def main(file: str, result: str, arguments: str) -> None:
    import keras

    from tf_signbin.convert.stock import stock_model
    from tf_signbin.train.api import quantize_scope

    with quantize_scope():
        model = keras.models.load_model(file, compile=False)
    Path(result).write_bytes(stock_model(model, **json.loads(arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])

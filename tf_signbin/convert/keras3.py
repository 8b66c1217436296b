"""Keras 3 models as TensorFlow's converter takes them: functions with a TensorFlow graph.

A model that JAX or PyTorch trained is saved and converted by a second Python with
KERAS_BACKEND=tensorflow, which computes the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tf_signbin.format.model import read_model, text, write_model


def keras3_function(model: Any) -> Any:
    """What a model of Keras 3 computes as a concrete function; None for a model whose inputs are
    not known before it is called."""
    if not getattr(model, "inputs", None):
        return None
    import tensorflow as tf

    def specification(x: Any) -> Any:
        return tf.TensorSpec(x.shape, x.dtype, name=x.name)

    @tf.function(autograph=False)
    def serve(inputs: Any) -> Any:
        return model(inputs, training=False)

    functional = getattr(model, "_functional", None) or model  # the one inside a Sequential
    return serve.get_concrete_function(tf.nest.map_structure(specification, functional.input))


def with_layer_names(data: bytes, model: Any) -> bytes:
    """The file with the layers' own names in the paths that tensors are called by.

    Keras enters the scope of a layer twice each time it is called, to build it and to compute, so
    TensorFlow numbers the second: 'functional_1/conv_1/convolution' becomes
    'functional/conv/convolution'.
    """
    scopes = {str(model.name), *(str(layer.name) for layer in model._flatten_layers())}

    def plain(part: str) -> str:
        name, _, number = part.rpartition("_")
        return name if number.isdecimal() and name in scopes else part

    def path(name: str) -> str:
        *parts, operation = name.split("/")
        return "/".join([*map(plain, parts), operation])

    content = read_model(data)
    for graph in content.subgraphs:
        for tensor in graph.tensors:
            tensor.name = ";".join(map(path, text(tensor.name).split(";"))).encode()
    return write_model(content)


def has_other_backend(model: Any) -> bool:
    """Whether this is a Keras 3 model in a process whose Keras does not run on TensorFlow."""
    if not is_keras3(model) or not hasattr(model, "save"):
        return False
    return bool(sys.modules["keras"].backend.backend() != "tensorflow")


def is_keras3(model: Any) -> bool:
    """Whether the class of the model or layer comes from the package keras."""
    return "keras" in {cls.__module__.partition(".")[0] for cls in type(model).__mro__}


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

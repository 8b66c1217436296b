"""From a trained model to a .tflite file, its predictions and its latency."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tf_signbin.benchmark.inputs import random_inputs
from tf_signbin.benchmark.timing import interleave
from tf_signbin.convert import convert, write_file
from tf_signbin.quiet import quiet
from tf_signbin.runtime import Interpreter, find_runtime
from tf_signbin.training.datasets.base import ImageDataset


def save(model: Any, path: Path) -> bytes:
    """Converts `model`, writes the file (whole or not at all) and returns its bytes."""
    data = convert(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, data)
    return data


def test_set(data: ImageDataset) -> tuple[np.ndarray, np.ndarray]:
    """All test images as the network sees them, and their labels."""
    batches = list(data.test_batches(500).as_numpy_iterator())
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])


def keras_predictions(model: Any, images: np.ndarray) -> np.ndarray:
    """The class that a Keras model gives each image.

    Called eagerly: `predict` compiles a function for each model, about which TensorFlow warns from
    the fifth model on.
    """
    batches = [images[start : start + 500] for start in range(0, len(images), 500)]
    return np.concatenate([model(x, training=False).numpy().argmax(-1) for x in batches])


def stock_interpreter(model: bytes, threads: int = 1) -> Any:
    """The runtime's own interpreter (XNNPACK where it has it), without the delegate."""
    with quiet():
        interpreter = find_runtime("auto").interpreter(model_content=model, num_threads=threads)
        interpreter.allocate_tensors()
    return interpreter


def delegate_interpreter(model: bytes, threads: int = 1) -> Interpreter:
    """The interpreter with the delegate; an error when the delegate runs nothing."""
    with quiet():
        interpreter = Interpreter(model, num_threads=threads, on_unclaimed="error")
        interpreter.allocate_tensors()
    return interpreter


def predictions(interpreter: Any, images: np.ndarray) -> np.ndarray:
    """The class that a model with one float input and one float output gives each image."""
    if isinstance(interpreter, Interpreter):
        return interpreter.predict(images).argmax(-1)
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    classes = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None].astype(np.float32))
        interpreter.invoke()
        classes.append(int(interpreter.get_tensor(sink["index"])[0].argmax()))
    return np.asarray(classes)


def latency_ms(interpreters: Mapping[str, Any], seconds: float = 2.0) -> dict[str, float]:
    """Median milliseconds of an invoke, per interpreter; all take turns (timing.interleave)."""
    for interpreter in interpreters.values():
        random_inputs(interpreter)
    invokes = {name: interpreter.invoke for name, interpreter in interpreters.items()}
    timings = interleave(invokes, seconds=seconds, rounds=(30, 20_000))
    return {name: timing.median_ms for name, timing in timings.items()}

"""Time of one training step: float, signed-binary, patterned, and dense with int8 activations.

    python examples/benchmark_training.py --rounds=10 --output=training_step.json
    python examples/benchmark_training.py --keras=tf_keras

All variants run interleaved in one process, a few steps each in turn, so that a busy machine
disturbs them alike. Printed is the median step of each, and its ratio to the float step of the same
round (median over rounds).
"""

from __future__ import annotations

import importlib
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from absl import app, flags
from rich.console import Console

import tf_signbin
from tf_signbin.benchmark.machine import describe_machine
from tf_signbin.convert import write_file
from tf_signbin.training import resnet, tables

_KERAS = flags.DEFINE_enum("keras", "keras", ("keras", "tf_keras"), "Keras 3, or Keras 2.")
_XLA = flags.DEFINE_bool("xla", False, "Compile steps with XLA, which is Keras 3's default.")
_MODEL = flags.DEFINE_enum("model", "resnet20", resnet.NAMES, "Network.")
_BATCH = flags.DEFINE_integer("batch", 128, "Images a step.", 1)
_SIZE = flags.DEFINE_integer("size", 32, "Image height and width, pixels.", 1)
_STEPS = flags.DEFINE_integer("steps", 2, "Steps of one variant before the next.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 10, "Times each variant gets its turn.", 1)
_THREADS = flags.DEFINE_integer("threads", 2, "CPU threads of TensorFlow.", 1)
_VARIANTS = flags.DEFINE_multi_string(
    "variant", None, "Name of a variant, float first; may be repeated; default all."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the results.")


def variants(model: Any) -> dict[str, Any]:
    """Name -> form of `model`; the first is the reference."""
    quantize = tf_signbin.quantize_model
    found = {
        "float": model,
        "signed-binary": quantize(model, background="none"),
        "centered": quantize(model),
        "centered 3 of 7": quantize(model, pattern=(3, 7)),
        "centered 2 of 10": quantize(model, pattern=(2, 10)),
        "dense, int8": dense_int8(model),
        "centered, int8": quantize(model, activations="int8"),
        "centered 2 of 10, int8": quantize(model, activations="int8", pattern=(2, 10)),
    }
    return {name: found[name] for name in _VARIANTS.value or found}


def dense_int8(model: Any) -> Any:
    if _KERAS.value == "keras":
        return tf_signbin.quantize_model(model, activations="int8", quantizer=lambda layer: None)
    from tf_signbin.train.keras2.legacy_keras import tfmot_keras

    return tfmot_keras.quantize_model(model)


def training_step(keras: Any, model: Any, images: Any, labels: Any) -> Callable[[], float]:
    """A compiled step of SGD with momentum; it returns the loss, so it waits for the result."""
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=_XLA.value,
    )
    batch = (tf.constant(images), tf.constant(labels))
    return lambda: float(model.train_on_batch(*batch))


def measure(steps: dict[str, Callable[[], float]], count: int, rounds: int) -> dict[str, Any]:
    """Name -> seconds of one step, one entry a round; all take turns."""
    for step in steps.values():
        step()  # traces
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(count):
                step()
            seconds[name].append((time.perf_counter() - start) / count)
    return seconds


def results(seconds: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Median and smallest time of each, and the median ratio to the first in the same round."""
    reference = next(iter(seconds.values()))
    return [
        {
            "name": name,
            "median_ms": 1e3 * statistics.median(times),
            "min_ms": 1e3 * min(times),
            "ratio_to_float": statistics.median(
                t / f for t, f in zip(times, reference, strict=True)
            ),
        }
        for name, times in seconds.items()
    ]


def main(_: list[str]) -> None:
    tf.get_logger().setLevel("ERROR")  # warns that several models are traced
    tf.config.threading.set_inter_op_parallelism_threads(_THREADS.value)
    tf.config.threading.set_intra_op_parallelism_threads(_THREADS.value)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(_BATCH.value, _SIZE.value, _SIZE.value, 3)).astype(np.float32)
    labels = rng.integers(0, 10, _BATCH.value)
    keras = importlib.import_module(_KERAS.value)
    model = resnet.build(_MODEL.value, images.shape[1:], 10, resnet.Options(), keras)
    steps = {name: training_step(keras, m, images, labels) for name, m in variants(model).items()}
    measured = results(measure(steps, _STEPS.value, _ROUNDS.value))
    tables.show(
        Console(),
        f"training step, {_KERAS.value}, {_MODEL.value}, batch {_BATCH.value}, "
        f"{_THREADS.value} threads",
        ("weights, activations", "median ms", "min ms", "x float"),
        [
            (r["name"], f"{r['median_ms']:.1f}", f"{r['min_ms']:.1f}", f"{r['ratio_to_float']:.3f}")
            for r in measured
        ],
    )
    if _OUTPUT.value:
        chosen = (_KERAS, _XLA, _MODEL, _BATCH, _SIZE, _STEPS, _ROUNDS, _THREADS)
        settings = {f.name: f.value for f in chosen}
        content = {
            "command": "examples/benchmark_training.py",
            **settings,
            "machine": {**describe_machine(), "tensorflow": tf.__version__},
            "steps": measured,
        }
        write_file(_OUTPUT.value, json.dumps(content, indent=1).encode() + b"\n")


if __name__ == "__main__":
    app.run(main)

"""Time of one training step: float, signed-binary, patterned, and tfmot's 8-bit QAT.

    python examples/benchmark_training.py --rounds=10

All variants run interleaved in one process, a few steps each in turn, so that a busy machine
disturbs them alike. Printed is the median step of each, and its ratio to the float step of the same
round (median over rounds).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import app, flags
from lab import resnet

import tf_signbin
from tf_signbin.train.legacy_keras import keras, tf, tfmot_keras

_MODEL = flags.DEFINE_enum("model", "resnet20", resnet.NAMES, "Network.")
_BATCH = flags.DEFINE_integer("batch", 128, "Images a step.", 1)
_SIZE = flags.DEFINE_integer("size", 32, "Image height and width, pixels.", 1)
_STEPS = flags.DEFINE_integer("steps", 3, "Steps of one variant before the next.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 10, "Times each variant gets its turn.", 1)
_THREADS = flags.DEFINE_integer("threads", 2, "CPU threads of TensorFlow.", 1)
_INT8 = flags.DEFINE_bool("int8", True, "Also time signed-binary with int8 activations.")


def training_step(model: Any, images: Any, labels: Any) -> Callable[[], Any]:
    """A compiled step of SGD with momentum, as a function of no arguments."""
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    batch = (tf.constant(images), tf.constant(labels))
    step = tf.function(lambda: model.train_step(batch))
    step()  # traces
    return step


def main(_: list[str]) -> None:
    tf.get_logger().setLevel("ERROR")  # warns that several models are traced
    tf.config.threading.set_inter_op_parallelism_threads(_THREADS.value)
    tf.config.threading.set_intra_op_parallelism_threads(_THREADS.value)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(_BATCH.value, _SIZE.value, _SIZE.value, 3)).astype(np.float32)
    labels = rng.integers(0, 10, _BATCH.value)
    model = resnet.build(_MODEL.value, images.shape[1:], 10, resnet.Options())
    variants = {
        "float": model,
        "signed-binary": tf_signbin.quantize_model(model, background="none"),
        "centered": tf_signbin.quantize_model(model),
        "centered 3 of 7": tf_signbin.quantize_model(model, pattern=(3, 7)),
        "centered 2 of 10": tf_signbin.quantize_model(model, pattern=(2, 10)),
        "tfmot int8 QAT": tfmot_keras.quantize_model(model),
    }
    if _INT8.value:
        variants["centered, int8"] = tf_signbin.quantize_model(model, activations="int8")
    steps = {name: training_step(m, images, labels) for name, m in variants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(_ROUNDS.value):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(_STEPS.value):
                loss = step()
            float(next(iter(loss.values())))  # waits for the result
            seconds[name].append((time.perf_counter() - start) / _STEPS.value)
    print(f"{'training step':18} {'median ms':>10} {'min ms':>8} {'x float':>8}")
    for name, times in seconds.items():
        ratio = statistics.median(t / f for t, f in zip(times, seconds["float"], strict=True))
        print(
            f"{name:18} {statistics.median(times) * 1e3:10.1f} {min(times) * 1e3:8.1f} {ratio:8.3f}"
        )


if __name__ == "__main__":
    app.run(main)

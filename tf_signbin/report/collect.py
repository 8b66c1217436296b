"""Gathers what the page shows; everything is measured here and now, or read from given files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from tf_signbin.analyze.model import analyze_model
from tf_signbin.benchmark.contenders import Settings, stock
from tf_signbin.benchmark.inputs import random_inputs
from tf_signbin.benchmark.machine import describe_machine
from tf_signbin.benchmark.timing import interleave
from tf_signbin.convert import inspect_model, read_file, unpack
from tf_signbin.runtime import Interpreter, find_runtime

_PACKAGES = (
    "tf-signbin",
    "ai-edge-litert",
    "tflite-runtime",
    "tensorflow",
    "tensorflow-cpu",
    "numpy",
)


def collect(
    path: str,
    compare: Mapping[str, str],
    *,
    samples: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    log: str | None = None,
    runtime: str = "auto",
    threads: int = 1,
    seconds: float = 3.0,
    tick: Callable[[str, float], None] = lambda label, share: None,
) -> dict[str, Any]:
    """Inspects, analyzes and measures a model.

    Args:
      path: the .tflite file.
      compare: name to path of other .tflite files, measured in the stock runtime beside it.
      samples, labels: [samples, ...] inputs and [samples] class numbers, for the accuracy in the
        delegate (labels need samples).
      log: CSV file of the training, one row an epoch with a column for the epoch and others.
      runtime, threads, seconds: of the measurement.
      tick: progress: a label and the share that is done.

    Raises:
      ModelError, OSError, ValueError: a file cannot be used; the message names it.
    """
    data = read_file(path)
    found = find_runtime(runtime)
    tick("inspecting", 0.0)
    info = inspect_model(data)
    analysis = analyze_model(
        data, runtime, seconds / 2, lambda label, share: tick(label, 0.4 * share)
    )
    latency = _latency(data, compare, runtime, threads, seconds / 2, tick)
    result = {
        "model": Path(path).name,
        "file_bytes": len(data),
        "info": info.to_dict(),
        "analysis": analysis,
        "latency": latency,
        "threads": threads,
        "machine": describe_machine(found),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }
    if samples is not None and labels is not None:
        tick("accuracy", 0.9)
        result["accuracy"] = accuracy(data, samples, labels, runtime, threads)
    if log:
        result["training"] = read_log(log)
    return result


def accuracy(
    data: bytes, samples: np.ndarray, labels: np.ndarray, runtime: str, threads: int
) -> dict[str, Any]:
    """Top-1 accuracy through the delegate; ValueError when the arrays do not belong together."""
    if len(samples) != len(labels) or labels.ndim != 1:
        raise ValueError(f"{len(samples)} samples, but labels of shape {labels.shape}")
    interpreter = Interpreter(data, num_threads=threads, runtime=runtime, log_level="error")
    scores = interpreter.predict(samples)
    if scores.ndim != 2:
        raise ValueError(
            f"the model's output has shape {scores.shape}; accuracy needs [N, classes]"
        )
    return {
        "top1": float((scores.argmax(axis=1) == labels).mean()),
        "samples": len(labels),
    }


def read_log(path: str) -> dict[str, list[float]]:
    """The numeric columns of a training log."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns: dict[str, list[float]] = {}
    for name in rows[0] if rows else ():
        try:
            columns[name] = [float(row[name]) for row in rows]
        except (TypeError, ValueError):
            continue
    if not columns:
        raise ValueError(f"{path}: no column of numbers")
    return columns


def _latency(
    data: bytes,
    compare: Mapping[str, str],
    runtime: str,
    threads: int,
    seconds: float,
    tick: Callable[[str, float], None],
) -> list[dict[str, Any]]:
    """The packed model in the delegate, the same weights dense in the stock runtime, and others.

    `kernels` of a row: 'tf_signbin', 'XNNPACK' or 'stock kernels'.
    """
    packed = Interpreter(
        data, num_threads=threads, runtime=runtime, on_unclaimed="error", log_level="error"
    )
    packed.allocate_tensors()
    random_inputs(packed)
    contenders: dict[str, Callable[[], None]] = {"tf_signbin": packed.invoke}
    kernels = {"tf_signbin": "tf_signbin"}
    files = {"same weights, dense": unpack(data)}
    files.update({name: read_file(file) for name, file in compare.items()})
    for name, content in files.items():
        contenders[name], kernels[name] = stock(content, Settings(threads, runtime))
    timings = interleave(
        contenders,
        seconds=seconds,
        tick=lambda share: tick("measuring the whole model", 0.4 + 0.5 * share),
    )
    own = timings["tf_signbin"].median_ms
    return [
        {
            "name": name,
            "kernels": kernels[name],
            **timing.to_dict(),
            "ratio": timing.median_ms / own,
        }
        for name, timing in timings.items()
    ]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

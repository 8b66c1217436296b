"""Latency of the study's networks and of their quantized layers alone, int8, one thread.

All networks of a task and width take turns in one process, beside XNNPACK int8 with dense weights
of the same shapes. The layers alone are also measured on larger images: the networks are fully
convolutional, and with the few pixels of the task itself fixed costs weigh more than they do in
practice.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab.study.points import Point
from lab.study.train import Filters, folder_of, layer_shapes, read_result
from tf_signbin.benchmark.contenders import Settings, ours, xnnpack
from tf_signbin.benchmark.graph import INT8, GraphBuilder
from tf_signbin.benchmark.timing import interleave
from tf_signbin.benchmark.weights import int8_filters
from tf_signbin.training import deploy
from tf_signbin.training.progress import StepProgress

# Sides of the images, as multiples of the task's.
IMAGE_SCALES = (1, 4)
XNNPACK_INT8 = "XNNPACK int8"
_FILE = "latency.json"


def measure(points: Sequence[Point], seed: int, out: Path, seconds: float) -> dict[str, Any]:
    """Measures the trained networks among `points` (of one seed: shapes decide the time).

    Args:
      seconds: for each contender in each comparison.

    Returns:
      key of the point -> {"network_us", "layers_us": {scale: us}, "kernels": [...]}, and the same
      for XNNPACK_INT8 under "<task>-w<width>-XNNPACK int8". Also written to latency.json.
    """
    groups: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        if read_result(folder_of(out, point, seed)) is not None:
            groups[point.group].append(point)
    results: dict[str, Any] = {}
    with StepProgress("measuring", len(groups) * (1 + len(IMAGE_SCALES))) as progress:
        for group, members in groups.items():
            progress.step(f"{group}, whole networks")
            _networks(group, members, seed, out, seconds, results)
            for scale in IMAGE_SCALES:
                progress.step(f"{group}, quantized layers, images x{scale}")
                _layers(group, members, seed, out, seconds, scale, results)
    part = out / "latency.part"
    part.write_text(json.dumps(results, indent=1))
    os.replace(part, out / _FILE)
    return results


def read(out: Path) -> dict[str, Any] | None:
    path = out / _FILE
    return json.loads(path.read_text()) if path.exists() else None


def dense_key(point: Point) -> str:
    """Where the results hold XNNPACK int8 on the same shapes."""
    return f"{point.group}-{XNNPACK_INT8}"


def _is_dense(point: Point) -> bool:
    return point.method.weights == "full_precision"


def _networks(
    group: str, points: list[Point], seed: int, out: Path, seconds: float, results: dict[str, Any]
) -> None:
    interpreters = {}
    for point in points:
        content = (folder_of(out, point, seed) / "int8.tflite").read_bytes()
        stock = _is_dense(point)
        key = f"{group}-{XNNPACK_INT8}" if stock else point.key
        open_it = deploy.stock_interpreter if stock else deploy.delegate_interpreter
        interpreters[key] = open_it(content)
    latency = deploy.latency_ms(interpreters, seconds * len(interpreters))
    for key, ms in latency.items():
        results[key] = {"network_us": 1e3 * ms, "layers_us": {}, "kernels": {}}


def measure_random(points: Sequence[Point], seconds: float) -> dict[str, dict[int, float]]:
    """The quantized layers' time with random filters instead of trained ones.

    Shapes, kind, background and pattern decide the time, so this tells what a change of the engine
    does to the study without training its networks again.

    Returns:
      key of the point -> {scale: us}, and dense_key(point) for XNNPACK int8.
    """
    groups: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        groups[point.group].append(point)
    totals: dict[str, dict[int, float]] = defaultdict(dict)
    with StepProgress("measuring", len(groups) * len(IMAGE_SCALES)) as progress:
        for group, members in groups.items():
            shapes = layer_shapes(members[0])
            filters = {p.key: _random_filters(p, shapes) for p in members}
            for scale in IMAGE_SCALES:
                progress.step(f"{group}, images x{scale}")
                for key, us in _sum_layers(members, filters, seconds, scale)[0].items():
                    totals[key][scale] = us
    return totals


def _random_filters(point: Point, shapes: Filters) -> Filters:
    spec, rng = point.method.weight_spec(), np.random.default_rng(0)
    return {
        name: array if name.endswith("/input") else int8_filters(rng, array.shape, spec)
        for name, array in shapes.items()
    }


def _layers(
    group: str,
    points: list[Point],
    seed: int,
    out: Path,
    seconds: float,
    scale: int,
    results: dict[str, Any],
) -> None:
    filters = {p.key: dict(np.load(folder_of(out, p, seed) / "layers.npz")) for p in points}
    totals, kernels = _sum_layers(points, filters, seconds, scale)
    for key, total in totals.items():
        results[key]["layers_us"][str(scale)] = total
        results[key]["kernels"][str(scale)] = kernels[key]


def _sum_layers(
    points: list[Point], filters: dict[str, Filters], seconds: float, scale: int
) -> tuple[dict[str, float], dict[str, list[str]]]:
    """Sums the medians of single-layer models, microseconds; also the kernels' names."""
    settings = Settings()
    names = [n for n in next(iter(filters.values())) if not n.endswith("/input")]
    totals: dict[str, float] = defaultdict(float)
    kernels: dict[str, list[str]] = defaultdict(list)
    for name in names:
        contenders = {}
        for point in points:
            weights = filters[point.key][name]
            side, stride = (int(v) for v in filters[point.key][f"{name}/input"])
            model = _single_layer(weights, side * scale, stride)
            if _is_dense(point):
                contenders[dense_key(point)] = xnnpack(model, settings)
            else:
                interpreter, contenders[point.key] = ours(model, settings)
                kernels[point.key].append(interpreter.claimed_layers[0].kernel)
        budget = seconds * len(contenders) / len(names)
        for key, timing in interleave(contenders, seconds=budget, rounds=(50, 20_000)).items():
            totals[key] += 1e3 * timing.median_ms
    return totals, kernels


def _single_layer(weights: np.ndarray, side: int, stride: int) -> bytes:
    graph = GraphBuilder(INT8)
    x = graph.input((1, side, side, weights.shape[3]))
    return graph.finish(graph.conv(x, weights, stride))

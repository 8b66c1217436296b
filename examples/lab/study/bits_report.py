"""Accuracy against time by bits of inputs: tables and plots of the second study."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from lab.study import bits
from tf_signbin.benchmark.contenders import Settings, ours, xnnpack
from tf_signbin.benchmark.graph import INT8, GraphBuilder
from tf_signbin.benchmark.machine import describe_machine
from tf_signbin.benchmark.timing import interleave
from tf_signbin.benchmark.views import VIEWS
from tf_signbin.benchmark.weights import int8_filters
from tf_signbin.convert import write_file
from tf_signbin.runtime import find_runtime
from tf_signbin.training import plots, tables
from tf_signbin.training.methods import Method

# The quantized 3x3 layers of resnet8 at width 1: name, input channels, filters, stride, input over
# the stem's output, and whether a residual stream is read.
_Layer = tuple[str, int, float, int, int, bool]
_LAYERS: tuple[_Layer, ...] = (
    ("stage1_block1_1_conv", 16, 16, 1, 1, True), ("stage1_block1_2_conv", 16, 16, 1, 1, False),
    ("stage2_block1_1_conv", 16, 32, 2, 1, True), ("stage2_block1_2_conv", 32, 32, 1, 2, False),
    ("stage3_block1_1_conv", 32, 64, 2, 2, True), ("stage3_block1_2_conv", 64, 64, 1, 4, False),
)  # fmt: skip
_SIDES = {"digits": 8, "glyphs": 24, "fashion_mnist": 28}
# Of the images, as multiples of the task's: with few pixels fixed costs weigh more than usual.
SCALE = 4
HEADER = (
    "weights", "bits", "seeds", "accuracy %", "to 8 bits", "layers us", "vs 8 bits",
    "vs XNNPACK int8",
)  # fmt: skip


def measure(out: Path, seconds: float, view: str | None = None) -> None:
    """Times the quantized layers of every trained group with random filters, into bits.json.

    `view`: that which this process has entered (tf_signbin.benchmark.views), if it has.
    """
    store = bits.Store(out / "bits.json")
    for group in _groups(store.values):
        part = bits.Part.of_group(group)
        store.get(_time_key(group, view), lambda p=part: _times(p, seconds))


def _time_key(group: str, view: str | None) -> str:
    return f"{group}/time" + (f" as {view}" if view else "")


def _views(values: dict[str, Any]) -> list[str]:
    """Those that any group was timed in."""
    return [v for v in VIEWS if any(key.endswith(f"/{_time_key('', v)[1:]}") for key in values)]


def _groups(values: dict[str, Any]) -> list[str]:
    """Of tasks and widths, those with a trained network."""
    return sorted({key.split("/")[0] for key in values if "/seed" in key})


def _times(part: bits.Part, seconds: float) -> dict[str, float]:
    """Microseconds of the layers in turn, by the method's key; requantization is included.

    Those of int8 are always the network's without more features: what it is compared with.
    """
    task = bits.TASKS[part.task]
    side = SCALE * _SIDES[task.dataset] // task.stem_stride
    settings, totals = Settings(), defaultdict(float)
    for layer, plain in zip(_layers(part.features), _LAYERS, strict=True):
        contenders = {}
        for variant in bits.variants():
            method = bits.INT8 if layer[0] in variant.int8_layers else variant
            own = plain if variant == bits.INT8 else layer
            model = _layer(method, own, part.width, side)
            if method.weights == "full_precision":
                contenders[variant.key] = xnnpack(model, settings)
            else:
                contenders[variant.key] = ours(model, settings)[1]
        timings = interleave(contenders, seconds=seconds, rounds=(30, 5000))
        for key, timing in timings.items():
            totals[key] += 1e3 * timing.median_ms
    return dict(totals)


def _layers(features: float) -> tuple[_Layer, ...]:
    """Those of a network with so many times the features."""
    name, channels, filters, stride, shrunk, stream = _LAYERS[-1]
    return (*_LAYERS[:-1], (name, channels, filters * features, stride, shrunk, stream))


def _layer(method: Method, layer: _Layer, width: float, side: int) -> bytes:
    _, channels, filters, stride, shrunk, stream = layer
    shape = (round(filters * width), 3, 3, round(channels * width))
    weights = int8_filters(np.random.default_rng(0), shape, method.of_layer(shape[3]).weight_spec())
    few = method.input_bits < 8
    graph = GraphBuilder(INT8)
    size = side // shrunk
    x = graph.input((1, size, size, shape[3]), 8 if stream else method.input_bits)
    if few and stream:
        x = graph.requantize(x, method.input_bits)
    return graph.finish(graph.conv(x, weights, stride))


def rows_of(group: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The trained points of a group, in the study's order."""
    times = values.get(_time_key(group, None), {})
    as_views = {view: values.get(_time_key(group, view), {}) for view in _views(values)}
    rows: list[dict[str, Any]] = []
    for method in bits.variants():
        found = {
            seed: 100 * values[key]["accuracy"]
            for seed in bits.SEEDS
            if (key := f"{group}/{method.key}/seed{seed}") in values
        }
        if not found:
            continue
        eight = next((r for r in rows if r["family"] == _family(method)), None)
        us = times.get(method.key, float("nan"))
        # Of a seed both begin with the same network and see the same batches.
        paired = (
            [a - eight["by_seed"][s] for s, a in found.items() if s in eight["by_seed"]]
            if eight
            else []
        )
        rows.append(
            {
                "family": _family(method), "bits": method.input_bits,
                "accuracy": float(np.mean([*found.values()])),
                "accuracies": [*found.values()], "by_seed": found, "us": us,
                "differences": paired,
                "faster": eight["us"] / us if eight else None,
                "over_dense": _over_dense(times, method),
                "over_dense_as": {v: _over_dense(t, method) for v, t in as_views.items()},
            }
        )  # fmt: skip
    return rows


def _over_dense(times: dict[str, float], method: Method) -> float:
    return times.get(bits.INT8.key, float("nan")) / times.get(method.key, float("nan"))


def _family(method: Method) -> str:
    return "int8 (dense)" if method == bits.INT8 else method.label.split(",")[0]


def write(out: Path, folder: Path) -> Path:
    """bits.md with its plots and bits.json."""
    folder.mkdir(parents=True, exist_ok=True)
    values = json.loads((out / "bits.json").read_text())
    machine = describe_machine(find_runtime("auto"))
    header = (*HEADER, *(f"as {view}" for view in _views(values)))
    parts = [
        "# Bits of inputs",
        "Written by `python examples/codesign.py --input_bits`; what follows from it: "
        "[codesign.md](../codesign.md#bits-of-inputs).",
        "Accuracy: Keras, test set, mean ± standard deviation over seeds; differences are between "
        "networks of one seed, with the standard error of their mean. Time: sum of the six "
        f"quantized layers, each alone with random filters on images of {SCALE} times the side, "
        "one thread, medians of interleaved calls; layers that read a residual stream "
        f"include the operator that requantizes it. Machine: {machine.get('cpu', '')} "
        f"({', '.join(machine.get('cpu_features', []))}); `as` a view: both sides as on that "
        "kind of machine ([views](../performance.md#views)).",
    ]
    by_task: dict[str, list[dict[str, Any]]] = {}
    widths: Counter[str] = Counter()
    for group in _groups(values):
        rows = rows_of(group, values)
        if not rows:
            continue
        parts += [f"## {group}", tables.markdown(header, [_cells(row) for row in rows])]
        _plot(group, rows, folder / f"bits-{group}.png")
        parts.append(f"![{group}](bits-{group}.png)")
        part = bits.Part.of_group(group)
        shape = group.removeprefix(f"{part.task}-w")
        of_width = [row | {"family": f"{row['family']}, width {shape}"} for row in rows]
        by_task.setdefault(part.task, []).extend(of_width)
        widths[part.task] += 1
    for task, of_task in by_task.items():
        if widths[task] > 1:
            _plot(f"{task}, all widths", of_task, folder / f"bits-{task}.png")
            parts += [f"## {task}, all widths", f"![{task}](bits-{task}.png)"]
    path = folder / "bits.md"
    write_file(path, ("\n\n".join(parts) + "\n").encode())
    write_file(folder / "bits.json", (out / "bits.json").read_bytes())
    return path


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    def shown(value: float | None, form: str) -> str:
        return "" if value is None or np.isnan(value) else form.format(value)

    return (
        row["family"], str(row["bits"]), str(len(row["accuracies"])),
        tables.mean_std(row["accuracies"]), _difference(row["differences"]),
        shown(row["us"], "{:.0f}"), shown(row["faster"], "{:.2f}x"),
        shown(row["over_dense"], "{:.2f}x"),
        *(shown(ratio, "{:.2f}x") for ratio in row["over_dense_as"].values()),
    )  # fmt: skip


def _difference(differences: list[float]) -> str:
    """The mean with its standard error."""
    if not differences:
        return ""
    text = f"{np.mean(differences):+.1f}"
    if len(differences) > 1:
        text += f" ± {np.std(differences, ddof=1) / len(differences) ** 0.5:.1f}"
    return text


def _plot(group: str, rows: list[dict[str, Any]], path: Path) -> None:
    """Accuracy against time, a line a family with its bits, and the Pareto front."""
    figure, axis = plots.plt.subplots(figsize=(6.5, 4.5), layout="constrained")
    families = dict.fromkeys(row["family"] for row in rows)
    for family, color in zip(families, plots.COLORS * 2, strict=False):
        mine = [row for row in rows if row["family"] == family]
        spread = [np.std(a, ddof=1) if len(a := row["accuracies"]) > 1 else 0.0 for row in mine]
        x, y = [row["us"] for row in mine], [row["accuracy"] for row in mine]
        axis.errorbar(x, y, yerr=spread, fmt="o", color=color, label=family)
        for row in mine:
            axis.annotate(str(row["bits"]), (row["us"], row["accuracy"]), (4, 4),
                          textcoords="offset points", fontsize=7)  # fmt: skip
    front: list[tuple[float, float]] = []
    for row in sorted(rows, key=lambda r: (r["us"], -r["accuracy"])):
        if not front or row["accuracy"] > front[-1][1]:
            front.append((row["us"], row["accuracy"]))
    axis.plot(*zip(*front, strict=True), color="grey", linestyle=":", zorder=0)
    axis.set(xlabel="quantized layers (us)", ylabel="test accuracy (%)", title=group)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7)
    plots.save(figure, path)

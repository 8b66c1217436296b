"""Tables, plots and the Markdown report of the study."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab.study import measure
from lab.study.points import Point
from lab.study.train import folder_of, read_result
from tf_signbin.benchmark.machine import describe_machine
from tf_signbin.convert import write_file
from tf_signbin.runtime import find_runtime
from tf_signbin.training import plots, tables

HEADER = (
    "weights", "teacher %", "int8 .tflite %", "to binary", "density", "file KiB",
    "energy uJ", "network us", "layers us", "vs binary", "vs XNNPACK int8", "vs binary (4x image)",
    "vs XNNPACK int8 (4x image)",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Row:
    """One point over its seeds; `speed` holds layers' microseconds by image scale."""

    point: Point
    results: list[dict[str, Any]]
    latency: dict[str, Any]
    binary: Row | None
    dense_latency: dict[str, Any]

    def mean(self, key: str = "accuracy_tflite") -> float:
        return float(np.mean([r[key] for r in self.results]))

    def gain(self, scale: int, other: dict[str, Any] | None) -> float:
        """How many times faster the quantized layers are than the other's."""
        if other is None:
            return float("nan")
        return other["layers_us"][str(scale)] / self.latency["layers_us"][str(scale)]

    @property
    def density(self) -> float:
        return self.mean("effectual") / self.mean("total")

    @property
    def name(self) -> str:
        dense = self.point.method.weights == "full_precision"
        return "int8 (dense), XNNPACK" if dense else self.point.method.label

    def cells(self) -> tuple[str, ...]:
        binary = self.binary
        low, high = measure.IMAGE_SCALES
        difference = "-" if binary is None else f"{100 * (self.mean() - binary.mean()):+.1f}"

        def percent(key: str) -> str:
            return tables.mean_std([100 * r[key] for r in self.results])

        def times(scale: int, other: dict[str, Any] | None) -> str:
            return f"{self.gain(scale, other):.2f}x"

        other = binary.latency if binary else None
        return (
            self.name, percent("accuracy_teacher"), percent("accuracy_tflite"), difference,
            f"{self.density:.2f}", f"{self.results[0]['file_bytes'] / 1024:.0f}",
            f"{self.mean('energy_nj') / 1e3:.1f}", f"{self.latency['network_us']:.0f}",
            f"{self.latency['layers_us'][str(low)]:.0f}",
            times(low, other), times(low, self.dense_latency),
            times(high, other), times(high, self.dense_latency),
        )  # fmt: skip


def collect(points: Sequence[Point], seeds: Sequence[int], out: Path) -> dict[str, list[Row]]:
    """Rows of every group (task and width), from finished runs; the binary row serves the others.

    Raises:
      FileNotFoundError: nothing was measured yet.
    """
    latency = measure.read(out)
    if latency is None:
        raise FileNotFoundError(f"{out} holds no measurements; run examples/codesign.py first.")
    groups: dict[str, list[Row]] = defaultdict(list)
    binary: dict[str, Row] = {}
    # Binary first: the rows of its group compare themselves with it.
    for point in sorted(points, key=lambda p: p.method.weights != "binary"):
        results = [read_result(folder_of(out, point, seed)) for seed in seeds]
        finished = [r for r in results if r is not None]
        group, dense = point.group, latency.get(measure.dense_key(point))
        own = dense if point.method.weights == "full_precision" else latency.get(point.key)
        if not finished or own is None or dense is None:
            continue
        row = Row(point, finished, own, binary.get(group), dense)
        if point.method.weights == "binary":
            row = dataclasses.replace(row, binary=row)
            binary[group] = row
        groups[group].append(row)
    order = {p.key: i for i, p in enumerate(points)}
    return {g: sorted(rows, key=lambda r: order[r.point.key]) for g, rows in groups.items()}


def targets(rows: Sequence[Row], scale: int) -> list[tuple[str, str, str]]:
    """The study's targets on one group: (target, yes or no, the figures of the best point)."""
    named = {row.point.method.label: row for row in rows}
    binary, dense = named.get("binary"), named.get("full precision")
    signed = [r for r in rows if r.point.method.weights == "signed_binary"]
    found = []
    middle = named.get("signed-binary centered 3 of 7")
    if binary and middle:
        loss, gain = binary.mean() - middle.mean(), middle.gain(scale, binary.latency)
        found.append(
            (
                "centered 3 of 7: within 0.5 points of binary and at least 1.1x faster",
                _yes(loss <= 0.005 and gain >= 1.1),
                f"{-100 * loss:+.1f} points, {gain:.2f}x",
            )
        )
    for title, base, other, allowed, least in (
        ("within 1 point of binary and at least 1.3x faster", binary, binary, 0.01, 1.3),
        ("within 1 point of int8 and at least 1.7x faster than XNNPACK int8", dense, dense, 0.01,
         1.7),
    ):  # fmt: skip
        if not (base and other and signed):
            continue
        close = [r for r in signed if r.mean() >= base.mean() - allowed] or signed
        best = max(close, key=lambda r: r.gain(scale, other.latency))
        points, gain = best.mean() - base.mean(), best.gain(scale, other.latency)
        found.append(
            (
                title,
                _yes(points >= -allowed and gain >= least),
                f"{best.name}: {100 * points:+.1f} points, {gain:.2f}x",
            )
        )
    return found


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def write(groups: dict[str, list[Row]], folder: Path) -> Path:
    """report.md, its plots and results.json."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = describe_machine(find_runtime("auto"))
    parts = [
        "# Results of the co-design study",
        "Written by `python examples/codesign.py`. What the study compares, and what follows from "
        "it: [codesign.md](../codesign.md).",
        "Accuracy: test set, mean ± standard deviation over seeds, of the float network that every "
        "method starts and learns from (teacher) and of the converted int8 network run by the "
        "delegate (dense int8: by XNNPACK). Density: share "
        "of effectual weights. Energy: estimated per image (`tf_signbin.summary`). Latency: one "
        "thread, median, all networks of a table in turn; `layers` is the sum over the quantized "
        "3x3 convolutions, each measured alone; `4x image` is the same with images of four times "
        "the side. Last columns: times faster.",
        f"Machine: {machine.get('cpu', '')}.",
    ]
    for group, rows in groups.items():
        task = rows[0].point.task
        parts.append(
            f"## {group}\n\n{task.model}, {len(rows[0].results)} seeds, "
            f"{task.teacher.epochs} epochs of the float network that all start and learn from, "
            f"{task.student.epochs} of each method."
        )
        parts.append(tables.markdown(HEADER, [row.cells() for row in rows]))
        for scale in measure.IMAGE_SCALES:
            checked = targets(rows, scale)
            if checked:
                title = f"target (images x{scale})"
                parts.append(tables.markdown((title, "holds", "best point"), checked))
        _plot(group, rows, folder / f"{group}.png")
        parts.append(f"![{group}]({group}.png)")
    report = folder / "report.md"
    write_file(report, ("\n\n".join(parts) + "\n").encode())
    results = json.dumps(_plain(groups, machine), indent=1) + "\n"
    write_file(folder / "results.json", results.encode())
    return report


def _plain(groups: dict[str, list[Row]], machine: dict[str, Any]) -> dict[str, Any]:
    rows = {
        row.point.key: {"seeds": row.results, "latency": row.latency}
        for members in groups.values()
        for row in members
    }
    return {"machine": machine, "points": rows}


def _plot(group: str, rows: Sequence[Row], path: Path) -> None:
    """Accuracy against latency, density and file size, with the Pareto front."""
    figure, axes = plots.plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    scale = str(measure.IMAGE_SCALES[-1])
    costs = (
        ("quantized layers, 4x image (us)", lambda r: r.latency["layers_us"][scale]),
        ("density of effectual weights", lambda r: r.density),
        ("file (KiB)", lambda r: r.results[0]["file_bytes"] / 1024),
    )
    for axis, (label, cost) in zip(axes, costs, strict=True):
        points = [(cost(r), 100 * r.mean(), r) for r in rows]
        for color, (x, y, row) in zip(plots.COLORS * 2, points, strict=False):
            spread = 100 * np.std([v["accuracy_tflite"] for v in row.results])
            axis.errorbar(x, y, yerr=spread, fmt="o", color=color, label=row.name)
        front, best = [], -1.0
        for x, y, _ in sorted(points, key=lambda p: (p[0], -p[1])):
            if y > best:
                front.append((x, y))
                best = y
        axis.plot(*zip(*front, strict=True), color="grey", linestyle=":", zorder=0)
        axis.set(xlabel=label, ylabel="test accuracy, int8 (%)")
        axis.grid(alpha=0.3)
    axes[0].set_title(group)
    axes[-1].legend(fontsize=7)
    plots.save(figure, path)

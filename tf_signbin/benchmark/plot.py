"""Pictures of benchmark results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tf_signbin import figures
from tf_signbin.figures import COLOURS, LABELS

_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def plot(result: dict[str, Any], path: str | os.PathLike[str]) -> list[Path]:
    """Draws the result of any benchmark, by default as .png; returns the files."""
    pyplot = figures.pyplot()
    draw = {"layers": _layers, "model": _model, "kinds": _kinds, "density": _density}
    figure = draw[result["command"]](pyplot, result)
    machine, view = result["machine"], result.get("view")
    note = f"{machine['cpu']}, {machine['runtime']}, {result['threads']} thread(s)"
    note += f", view {view['name']}" if view else ""
    figure.text(0.01, 0.005, note, fontsize=7, color="#555")
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    return figures.save(figure, path, (".png",))


def _bars(pyplot: Any, rows: list[dict[str, Any]], title: str) -> Any:
    figure, axes = pyplot.subplots(figsize=(max(6.0, 1.3 * len(rows) + 2), 4))
    width = 0.27
    for offset, name in enumerate(("xnnpack_fp32", "xnnpack_int8", "ours")):
        spread = [row["spread"][name] for row in rows]
        medians = [timing["median_ms"] for timing in spread]
        errors = [
            [timing["median_ms"] - timing["p10_ms"] for timing in spread],
            [timing["p90_ms"] - timing["median_ms"] for timing in spread],
        ]
        axes.bar(
            [index + (offset - 1) * width for index in range(len(rows))], medians, width,
            yerr=errors, label=LABELS[name], color=COLOURS[name],
            error_kw={"elinewidth": 0.8, "alpha": 0.6},
        )  # fmt: skip
    # On a busy machine the slowest tenth may take many times the median: do not scale to it.
    axes.set_ylim(0, 1.3 * max(row["spread"]["xnnpack_fp32"]["median_ms"] for row in rows))
    axes.set_xticks(range(len(rows)), [row["name"] for row in rows])
    if len(rows) > 5:
        axes.tick_params(axis="x", labelrotation=30)
    axes.set_ylabel("ms an invoke (median, 10-90 %)")
    axes.set_title(title)
    figures.clean(axes)
    return figure


def _layers(pyplot: Any, result: dict[str, Any]) -> Any:
    title = (
        f"{result['activations']} activations: {result['geomean_ratio_int8']:.2f}x XNNPACK int8, "
        f"{result['geomean_ratio_fp32']:.2f}x fp32 (geometric means)"
    )
    return _bars(pyplot, result["layers"], title)


def _model(pyplot: Any, result: dict[str, Any]) -> Any:
    row = {"name": result["network"], **result}
    title = f"{result['activations']} activations: {result['ratio_int8']:.2f}x XNNPACK int8"
    return _bars(pyplot, [row], title)


def _kinds(pyplot: Any, result: dict[str, Any]) -> Any:
    figure, axes = pyplot.subplots(figsize=(7, 4))
    kinds = result["kinds"]
    colours = [
        COLOURS.get(f"xnnpack_{kind['name']}")
        or COLOURS["pattern" if ":" in kind["name"] else kind["name"]]
        for kind in kinds
    ]
    names = [
        LABELS.get("xnnpack_" + kind["name"], kind["name"].replace("_", "-")) for kind in kinds
    ]
    bars = axes.barh(names[::-1], [kind["ratio_to_binary"] for kind in kinds][::-1])
    for bar, colour in zip(bars, colours[::-1], strict=True):
        bar.set_color(colour)
    axes.bar_label(bars, fmt="%.2fx", padding=3)
    axes.axvline(1, color="#999", linewidth=0.8)
    axes.set_xlabel("speed relative to binary weights in the same engine")
    axes.set_title(f"ResNet-18 3x3 layers, {result['activations']} activations")
    figures.clean(axes)
    return figure


def _density(pyplot: Any, result: dict[str, Any]) -> Any:
    layers = result["layers"]
    figure, grid = pyplot.subplots(1, len(layers), figsize=(4 * len(layers), 4), squeeze=False)
    styles = {"signed_binary": "o-", "ternary": "s-"}
    for axes, layer in zip(grid[0], layers, strict=True):
        for kind, style in styles.items():
            points = [point for point in layer["points"] if point["kind"] == kind]
            axes.plot(
                [point["density"] for point in points], [point["ours_ms"] for point in points],
                style, color=COLOURS[kind], markersize=4, label=LABELS[kind],
            )  # fmt: skip
        binary = next(point for point in layer["points"] if point["kind"] == "binary")
        axes.axhline(
            binary["ours_ms"], color=COLOURS["binary"], linestyle="--", label=LABELS["binary"]
        )
        top = 1.3 * max(point["ours_ms"] for point in layer["points"])
        hidden = []
        for name in ("xnnpack_int8", "xnnpack_fp32"):
            ms = layer[f"{name}_ms"]
            if ms <= top:
                axes.axhline(ms, color=COLOURS[name], linestyle=":", label=LABELS[name])
            else:
                hidden.append(f"{LABELS[name]}: {ms:.2f} ms")
        axes.text(0.02, 0.98, "\n".join(hidden), transform=axes.transAxes, fontsize=8, va="top")
        axes.set_xscale("log")
        axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
        axes.set_xticks([], minor=True)
        axes.set_ylim(0, top)
        axes.set_title(layer["name"])
        axes.set_xlabel("density (share of effectual weights)")
        axes.spines[["top", "right"]].set_visible(False)
    grid[0][0].set_ylabel("ms an invoke (median)")
    grid[0][-1].legend(frameon=False, fontsize=8)
    return figure

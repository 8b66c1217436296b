"""Figures of the trade-off, as PNG and SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tf_signbin import figures
from tf_signbin.figures import COLOURS, LABELS

_MARKERS = {"signed_binary": "o-", "ternary": "s-", "binary": "D"}
_TICKS = (0.02, 0.05, 0.1, 0.2, 0.36, 0.5, 1.0)


def plot(result: dict[str, Any], path: str) -> list[Path]:
    """Draws an analysis; without a suffix, `path` becomes a .png and a .svg. Returns the files."""
    pyplot = figures.pyplot()
    figure = _layer(pyplot, result) if "points" in result else _model(pyplot, result)
    figure.tight_layout()
    return figures.save(figure, path, (".png", ".svg"))


def _layer(pyplot: Any, result: dict[str, Any]) -> Any:
    measured = "measured_ms" in result["points"][0]
    if measured:
        figure, ((groups, counts), (times, energy)) = pyplot.subplots(2, 2, figsize=(11, 8))
        _density(times, result, "measured_ms", "ms (one invoke, median)")
        _predictions(times, result)
    else:
        figure, (groups, counts, energy) = pyplot.subplots(1, 3, figsize=(15, 4.4))
    _groups(groups, result)
    _density(counts, result, "shared_adds_per_output", "additions per output (best group)")
    _bound(counts, result)
    _energy(energy, result)
    figure.suptitle(
        f"Repetition and sparsity: {result['layer']}, {result['activations']} activations"
    )
    return figure


def _groups(axes: Any, result: dict[str, Any]) -> None:
    """Few channels a group share little, many make tables that cost more than they save."""
    first = result["points"][0]
    dense = first["macs_per_sample"] / first["outputs_per_sample"]
    for series in ("binary", "ternary", "signed_binary"):
        points = [point for point in result["points"] if point["series"] == series]
        wanted = 0.36 if series == "signed_binary" else 0.58
        point = min(points, key=lambda p: abs(p["density"] - wanted))
        groups = [g for g in point["groups"] if g["shared_adds_per_output"] <= dense]
        axes.plot(
            [g["group"] for g in groups], [g["shared_adds_per_output"] for g in groups],
            "o-", color=COLOURS[series],
            label=f"{LABELS[series]}, density {point['density']:.2f}",
        )  # fmt: skip
    axes.axhline(dense, color=COLOURS["xnnpack_fp32"], linestyle=":")
    axes.annotate(
        f"dense: {dense:.0f} MAC", (1, dense), fontsize=8, color=COLOURS["xnnpack_fp32"],
        xytext=(0, 4), textcoords="offset points",
    )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(top=1.4 * dense)
    axes.yaxis.set_major_formatter("{x:.0f}")
    axes.yaxis.set_minor_formatter("{x:.0f}")
    axes.set_xlabel("input channels a group")
    axes.set_ylabel("additions per output")
    axes.set_title("Repetition: one table for all filters and taps")
    figures.clean(axes)


def _density(axes: Any, result: dict[str, Any], key: str, label: str) -> None:
    for series, style in _MARKERS.items():
        points = [point for point in result["points"] if point["series"] == series]
        points.sort(key=lambda point: point["density"])
        axes.plot(
            [point["density"] for point in points], [point[key] for point in points],
            style, color=COLOURS[series], markersize=5, label=LABELS[series],
        )  # fmt: skip
    patterns = sorted(
        (point for point in result["points"] if ":" in point["series"]), key=lambda p: p["density"]
    )
    for number, point in enumerate(patterns):
        axes.plot(point["density"], point[key], "*", color=COLOURS["pattern"], markersize=11)
        # Neighbours are close: their labels stand below and above in turn.
        axes.annotate(
            point["series"].split()[1], (point["density"], point[key]), fontsize=8, ha="center",
            xytext=(0, 8 if number % 2 else -16), textcoords="offset points",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("density (share of effectual weights)")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    figures.clean(axes)


def _bound(axes: Any, result: dict[str, Any]) -> None:
    points = [point for point in result["points"] if point["series"] == "signed_binary"]
    points.sort(key=lambda point: point["density"])
    axes.plot(
        [point["density"] for point in points],
        [point["lower_bound_per_output"] for point in points],
        ":", color=COLOURS["signed_binary"], label="lower bound, signed-binary",
    )  # fmt: skip
    axes.set_title("Sparsity: what the best group size costs")
    figures.clean(axes)


def _predictions(axes: Any, result: dict[str, Any]) -> None:
    for series in ("signed_binary", "ternary"):
        points = [point for point in result["points"] if point["series"] == series]
        points.sort(key=lambda point: point["density"])
        axes.plot(
            [point["density"] for point in points], [point["predicted_ms"] for point in points],
            "--", color=COLOURS[series], alpha=0.4,
        )  # fmt: skip
    # XNNPACK float32 is far above the other curves: its time goes into the legend only.
    slowest = max(point["measured_ms"] for point in result["points"])
    for dense, kind in zip(result["dense"], ("xnnpack_fp32", "xnnpack_int8"), strict=True):
        name = (
            f"{LABELS[kind]}: {dense['measured_ms']:.2f} ms (predicted {dense['predicted_ms']:.2f})"
        )
        axes.axhline(dense["measured_ms"], color=COLOURS[kind], linestyle=":", label=name)
    int8 = result["dense"][1]["measured_ms"]
    axes.set_ylim(0, 1.2 * max(slowest, int8 if int8 < 3 * slowest else 0.0))
    axes.set_title(f"Measured time (dashed: predicted, by {result['reference']['layer']})")
    figures.clean(axes)


def _energy(axes: Any, result: dict[str, Any]) -> None:
    bars = [(f"dense {dense['name']}", dense, COLOURS["xnnpack_fp32"]) for dense in result["dense"]]
    wanted = {"binary": 1.0, "ternary": 0.58, "signed_binary": 0.36}
    for series, density in wanted.items():
        points = [point for point in result["points"] if point["series"] == series]
        point = min(points, key=lambda p: abs(p["density"] - density))
        bars.append((LABELS[series], point, COLOURS[series]))
    for point in result["points"]:
        if ":" in point["series"]:
            name = point["series"].replace("_", "-")
            bars.append((name, point, COLOURS["pattern"]))
    names, rows, colours = zip(*bars[::-1], strict=True)
    arithmetic = [row["arithmetic_nj_per_sample"] / 1e3 for row in rows]
    weights = [row["dram_nj_per_sample"] / 1e3 for row in rows]
    axes.barh(names, arithmetic, color=colours, label="arithmetic")
    drawn = axes.barh(
        names, weights, left=arithmetic, color=colours, alpha=0.45, label="weights from DRAM (pale)"
    )
    axes.bar_label(
        drawn, [f"{row['energy_nj_per_sample'] / 1e3:.0f}" for row in rows], padding=3, fontsize=8
    )
    axes.set_xlabel("µJ an inference, estimate (Horowitz 2014, 45 nm)")
    axes.set_title("Energy of arithmetic and weight traffic")
    figures.clean(axes)


def _model(pyplot: Any, result: dict[str, Any]) -> Any:
    layers = result["layers"]
    figure, grid = pyplot.subplots(
        1, 3, figsize=(13, max(3.5, 0.3 * len(layers) + 1.5)), sharey=True
    )
    names = [layer["name"] for layer in layers]
    panels = [
        ([layer["density"] for layer in layers], "density", COLOURS["ours"]),
        (
            [
                layer["macs_per_sample"] / layer["outputs_per_sample"]
                / layer["shared_adds_per_output"] for layer in layers
            ],
            "dense MAC per shared addition", COLOURS["pattern"],
        ),
        (
            [layer["dense_int8_nj"] / layer["energy_nj_per_sample"] for layer in layers],
            "energy: dense int8 / packed (estimate)", COLOURS["xnnpack_int8"],
        ),
    ]  # fmt: skip
    for axes, (values, label, colour) in zip(grid, panels, strict=True):
        bars = axes.barh(names, values, color=colour)
        axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
        axes.set_xlabel(label)
        figures.clean(axes)
    grid[0].invert_yaxis()
    figure.suptitle(Path(result["model"]).name)
    return figure

"""Figures of the trade-off, as PNG and SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tf_signbin.convert.files import replacing

_STYLE = {
    "signed_binary": ("o-", "#0b6e4f"),
    "ternary": ("s-", "#8e3b8a"),
    "binary": ("D", "#333333"),
}
_PATTERN_COLOUR = "#2a9d5c"
_TICKS = (0.02, 0.05, 0.1, 0.2, 0.36, 0.5, 1.0)


def plot(result: dict[str, Any], path: str) -> list[Path]:
    """Draws an analysis; without a suffix, `path` becomes a .png and a .svg. Returns the files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = _layer(pyplot, result) if "points" in result else _model(pyplot, result)
    figure.tight_layout()
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    files = [target] if target.suffix else [Path(f"{path}.png"), Path(f"{path}.svg")]
    for file in files:
        with replacing(file) as temporary:
            figure.savefig(temporary, dpi=150)
    pyplot.close(figure)
    return files


def _layer(pyplot: Any, result: dict[str, Any]) -> Any:
    measured = "measured_ms" in result["points"][0]
    figure, grid = pyplot.subplots(2, 2, figsize=(11, 8))
    _groups(grid[0][0], result)
    _density(grid[0][1], result, "adds_per_output", "additions per output (best group)")
    _bound(grid[0][1], result)
    if measured:
        _density(grid[1][0], result, "measured_ms", "ms (one invoke, median)")
        _predictions(grid[1][0], result)
    else:
        grid[1][0].set_axis_off()
    _energy(grid[1][1], result)
    figure.suptitle(
        f"Repetition and sparsity: {result['layer']}, {result['activations']} activations"
    )
    return figure


def _groups(axes: Any, result: dict[str, Any]) -> None:
    """Few channels a group share little, many make tables that cost more than they save."""
    shown = {"binary": "binary", "ternary": "ternary", "signed_binary": "signed-binary"}
    for series, label in shown.items():
        points = [point for point in result["points"] if point["series"] == series]
        wanted = 0.36 if series == "signed_binary" else 0.58
        point = min(points, key=lambda p: abs(p["density"] - wanted))
        groups = [g for g in point["groups"] if g["adds_per_output"] <= point["macs_per_output"]]
        axes.plot(
            [g["group"] for g in groups], [g["adds_per_output"] for g in groups],
            "o-", color=_STYLE[series][1], label=f"{label}, density {point['density']:.2f}",
        )  # fmt: skip
    dense = result["points"][0]["macs_per_output"]
    axes.axhline(dense, color="#6b7a8f", linestyle=":")
    axes.annotate(
        f"dense: {dense:.0f} MAC", (1, dense), fontsize=8, color="#6b7a8f",
        xytext=(0, 4), textcoords="offset points",
    )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(top=1.4 * dense)
    axes.yaxis.set_major_formatter("{x:.0f}")
    axes.yaxis.set_minor_formatter("{x:.0f}")
    axes.set_xlabel("input channels a group")
    axes.set_ylabel("additions per output")
    axes.set_title("Repetition: one table for all filters and taps")
    _finish(axes)


def _density(axes: Any, result: dict[str, Any], key: str, label: str) -> None:
    for series, (style, colour) in _STYLE.items():
        points = [point for point in result["points"] if point["series"] == series]
        points.sort(key=lambda point: point["density"])
        axes.plot(
            [point["density"] for point in points], [point[key] for point in points],
            style, color=colour, markersize=5, label=series.replace("_", "-"),
        )  # fmt: skip
    patterns = sorted(
        (point for point in result["points"] if ":" in point["series"]), key=lambda p: p["density"]
    )
    for number, point in enumerate(patterns):
        axes.plot(point["density"], point[key], "*", color=_PATTERN_COLOUR, markersize=11)
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
    _finish(axes)


def _bound(axes: Any, result: dict[str, Any]) -> None:
    points = [point for point in result["points"] if point["series"] == "signed_binary"]
    points.sort(key=lambda point: point["density"])
    axes.plot(
        [point["density"] for point in points], [point["lower_bound"] for point in points],
        ":", color=_STYLE["signed_binary"][1], label="entropy bound",
    )  # fmt: skip
    axes.set_title("Sparsity: what the best group size costs")
    _finish(axes)


def _predictions(axes: Any, result: dict[str, Any]) -> None:
    for series in ("signed_binary", "ternary"):
        points = [point for point in result["points"] if point["series"] == series]
        points.sort(key=lambda point: point["density"])
        axes.plot(
            [point["density"] for point in points], [point["predicted_ms"] for point in points],
            "--", color=_STYLE[series][1], alpha=0.4,
        )  # fmt: skip
    # XNNPACK float32 is far above the other curves: its time goes into the legend only.
    slowest = max(point["measured_ms"] for point in result["points"])
    for dense, colour in zip(result["dense"], ("#6b7a8f", "#c0752a"), strict=True):
        name = f"XNNPACK {dense['name']}: {dense['measured_ms']:.2f} ms"
        axes.axhline(dense["measured_ms"], color=colour, linestyle=":", label=name)
    int8 = result["dense"][1]["measured_ms"]
    axes.set_ylim(0, 1.2 * max(slowest, int8 if int8 < 3 * slowest else 0.0))
    axes.set_title("Measured time (dashed: predicted from the additions)")
    _finish(axes)


def _energy(axes: Any, result: dict[str, Any]) -> None:
    bars = [(f"dense {dense['name']}", dense["energy_uj"], "#6b7a8f") for dense in result["dense"]]
    wanted = {"binary": 1.0, "ternary": 0.58, "signed_binary": 0.36}
    for series, density in wanted.items():
        points = [point for point in result["points"] if point["series"] == series]
        point = min(points, key=lambda p: abs(p["density"] - density))
        bars.append((series.replace("_", "-"), point["energy_uj"], _STYLE[series][1]))
    for point in result["points"]:
        if ":" in point["series"]:
            name = point["series"].replace("_", "-")
            bars.append((name, point["energy_uj"], _PATTERN_COLOUR))
    names, values, colours = zip(*bars[::-1], strict=True)
    drawn = axes.barh(names, values, color=colours)
    axes.bar_label(drawn, fmt="%.0f", padding=3, fontsize=8)
    axes.set_xlabel("µJ an inference, estimate (Horowitz 2014, 45 nm)")
    axes.set_title("Energy of arithmetic and weight traffic")
    axes.spines[["top", "right"]].set_visible(False)


def _model(pyplot: Any, result: dict[str, Any]) -> Any:
    layers = result["layers"]
    figure, grid = pyplot.subplots(
        1, 3, figsize=(13, max(3.5, 0.3 * len(layers) + 1.5)), sharey=True
    )
    names = [layer["name"] for layer in layers]
    panels = [
        ([layer["density"] for layer in layers], "density", "#0b6e4f"),
        (
            [layer["macs_per_output"] / layer["adds_per_output"] for layer in layers],
            "dense MAC per addition", "#2a9d5c",
        ),
        (
            [layer["dense_int8_energy_uj"] / layer["energy_uj"] for layer in layers],
            "energy: dense int8 / packed (estimate)", "#c0752a",
        ),
    ]  # fmt: skip
    for axes, (values, label, colour) in zip(grid, panels, strict=True):
        bars = axes.barh(names, values, color=colour)
        axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
        axes.set_xlabel(label)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].invert_yaxis()
    figure.suptitle(Path(result["model"]).name)
    return figure


def _finish(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)

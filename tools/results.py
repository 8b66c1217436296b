"""Measures what README and docs show, and writes it into them.

    make results        measures (several minutes on an otherwise idle machine), then writes
    tools/results.py    only writes tables and pictures from docs/results/*.json

A test compares the tables with the JSON files, so that neither is edited by hand. All figures are
of one machine and one session: new ones replace all the old ones or none, and what differs in its
machine or its date is not written. Views (`benchmark --as`) that the machine can give have a row.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tf_signbin import figures
from tf_signbin.analyze import plot as analyze_plot
from tf_signbin.analyze.synthetic import analyze_layer
from tf_signbin.benchmark import plot as benchmark_plot
from tf_signbin.benchmark.contenders import Settings
from tf_signbin.benchmark.layers import LayerShape
from tf_signbin.benchmark.views import VIEWS, available_views
from tf_signbin.figures import COLOURS

ROOT = Path(__file__).resolve().parents[1]
RESULTS, IMAGES = ROOT / "docs/results", ROOT / "docs/images"
# JSON file: the command that makes it.
COMMANDS = {
    "layers_int8": ["benchmark", "layers"],
    "layers_float32": ["benchmark", "layers", "--activations", "float32"],
    "layers_int8_2of10": ["benchmark", "layers", "--pattern", "2:10"],
    "layers_float32_2of7": [
        "benchmark", "layers", "--activations", "float32", "--pattern", "2:7",
    ],
    "resnet18_int8": ["benchmark", "model", "--seconds", "6"],
    "resnet18_float32": ["benchmark", "model", "--activations", "float32", "--seconds", "6"],
    "resnet20_int8": ["benchmark", "model", "--network", "resnet20", "--seconds", "6"],
    "resnet20_float32": [
        "benchmark", "model", "--network", "resnet20", "--activations", "float32",
        "--seconds", "6",
    ],
    "kinds_int8": ["benchmark", "kinds"],
    "density_int8": ["benchmark", "density"],
}  # fmt: skip
# The same of each view; the file's name starts with the view's.
VIEW_COMMANDS = {
    "layers_int8": ["benchmark", "layers"],
    "layers_int8_2of10": ["benchmark", "layers", "--pattern", "2:10"],
    "layers_int8_4bits": ["benchmark", "layers", "--input-bits", "4"],
    "layers_float32": ["benchmark", "layers", "--activations", "float32"],
    "resnet18_int8": ["benchmark", "model", "--seconds", "6"],
    "resnet50_int8": ["benchmark", "model", "--network", "resnet50", "--seconds", "6"],
}
_MARKS = re.compile(r"(<!-- results:begin -->\n).*?(<!-- results:end -->)", re.DOTALL)


def commands(views: Iterable[str]) -> dict[str, list[str]]:
    """JSON file to command, for a machine that can give those views."""
    return COMMANDS | {
        f"view_{view}_{name}": [*command, "--as", view]
        for view in views
        for name, command in VIEW_COMMANDS.items()
    }


def measure() -> None:
    session = datetime.now(timezone.utc).isoformat(timespec="minutes")
    with tempfile.TemporaryDirectory() as folder:
        for name, command in commands(available_views()).items():
            print(f"tf-signbin {' '.join(command)}", file=sys.stderr)
            path = Path(folder) / f"{name}.json"
            tool = [sys.executable, "-m", "tf_signbin", *command, "--json", str(path)]
            subprocess.run(tool, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
            result = {**json.loads(path.read_text()), "session": session}
            path.write_text(json.dumps(result, indent=2) + "\n")
        RESULTS.mkdir(parents=True, exist_ok=True)
        for path in RESULTS.glob("view_*.json"):
            path.unlink()
        for path in Path(folder).glob("*.json"):
            (RESULTS / path.name).write_text(path.read_text())


def load(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


def measured_views() -> list[str]:
    return [view for view in VIEWS if list(RESULTS.glob(f"view_{view}_*.json"))]


def check_origin() -> None:
    """All figures are of one machine and one session, or this is a SystemExit that names one."""
    names = list(commands(measured_views()))
    origins = [(load(name)["machine"], load(name).get("session")) for name in names]
    for name, origin in zip(names, origins, strict=True):
        if origin != origins[0]:
            raise SystemExit(
                f"{name}.json was not measured with {names[0]}.json ({origin} and {origins[0]}): "
                "run `make results`, which measures all of them"
            )


def readme_table() -> str:
    """The headline table: layers and ResNet-18 against XNNPACK with the same activations; views."""
    check_origin()
    lines = [
        "| one thread | int8: XNNPACK | ours | 2 of 10 | float32: XNNPACK | ours | 2 of 7 |",
        "|---|---|---|---|---|---|---|",
    ]
    columns = [
        load(name)
        for name in ("layers_int8", "layers_int8_2of10", "layers_float32", "layers_float32_2of7")
    ]
    for rows in zip(*(column["layers"] for column in columns), strict=True):
        cells = [rows[0]["name"]]
        for base in (0, 2):
            cells.append(f"{rows[base]['xnnpack_ms']:.3f}")
            cells += [
                f"{row['ours_ms']:.3f} ({row['ratio']:.2f}x)" for row in rows[base : base + 2]
            ]
        lines.append(f"| {' | '.join(cells)} |")
    means = [f"**{column['geomean_ratio']:.2f}x**" for column in columns]
    lines.append(f"| geometric mean | | {means[0]} | {means[1]} | | {means[2]} | {means[3]} |")
    for network, title in (("resnet18", "ResNet-18, 224x224"), ("resnet20", "ResNet-20, 32x32")):
        cells = [title]
        for activations in ("int8", "float32"):
            model = load(f"{network}_{activations}")
            digits = 1 if model["xnnpack_ms"] >= 1 else 3
            cells += [
                f"{model['xnnpack_ms']:.{digits}f}",
                f"{model['ours_ms']:.{digits}f} ({model['ratio']:.2f}x)",
                "",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    machine = columns[0]["machine"]
    lines += [
        "",
        f"{machine['cpu']} ({', '.join(machine['cpu_features'])}), {machine['runtime']}, random "
        f"weights of density {columns[0]['weights']['density']:.2f} (2 of 10: "
        f"{columns[1]['weights']['density']:.2f}, 2 of 7: {columns[3]['weights']['density']:.2f}).",
    ]
    return "\n".join(lines + view_rows()) + "\n"


def view_rows() -> list[str]:
    """A row for each view that was measured, in the order of `VIEWS`."""
    views = measured_views()
    if not views:
        return []
    date = load(f"view_{views[0]}_layers_int8")["session"].partition("T")[0]
    lines = [
        "",
        f"The same machine as others ([views](docs/performance.md#views)), {date}: how many times "
        "as fast as XNNPACK with the same activations; 3x3 layers: geometric mean.",
        "",
        "| `benchmark --as` | 3x3, int8 | 2 of 10 | inputs of 4 bits | 3x3, float32 "
        "| ResNet-18, int8 | ResNet-50, int8 |",
        "|---|---|---|---|---|---|---|",
    ]
    for view in views:
        results = [load(f"view_{view}_{name}") for name in VIEW_COMMANDS]
        ratios = [result.get("geomean_ratio") or result["ratio"] for result in results]
        cells = [f"`{view}`: {VIEWS[view]}", *(f"{ratio:.2f}x" for ratio in ratios)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def headline(path: Path) -> None:
    """Milliseconds of each layer: XNNPACK, ours, ours with a pattern; for int8 and float."""
    figure, panels = figures.pyplot().subplots(1, 2, figsize=(11, 3.8))
    for axes, kind, pattern in zip(panels, ("int8", "float32"), ("2 of 10", "2 of 7"), strict=True):
        plain = load(f"layers_{kind}")
        patterned = load(f"layers_{kind}_{pattern.replace(' ', '')}")
        base = f"XNNPACK {'int8' if kind == 'int8' else 'fp32'}"
        series = [
            (base, [row["xnnpack_ms"] for row in plain["layers"]], COLOURS["xnnpack_int8"]),
            ("tf_signbin", [row["ours_ms"] for row in plain["layers"]], COLOURS["ours"]),
            (
                f"tf_signbin, {pattern}",
                [row["ours_ms"] for row in patterned["layers"]], COLOURS["pattern"],
            ),
        ]  # fmt: skip
        for offset, (label, values, colour) in enumerate(series):
            places = [index + (offset - 1) * 0.28 for index in range(len(values))]
            axes.bar(places, values, 0.26, label=label, color=colour)
        axes.set_xticks(range(len(values)), [row["name"] for row in plain["layers"]])
        axes.set_title(
            f"{kind} activations: {plain['geomean_ratio']:.2f}x and "
            f"{patterned['geomean_ratio']:.2f}x {base}"
        )
        axes.set_ylim(0, 1.35 * max(series[0][1]))
        figures.clean(axes)
        axes.legend(frameon=False, ncols=3, fontsize=8, loc="upper center")
    panels[0].set_ylabel("ms an invoke, one thread")
    figure.tight_layout()
    figures.save(figure, path, (".png",))


def with_table(text: str) -> str:
    return _MARKS.sub(lambda match: match[1] + readme_table() + match[2], text)


def tradeoff(path: Path) -> None:
    """Counts only, which are the same on every machine."""
    layer = LayerShape(14, 256, 256)
    counted = analyze_layer(layer, "int8", Settings(), 0.0, lambda label, share: None)
    analyze_plot.plot(counted, str(path))


def write() -> None:
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text()))
    headline(IMAGES / "headline.png")
    tradeoff(IMAGES / "tradeoff.png")
    for image, name in (
        ("layers", "layers_int8"), ("layers_float32", "layers_float32"),
        ("kinds", "kinds_int8"), ("density", "density_int8"),
    ):  # fmt: skip
        benchmark_plot.plot(load(name), IMAGES / f"{image}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measure", action="store_true", help="run the benchmarks first")
    if parser.parse_args().measure:
        measure()
    write()


if __name__ == "__main__":
    main()

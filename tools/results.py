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
from tf_signbin.training import tables

ROOT = Path(__file__).resolve().parents[1]
RESULTS, IMAGES = ROOT / "docs/results", ROOT / "docs/images"
# What is measured of layers and networks beside the default: the end of the file's name, the
# column's title, and arguments.
INT8_COLUMNS = {
    "": ("ours", []),
    "_2of10": ("2 of 10", ["--pattern", "2:10"]),
    "_5bits": ("5-bit inputs", ["--input-bits", "5"]),
    "_5bits_2of10": ("both", ["--input-bits", "5", "--pattern", "2:10"]),
}
FLOAT_COLUMNS = {
    "": ("ours", ["--activations", "float32"]),
    "_2of7": ("2 of 7", ["--activations", "float32", "--pattern", "2:7"]),
}
COLUMNS = {"int8": INT8_COLUMNS, "float32": FLOAT_COLUMNS}
ROWS = {
    "layers": ["benchmark", "layers"],
    "resnet18": ["benchmark", "model", "--seconds", "6"],
    "resnet20": ["benchmark", "model", "--network", "resnet20", "--seconds", "6"],
}
# JSON file: the command that makes it.
COMMANDS = {
    f"{row}_{activations}{end}": [*command, *arguments]
    for row, command in ROWS.items()
    for activations, columns in COLUMNS.items()
    for end, (_, arguments) in columns.items()
} | {"kinds_int8": ["benchmark", "kinds"], "density_int8": ["benchmark", "density"]}
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


def of_row(row: str) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    """'int8', 'float32', and the results of a row of `ROWS` in the order of their columns."""
    for activations, columns in COLUMNS.items():
        yield activations, [load(f"{row}_{activations}{end}") for end in columns]


def readme_table() -> str:
    """The headline table: layers and networks against XNNPACK with the same activations; views."""
    check_origin()
    titles = ["one thread"]
    for activations, columns in COLUMNS.items():
        titles += [f"{activations}: XNNPACK", *(title for title, _ in columns.values())]
    rows = []
    layers = dict(of_row("layers"))
    for index, layer in enumerate(layers["int8"][0]["layers"]):
        cells = [layer["name"]]
        for results in layers.values():
            cells += _times([result["layers"][index] for result in results])
        rows.append(cells)
    means = ["geometric mean"]
    for results in layers.values():
        means += ["", *(f"**{result['geomean_ratio']:.2f}x**" for result in results)]
    rows.append(means)
    for network, title in (("resnet18", "ResNet-18, 224x224"), ("resnet20", "ResNet-20, 32x32")):
        rows.append([title, *(cell for _, r in of_row(network) for cell in _times(r))])
    int8, floats = layers["int8"], layers["float32"]
    machine = int8[0]["machine"]
    lines = [
        tables.markdown(titles, rows),
        "",
        f"{machine['cpu']} ({', '.join(machine['cpu_features'])}), {machine['runtime']}, random "
        f"weights of density {int8[0]['weights']['density']:.2f} (2 of 10: "
        f"{int8[1]['weights']['density']:.2f}, 2 of 7: {floats[1]['weights']['density']:.2f}).",
    ]
    return "\n".join(lines + view_rows()) + "\n"


def _times(results: list[dict[str, Any]]) -> list[str]:
    """XNNPACK's milliseconds, as measured beside the first result, and each one's of ours."""
    digits = 1 if results[0]["xnnpack_ms"] >= 10 else 3
    ours = [f"{r['ours_ms']:.{digits}f} ({r['ratio']:.2f}x)" for r in results]
    return [f"{results[0]['xnnpack_ms']:.{digits}f}", *ours]


def view_rows() -> list[str]:
    """A row for each view that was measured, in the order of `VIEWS`."""
    views = measured_views()
    if not views:
        return []
    date = load(f"view_{views[0]}_layers_int8")["session"].partition("T")[0]
    titles = (
        "`benchmark --as`", "3x3, int8", "2 of 10", "inputs of 4 bits", "3x3, float32",
        "ResNet-18, int8", "ResNet-50, int8",
    )  # fmt: skip
    rows = []
    for view in views:
        results = [load(f"view_{view}_{name}") for name in VIEW_COMMANDS]
        ratios = [result.get("geomean_ratio") or result["ratio"] for result in results]
        rows.append([f"`{view}`: {VIEWS[view]}", *(f"{ratio:.2f}x" for ratio in ratios)])
    return [
        "",
        f"The same machine as others ([views](docs/performance.md#views)), {date}: how many times "
        "as fast as XNNPACK with the same activations; 3x3 layers: geometric mean.",
        "",
        tables.markdown(titles, rows),
    ]


def headline(path: Path) -> None:
    """Milliseconds of each layer: XNNPACK and the columns of ours; for int8 and float."""
    figure, panels = figures.pyplot().subplots(
        1, 2, figsize=(12, 3.8), width_ratios=[len(columns) + 1 for columns in COLUMNS.values()]
    )
    for axes, (kind, results) in zip(panels, of_row("layers"), strict=True):
        base = f"XNNPACK {'int8' if kind == 'int8' else 'fp32'}"
        plain = results[0]["layers"]
        series = [(base, [row["xnnpack_ms"] for row in plain], COLOURS["xnnpack_int8"])]
        for (title, _), result, colour in zip(
            COLUMNS[kind].values(), results, ("ours", "pattern", "few_bits", "both"), strict=False
        ):
            label = f"{'tf_signbin' if title == 'ours' else title}: {result['geomean_ratio']:.2f}x"
            series.append((label, [row["ours_ms"] for row in result["layers"]], COLOURS[colour]))
        width = 0.84 / len(series)
        for offset, (label, values, colour) in enumerate(series):
            places = [i + (offset - (len(series) - 1) / 2) * width for i in range(len(values))]
            axes.bar(places, values, 0.93 * width, label=label, color=colour)
        axes.set_xticks(range(len(plain)), [row["name"] for row in plain])
        axes.set_title(f"{kind} activations")
        axes.set_ylim(0, 1.45 * max(series[0][1]))
        figures.clean(axes)
        axes.legend(frameon=False, ncols=len(series) // 2 + 1, fontsize=8, loc="upper center")
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

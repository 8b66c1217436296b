"""Show the repetition-sparsity trade-off of a converted model or of a synthetic layer."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from tf_signbin import console
from tf_signbin.arguments import output_file, picture, seconds
from tf_signbin.benchmark.contenders import BenchmarkError, Settings
from tf_signbin.benchmark.graph import FLOAT32, INT8
from tf_signbin.benchmark.layers import LayerShape
from tf_signbin.runtime import RUNTIMES, DelegateError, RuntimeNotFoundError

EXAMPLES = """examples:
  tf-signbin analyze model.tflite --plot model.png
  tf-signbin analyze 14x14x256 --plot tradeoff            writes tradeoff.png and tradeoff.svg
  tf-signbin analyze "28x28x128->256 3x3/2" --activations float32 --no-measure --json -
"""
_LAYER = re.compile(r"(\d+)x\1x(\d+)(?:->(\d+))?(?: (\d+)x\4(?:/(\d+))?)?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", help="a .tflite file, or a layer: SIZExSIZExCHANNELS[->FILTERS][ KxK[/STRIDE]]"
    )
    parser.add_argument(
        "--activations", choices=(INT8, FLOAT32), default=INT8, help="of a synthetic layer"
    )
    parser.add_argument("--no-measure", action="store_true", help="count only, run nothing")
    parser.add_argument(
        "--seconds", type=seconds, default=6.0, help="time for measurements (default 6)"
    )
    parser.add_argument("--runtime", choices=RUNTIMES, default="ai_edge_litert")
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="write the figures; - for stdout"
    )
    parser.add_argument(
        "--plot",
        type=picture,
        metavar="FILE",
        help="write a picture (.png or .svg; both without a suffix)",
    )


def run(args: argparse.Namespace) -> int:
    try:
        result = _analyze(args)
    except (
        BenchmarkError, DelegateError, RuntimeNotFoundError, OSError, ValueError,
    ) as error:  # fmt: skip
        raise console.CommandError(str(error)) from error
    if args.json:
        console.write_json(args.json, result)
    if args.json != "-":
        _print(result)
    if args.plot:
        from tf_signbin.analyze.plot import plot

        for file in plot(result, args.plot):
            console.say(f"wrote {file}")
    return console.OK


def _analyze(args: argparse.Namespace) -> dict[str, Any]:
    from tf_signbin.analyze.model import analyze_model
    from tf_signbin.analyze.synthetic import analyze_layer

    is_model = Path(args.target).suffix == ".tflite" or Path(args.target).exists()
    layer = None if is_model else parse_layer(args.target)
    time = 0.0 if args.no_measure else args.seconds
    with console.progress("analyze") as tick:
        if layer is None:
            return analyze_model(args.target, args.runtime, time, tick)
        return analyze_layer(layer, args.activations, Settings(runtime=args.runtime), time, tick)


def parse_layer(text: str) -> LayerShape:
    """The layer of a name such as '14x14x256' or '28x28x128->256 3x3/2'; ValueError otherwise."""
    match = _LAYER.fullmatch(text)
    if not match:
        raise ValueError(
            f"{text!r} is neither a .tflite file nor a layer such as '14x14x256' or "
            "'28x28x128->256 3x3/2'"
        )
    size, channels, filters, kernel, stride = match.groups()
    return LayerShape(
        int(size), int(channels), int(filters or channels), int(kernel or 3), int(stride or 1)
    )


def _print(result: dict[str, Any]) -> None:
    if "points" in result:
        _print_layer(result)
    else:
        _print_model(result)
    print(f"energy: {result['energy']['source']}")


def _print_layer(result: dict[str, Any]) -> None:
    measured = "measured_ms" in result["points"][0]
    rows = []
    for dense in result["dense"]:
        macs = dense["macs_per_sample"] // dense["outputs_per_sample"]
        rows.append(
            [
                f"dense {dense['name']}",
                "1.00",
                "",
                "",
                "",
                f"{macs} MAC",
                "",
                *_energy_cells(dense),
                *_time_cells(dense),
            ]
        )
    order = {"binary": 0, "ternary": 1, "signed_binary": 2}
    for point in sorted(
        result["points"], key=lambda p: (order.get(p["series"], 3), p["series"], -p["density"])
    ):
        best = next(g for g in point["groups"] if g["group"] == point["best_group"])
        rows.append(
            [
                point["series"], f"{point['density']:.2f}", f"{point['entropy_per_weight']:.2f}",
                str(best["group"]), f"{best['distinct_patterns']:.0f}/{best['table_entries']}",
                f"{point['shared_adds_per_output']:.0f}", f"{point['lower_bound_per_output']:.0f}",
                *_energy_cells(point), *_time_cells(point),
            ]
        )  # fmt: skip
    header = [
        "weights", "density", "bits/weight", "best group", "patterns seen/possible",
        "shared adds/output", "lower bound", "µJ", "arithmetic", "weights",
        *(["ms", "predicted"] if measured else []),
    ]  # fmt: skip
    console.table(f"{result['layer']}, {result['activations']} activations", header, rows)
    point = min(
        (p for p in result["points"] if p["series"] == "signed_binary"),
        key=lambda p: abs(p["density"] - 0.36),
    )
    console.table(
        f"group sizes, signed-binary at density {point['density']:.2f}",
        ["channels a group", "patterns seen", "table entries", "empty groups",
         "non-empty look-ups/output", "table adds/output", "shared adds/output"],
        [
            [
                str(g["group"]), f"{g['distinct_patterns']:.1f}", str(g["table_entries"]),
                f"{g['zero_share']:.0%}", f"{g['nonempty_lookups_per_output']:.0f}",
                f"{g['table_adds_per_output']:.1f}", f"{g['shared_adds_per_output']:.0f}",
            ]
            for g in point["groups"]
        ],
    )  # fmt: skip


def _energy_cells(row: dict[str, Any]) -> list[str]:
    parts = ("energy_nj_per_sample", "arithmetic_nj_per_sample", "dram_nj_per_sample")
    return [f"{row[part] / 1e3:.0f}" for part in parts]


def _time_cells(row: dict[str, Any]) -> list[str]:
    if "measured_ms" not in row:
        return []
    return [f"{row['measured_ms']:.3f}", f"{row['predicted_ms']:.3f}"]


def _print_model(result: dict[str, Any]) -> None:
    rows = []
    measured = "measured_ms" in result["layers"][0]
    for layer in result["layers"]:
        best = next(g for g in layer["groups"] if g["group"] == layer["best_group"])
        rows.append(
            [
                layer["name"], layer["kind"], layer["input_type"], f"{layer['density']:.2f}",
                f"{layer['entropy_per_weight']:.2f}", str(best["group"]),
                f"{best['distinct_patterns']:.0f}/{best['table_entries']}",
                f"{layer['macs_per_sample'] / layer['outputs_per_sample']:.0f}",
                f"{layer['shared_adds_per_output']:.0f}", f"{layer['lower_bound_per_output']:.0f}",
                f"{layer['dense_int8_nj'] / layer['energy_nj_per_sample']:.1f}x",
            ]
            + (
                [f"{layer['measured_ms']:.3f}", f"{layer['dense_ms']:.3f}", layer["kernel"]]
                if measured
                else []
            )
        )  # fmt: skip
    header = [
        "layer", "kind", "type", "density", "bits/weight", "best group", "patterns seen/possible",
        "MAC/output", "shared adds/output", "lower bound", "int8 energy/ours",
        *(["ms", "dense ms", "kernel"] if measured else []),
    ]  # fmt: skip
    footer = []
    if measured:
        kernels = sorted({layer["dense_kernels"] for layer in result["layers"]})
        footer.append(
            f"ms: each layer alone, one thread, in the delegate; dense ms: the same weights with "
            f"{' and '.join(kernels)} in {result['machine']['runtime']}"
        )
    console.table(Path(result["model"]).name, header, rows, footer)

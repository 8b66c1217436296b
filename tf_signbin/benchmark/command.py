"""`tf-signbin benchmark`: arguments, tables, JSON and plots."""

from __future__ import annotations

import argparse
from typing import Any

from tf_signbin import console
from tf_signbin.arguments import output_file, pattern, picture, positive, seconds
from tf_signbin.benchmark import compare
from tf_signbin.benchmark.contenders import BenchmarkError, Settings
from tf_signbin.benchmark.graph import FLOAT32, INT8
from tf_signbin.benchmark.layers import LAYER_GROUPS, select_layers
from tf_signbin.benchmark.networks import NETWORKS
from tf_signbin.benchmark.views import VIEWS, ViewError, enter
from tf_signbin.benchmark.weights import WeightSpec
from tf_signbin.runtime import RUNTIMES, DelegateError, RuntimeNotFoundError

EXAMPLES = """examples:
  tf-signbin benchmark layers                            ResNet-18's 3x3 layers, int8 activations
  tf-signbin benchmark layers --layers all --activations float32 --json layers.json
  tf-signbin benchmark model --network resnet18 --pattern 2:10 --threads 2
  tf-signbin benchmark kinds --plot kinds.png
  tf-signbin benchmark density --isa avx2
  tf-signbin benchmark layers --as avx2                  both sides as on a PC without AVX-512
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        choices=("layers", "model", "kinds", "density"),
        help="layers: single layers; model: a whole network; kinds: binary, ternary and "
        "signed-binary weights; density: time against the share of effectual weights",
    )
    parser.add_argument("--network", choices=NETWORKS, default="resnet18", help="for model")
    parser.add_argument(
        "--layers",
        default="3x3",
        metavar="GROUPS",
        help=f"for layers and density: comma-separated from {', '.join(LAYER_GROUPS)}, or all",
    )
    parser.add_argument("--activations", choices=(INT8, FLOAT32), default=INT8)
    parser.add_argument(
        "--pattern",
        type=pattern,
        default=(0, 0),
        metavar="N:M",
        help="at most N effectual of each M consecutive input channels, for example 3:7; or none",
    )
    parser.add_argument(
        "--density",
        type=_density,
        metavar="SHARE",
        help="share of effectual weights (default 0.36, or what the pattern allows)",
    )
    parser.add_argument(
        "--background", action="store_true", help="a second value other than 0 (centered filters)"
    )
    parser.add_argument(
        "--input-bits",
        type=int,
        choices=(4, 5, 6, 8),
        default=8,
        help="for layers and model, int8: bits of the inputs of signed-binary layers (default 8)",
    )
    parser.add_argument("--threads", type=positive, default=1, metavar="N")
    parser.add_argument("--isa", help="instruction set for the delegate (XNNPACK keeps its own)")
    parser.add_argument(
        "--as",
        dest="view",
        choices=VIEWS,
        help="hide processor features from both sides: "
        + "; ".join(f"{name}: {machine}" for name, machine in VIEWS.items()),
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="KEY=VALUE",
        help="a further delegate option, for example kernel=table (may be repeated)",
    )
    parser.add_argument("--runtime", choices=RUNTIMES, default="ai_edge_litert")
    parser.add_argument(
        "--seconds", type=seconds, default=1.5, help="time spent on each comparison (default 1.5)"
    )
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="write the figures; - for stdout"
    )
    parser.add_argument(
        "--plot", type=picture, metavar="FILE", help="write a picture (.png or .svg)"
    )


def run(args: argparse.Namespace) -> int:
    if args.input_bits < 8 and (args.activations != INT8 or args.what not in ("layers", "model")):
        raise console.CommandError(
            f"--input-bits {args.input_bits} is for layers and model with int8 activations"
        )
    options = dict(args.option)
    if args.isa:
        options["isa"] = args.isa
    try:
        view = enter(args.view, args.runtime) if args.view else None
        result = _measure(args, Settings(args.threads, args.runtime, options, view))
    except (BenchmarkError, DelegateError, RuntimeNotFoundError, ValueError, ViewError) as error:
        raise console.CommandError(str(error)) from error
    if args.json:
        console.write_json(args.json, result)
    if args.json != "-":
        _print(result)
    if args.plot:
        from tf_signbin.benchmark.plot import plot

        for file in plot(result, args.plot):
            console.say(f"wrote {file}")
    return console.OK


def _measure(args: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    spec = WeightSpec(density=args.density, pattern=args.pattern, background=args.background)
    with console.progress(f"benchmark {args.what}") as tick:
        if args.what == "layers":
            layers = select_layers(args.layers)
            return compare.compare_layers(
                layers, args.activations, spec, settings, args.seconds, tick, args.input_bits
            )
        if args.what == "model":
            return compare.compare_model(
                args.network,
                args.activations,
                spec,
                settings,
                args.seconds,
                tick,
                args.input_bits,
            )
        if args.what == "kinds":
            return compare.compare_kinds(args.activations, settings, args.seconds, tick)
        layers = select_layers(args.layers)
        return compare.compare_density(
            layers, args.activations, args.background, settings, args.seconds, tick
        )


def _print(result: dict[str, Any]) -> None:
    {
        "layers": _print_layers,
        "model": _print_model,
        "kinds": _print_kinds,
        "density": _print_density,
    }[result["command"]](result)


def _machine(result: dict[str, Any]) -> list[str]:
    machine = result["machine"]
    features = " ".join(machine["cpu_features"])
    lines = [
        f"{machine['cpu']} ({features}), {machine['cores']} cores, {machine['runtime']}, "
        f"threads {result['threads']}"
    ]
    if "view" in result:
        view = result["view"]
        lines.append(
            f"as {view['machine']}: CPUID answered {sum(view['cpuid_answers'].values())} times, no "
            "hidden instruction in XNNPACK's code"
        )
    return lines


def _footer(result: dict[str, Any]) -> list[str]:
    lines = [
        *_machine(result),
        "median ms of interleaved invokes (+- half of the 10th to 90th percentile range); "
        "a ratio above 1 means the delegate is faster",
    ]
    if result["delegate_options"]:
        lines.append(f"delegate options: {result['delegate_options']}")
    return lines


def _title(result: dict[str, Any], what: str) -> str:
    title = f"{what}, {result['activations']} activations"
    if result.get("input_bits", 8) < 8:
        title += f", inputs of {result['input_bits']} bits"
    if "view" in result:
        title += f", view {result['view']['name']}"
    weights = result.get("weights")
    if weights:
        title += f", density {weights['density']:.2f}"
        if weights["pattern"][1]:
            title += ", pattern {}:{}".format(*weights["pattern"])
        title += ", background" if weights["background"] else ""
    return title


def _cells(row: dict[str, Any]) -> list[str]:
    spread = row["spread"]

    def cell(name: str) -> str:
        timing = spread[name]
        half = (timing["p90_ms"] - timing["p10_ms"]) / 2
        return f"{timing['median_ms']:.3f} ±{half:.3f}"

    return [
        cell("ours"), cell("xnnpack_int8"), cell("xnnpack_fp32"),
        f"{row['ratio_int8']:.2f}x", f"{row['ratio_fp32']:.2f}x",
    ]  # fmt: skip


_HEADER = ["ours", "XNNPACK int8", "XNNPACK fp32", "vs int8", "vs fp32"]


def _print_layers(result: dict[str, Any]) -> None:
    rows = [[row["name"], *_cells(row), row["kernel"]] for row in result["layers"]]
    mean = [f"{result['geomean_ratio_' + kind]:.2f}x" for kind in ("int8", "fp32")]
    rows.append(["geometric mean", "", "", "", *mean, ""])
    console.table(_title(result, "layers"), ["layer", *_HEADER, "kernel"], rows, _footer(result))


def _print_model(result: dict[str, Any]) -> None:
    rows = [[result["network"], *_cells(result)]]
    kernels = sorted({layer["kernel"] for layer in result["claimed_layers"]})
    footer = [
        f"{len(result['claimed_layers'])} layers in the delegate: {', '.join(kernels)}",
        *_footer(result),
    ]
    console.table(_title(result, "network"), ["network", *_HEADER], rows, footer)


def _print_kinds(result: dict[str, Any]) -> None:
    layers = list(result["kinds"][0]["layers_ms"])
    rows = [
        [
            kind["name"],
            f"{kind['density']:.2f}",
            *(f"{kind['layers_ms'][layer]:.3f}" for layer in layers),
            f"{kind['ours_ms']:.3f}",
            f"{kind['ratio_to_binary']:.2f}x",
        ]
        for kind in result["kinds"]
    ]
    header = ["weights", "density", *layers, "sum", "vs binary"]
    console.table(_title(result, "kinds"), header, rows, _machine(result))


def _print_density(result: dict[str, Any]) -> None:
    for layer in result["layers"]:
        rows = [
            [
                f"{point['kind']} {point['density']:.2f}",
                f"{point['ours_ms']:.3f}",
                f"{layer['xnnpack_int8_ms'] / point['ours_ms']:.2f}x",
                f"{layer['xnnpack_fp32_ms'] / point['ours_ms']:.2f}x",
                point["kernel"],
            ]
            for point in layer["points"]
        ]
        header = ["weights, density", "ours", "vs int8", "vs fp32", "kernel"]
        console.table(_title(result, layer["name"]), header, rows)
    for line in _machine(result):
        print(line)


def _density(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be above 0 and at most 1")
    return value


def _option(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r}: must be KEY=VALUE")
    return key, value

"""`make demo`: from nothing to trained, converted and measured networks, on digits.

Full precision and signed-binary (the paper's form, and the recommended one) are trained with float
activations, then a few epochs with int8 activations; every network is converted and run through
the delegate (full precision: through XNNPACK) over the whole test set. These networks are so small
that their times say little: last come the 3x3 layers of ResNet-18 on this machine.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from tf_signbin.benchmark.compare import compare_layers
from tf_signbin.benchmark.contenders import Settings
from tf_signbin.benchmark.graph import INT8
from tf_signbin.benchmark.layers import select_layers
from tf_signbin.benchmark.weights import WeightSpec
from tf_signbin.runtime import find_runtime
from tf_signbin.training import datasets, deploy, fit, plots, resnet, tables
from tf_signbin.training.keras import keras
from tf_signbin.training.methods import Method, copy_weights, effectual
from tf_signbin.training.progress import RunProgress, StepProgress
from tf_signbin.training.recipes import RECIPES, Recipe

METHODS = (
    Method("full_precision"),
    Method("signed_binary", background="none"),
    Method("signed_binary", background="centered", pattern=(2, 10)),
)
SEEDS = (0, 1)
MODEL, WIDTH = "resnet8", 2.0
RECIPE = dataclasses.replace(RECIPES["digits"], epochs=24)
INT8_RECIPE = dataclasses.replace(RECIPE, epochs=5, learning_rate=4e-4)
EARLY = 4  # epochs
LAYER_SECONDS = 2.0  # for each comparison of a layer


@dataclasses.dataclass
class Result:
    """One trained and converted network."""

    method: Method
    activations: str
    seed: int
    history: fit.History
    keras_classes: np.ndarray
    deployed_classes: np.ndarray
    labels: np.ndarray
    weights: tuple[int, int]
    tflite: bytes
    latency_ms: float = float("nan")

    @property
    def name(self) -> str:
        return f"{self.method.label}, {self.activations}"

    @property
    def file_name(self) -> str:
        words = self.method.label.replace("-", " ").split()
        return f"{MODEL}_{'_'.join(words)}_{self.activations}_seed{self.seed}.tflite"

    @property
    def keras_accuracy(self) -> float:
        return float((self.keras_classes == self.labels).mean())

    @property
    def deployed_accuracy(self) -> float:
        return float((self.deployed_classes == self.labels).mean())


def run(out: Path) -> list[Result]:
    """Trains, converts, measures; writes .tflite files and demo.png to `out`; prints the table."""
    data = datasets.load("digits")
    epochs = len(SEEDS) * len(METHODS) * (RECIPE.epochs + INT8_RECIPE.epochs)
    results: list[Result] = []
    with RunProgress(epochs) as progress:
        for seed in SEEDS:
            for method in METHODS:
                results += _train_both(method, seed, data, progress, out)
        progress.console.print("Measuring latency, all networks in turn ...", highlight=False)
        _measure(results)
    console = Console()
    _print(console, results, data.name)
    _plot(results, out / "demo.png")
    console.print(f"Networks and demo.png are in {out}", highlight=False)
    layer_table(console)
    return results


def layer_table(console: Console) -> None:
    """Prints the time of ResNet-18's 3x3 layers on this machine, int8."""
    layers, settings = select_layers("3x3"), Settings(runtime=find_runtime("auto").name)
    columns = []
    with StepProgress("measuring", 2) as progress:
        for label, spec in (("", WeightSpec()), (", 2 of 10", WeightSpec(pattern=(2, 10)))):
            progress.step(f"ResNet-18's 3x3 layers{label}")
            compared = compare_layers(
                layers, INT8, spec, settings, LAYER_SECONDS, lambda label, share: None
            )
            columns.append(compared)
    rows = [
        (
            plain["name"],
            f"{plain['xnnpack_ms']:.3f}",
            *(f"{row['ours_ms']:.3f} ({row['ratio']:.2f}x)" for row in (plain, patterned)),
        )
        for plain, patterned in zip(*(column["layers"] for column in columns), strict=True)
    ]
    means = [f"{column['geomean_ratio']:.2f}x" for column in columns]
    tables.show(
        console,
        "ResNet-18's 3x3 layers on this machine: ms an invoke, int8, one thread",
        ("layer", "XNNPACK", "signed-binary", "2 of 10"),
        [*rows, ("geometric mean", "", *means)],
    )
    machine = columns[0]["machine"]
    console.print(
        f"{machine['cpu']} ({' '.join(machine['cpu_features'])}). More: tf-signbin benchmark.",
        highlight=False,
        soft_wrap=True,
    )


def _train_both(
    method: Method, seed: int, data: Any, progress: RunProgress, out: Path
) -> list[Result]:
    keras.utils.set_random_seed(seed)
    options = resnet.Options(width=WIDTH)
    plain = resnet.build(MODEL, data.image_shape, data.num_classes, options)
    model = method.apply(plain, "float32")
    trained = _train(method, model, "float32", seed, data, RECIPE, progress)
    with_int8 = method.apply(plain, "int8")
    copy_weights(model, with_int8)
    tuned = _train(method, with_int8, "int8", seed, data, INT8_RECIPE, progress)
    results = [
        _deploy(method, model, "float32", seed, data, trained, out),
        _deploy(method, with_int8, "int8", seed, data, trained + _after(trained, tuned), out),
    ]
    keras.utils.clear_session()
    return results


def _train(
    method: Method,
    model: Any,
    activations: str,
    seed: int,
    data: Any,
    recipe: Recipe,
    progress: RunProgress,
) -> fit.History:
    report = progress.run(f"{method.label}, {activations}, seed {seed}")
    return fit.train(model, data, recipe, seed, fit.Run(report=report))


def _after(first: fit.History, second: fit.History) -> fit.History:
    return [{**row, "epoch": row["epoch"] + len(first)} for row in second]


def _deploy(
    method: Method,
    model: Any,
    activations: str,
    seed: int,
    data: Any,
    history: fit.History,
    out: Path,
) -> Result:
    images, labels = deploy.test_set(data)
    result = Result(
        method=method,
        activations=activations,
        seed=seed,
        history=history,
        keras_classes=deploy.keras_predictions(model, images),
        deployed_classes=labels,
        labels=labels,
        weights=effectual(model),
        tflite=b"",
    )
    result.tflite = deploy.save(model, out / result.file_name)
    result.deployed_classes = deploy.predictions(_interpreter(result), images)
    return result


def _interpreter(result: Result) -> Any:
    stock = result.method.weights == "full_precision"
    return (deploy.stock_interpreter if stock else deploy.delegate_interpreter)(result.tflite)


def _measure(results: list[Result]) -> None:
    """Latency of the first seed's networks; the other seeds' have the same shape."""
    first = {r.name: r for r in results if r.seed == SEEDS[0]}
    latency = deploy.latency_ms({name: _interpreter(r) for name, r in first.items()}, seconds=6)
    for result in results:
        result.latency_ms = latency[result.name]


def _print(console: Any, results: list[Result], data: str) -> None:
    reference = {r.activations: r.latency_ms for r in results if r.method == METHODS[0]}
    rows = []
    for r in results:
        effective, total = r.weights
        equal = int((r.keras_classes == r.deployed_classes).sum())
        rows.append(
            (
                r.name,
                str(r.seed),
                f"{100 * r.history[EARLY - 1]['val_accuracy']:.1f}",
                f"{100 * r.keras_accuracy:.2f}",
                f"{100 * r.deployed_accuracy:.2f}",
                "yes" if equal == len(r.labels) else f"{equal}/{len(r.labels)}",
                f"{effective / total:.2f}",
                f"{len(r.tflite) / 1024:.1f}",
                f"{1e3 * r.latency_ms:.0f}",
                f"{reference[r.activations] / r.latency_ms:.2f}x",
            )
        )
    header = (
        "weights, activations", "seed", f"epoch {EARLY} %", "Keras %", ".tflite %",
        "predictions equal", "density", "file KiB", "latency us", "vs XNNPACK",
    )  # fmt: skip
    tables.show(console, f"{MODEL} width {WIDTH:g} on {data}, test set, one thread", header, rows)
    console.print(
        "Full precision runs in XNNPACK (fp32, and int8 after quantization-aware training), "
        "signed-binary in the delegate.",
        highlight=False,
    )


def _plot(results: list[Result], path: Path) -> None:
    figure, axes = plots.plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    histories: dict[str, list[fit.History]] = defaultdict(list)
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for r in results:
        if r.activations == "int8":
            histories[r.method.label].append(r.history)
            points[r.method.label].append((r.weights[0] / 1e3, 100 * r.deployed_accuracy))
    plots.curves(axes[0], histories)
    axes[0].axvline(RECIPE.epochs + 0.5, color="grey", linestyle=":")
    axes[0].set_title(f"training (int8 activations from epoch {RECIPE.epochs + 1})")
    plots.scatter(axes[1], points, "effectual weights (thousands)", "int8, .tflite")
    latency = {r.name: 1e3 * r.latency_ms for r in results if r.seed == SEEDS[0]}
    plots.bars(axes[2], latency, "microseconds an image", "latency, one thread")
    plots.save(figure, path)

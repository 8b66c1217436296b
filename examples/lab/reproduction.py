"""The paper's claims and ablations on a small dataset: cases, runs and report.

Float activations throughout, as in the paper. Every case is trained with several seeds; finished
ones are kept, so an interrupted reproduction continues.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import plots, resnet, tables, training
from lab.datasets.base import ImageDataset
from lab.keras import keras
from lab.methods import Method, effectual, schedules
from lab.progress import RunProgress
from lab.recipes import Recipe

PAPER = Method("signed_binary", background="none")
BASELINES = (Method("full_precision"), Method("binary"), Method("ternary"))
WIDTHS = (0.5, 1.0, 2.0)
DELTAS = (0.05, 0.2, 0.4)


@dataclasses.dataclass(frozen=True)
class Case:
    """A method at a width."""

    method: Method
    width: float = 1.0

    @property
    def key(self) -> str:
        return f"w{self.width:g}-{self.method.key}"


def _paper(**choices: Any) -> Method:
    return dataclasses.replace(PAPER, **choices)


# Each ablation changes one choice of the paper's form at width 1: title, then label -> method.
ABLATIONS: dict[str, dict[str, Method]] = {
    "Threshold factor": {f"{d:g}": _paper(delta=d) for d in (0.01, 0.05, 0.1, 0.2, 0.4, 0.6)},
    "Share of positive filters": {
        f"{s:g}": _paper(positive_share=s) for s in (0.0, 0.25, 0.5, 0.75, 1.0)
    },
    "Estimator": {e: _paper(estimator=e) for e in ("ste", "ede", "approx_sign")},
    "Region (input channels)": {
        "whole filter": PAPER,
        **{str(c): _paper(region_channels=c) for c in (16, 8, 4)},
    },
    "Scale": {s: _paper(scale=s) for s in ("none", "mean", "learned")},
    "Background (not in the paper)": {
        b: _paper(background=b) for b in ("none", "centered", "learned")
    },
}


def comparison() -> list[Case]:
    """Accuracy against effectual and total weights: all kinds at all widths."""
    methods = (*BASELINES, *(_paper(delta=d) for d in DELTAS))
    return [Case(m, w) for w in WIDTHS for m in methods]


def all_cases() -> list[Case]:
    ablated = [Case(m) for options in ABLATIONS.values() for m in options.values()]
    return list(dict.fromkeys(comparison() + ablated))


def train_all(
    cases: Sequence[Case],
    seeds: Sequence[int],
    data: ImageDataset,
    recipe: Recipe,
    stem_stride: int,
    out: Path,
) -> None:
    """Trains what is not finished; one JSON file a run."""
    out.mkdir(parents=True, exist_ok=True)
    with RunProgress(len(cases) * len(seeds) * recipe.epochs) as progress:
        for seed in seeds:
            for case in cases:
                path = _result_path(out, case, seed)
                if path.exists():
                    progress.skip(recipe.epochs)
                    continue
                result = _train(case, seed, data, recipe, stem_stride, progress)
                part = path.with_suffix(".part")
                part.write_text(json.dumps(result))
                os.replace(part, path)


def _result_path(out: Path, case: Case, seed: int) -> Path:
    return out / f"{case.key}-seed{seed}.json"


def _train(
    case: Case,
    seed: int,
    data: ImageDataset,
    recipe: Recipe,
    stem_stride: int,
    progress: RunProgress,
) -> dict[str, Any]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    options = resnet.Options(width=case.width, stem_stride=stem_stride)
    plain = resnet.build("resnet8", data.image_shape, data.num_classes, options)
    model = case.method.apply(plain, "float32")
    run = training.Run(
        report=progress.run(f"{case.key}, seed {seed}"),
        callbacks=schedules(case.method, recipe.epochs),
    )
    history = training.train(model, data, recipe, seed, run)
    effective, total = effectual(model)
    last = history[-1]
    return {"accuracy": last["val_accuracy"], "effectual": effective, "total": total}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A case's results over the seeds."""

    accuracies: list[float]
    effectual: float
    total: int

    @property
    def mean(self) -> float:
        return sum(self.accuracies) / len(self.accuracies)

    def cells(self) -> tuple[str, ...]:
        return (
            tables.mean_std([100 * a for a in self.accuracies], 2),
            f"{self.effectual / self.total:.2f}",
            f"{self.effectual:,.0f}",
            f"{self.total:,}",
        )


def outcome(case: Case, seeds: Sequence[int], out: Path) -> Outcome:
    results = [json.loads(_result_path(out, case, seed).read_text()) for seed in seeds]
    mean_effectual = sum(r["effectual"] for r in results) / len(results)
    return Outcome([r["accuracy"] for r in results], mean_effectual, results[0]["total"])


def claims(outcomes: dict[Case, Outcome]) -> list[tuple[str, str, str]]:
    """The paper's claims that this task can test: claim, verdict, figures."""
    rows = []
    for width in WIDTHS:
        signed, binary = (outcomes[Case(m, width)] for m in (PAPER, BASELINES[1]))
        rows.append(
            (
                f"competitive accuracy: within 1 point of binary, width {width:g}",
                _verdict(signed.mean >= binary.mean - 0.01),
                f"{100 * signed.mean:.2f}% against {100 * binary.mean:.2f}%",
            )
        )
        ratio = binary.effectual / signed.effectual
        rows.append(
            (
                f"density about 2.8x lower than binary's, width {width:g}",
                _verdict(ratio >= 2.5),
                f"{ratio:.1f}x",
            )
        )
    # More accurate than binary with the same number of effectual weights: a signed-binary network
    # is compared with the largest binary one that has no more of them.
    for narrow, wide in itertools.pairwise(WIDTHS):
        binary = outcomes[Case(BASELINES[1], narrow)]
        signed = [outcomes[Case(_paper(delta=d), wide)] for d in DELTAS]
        sparsest = min(signed, key=lambda o: o.effectual)
        enough = sparsest.effectual <= binary.effectual
        verdict = _verdict(sparsest.mean > binary.mean) if enough else "not comparable"
        rows.append(
            (
                f"more accurate than binary with no more effectual weights, widths {wide:g} and "
                f"{narrow:g}",
                verdict,
                f"{100 * sparsest.mean:.2f}% with {sparsest.effectual:,.0f} against "
                f"{100 * binary.mean:.2f}% with {binary.effectual:,.0f}",
            )
        )
    return rows


def _verdict(holds: bool) -> str:
    return "confirmed here" if holds else "not confirmed here"


def write_report(
    seeds: Sequence[int], data: ImageDataset, recipe: Recipe, runs: Path, folder: Path
) -> tuple[Path, list[tuple[str, ...]]]:
    """report.md and its plots; also the rows of the comparison for the terminal."""
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = {case: outcome(case, seeds, runs) for case in all_cases()}
    header = ("weights, width", "accuracy %", "density", "effectual weights", "weights")
    compared = [(_name(c), *outcomes[c].cells()) for c in comparison()]
    parts = [
        f"# The paper's method on {data.name}",
        f"Written by `python examples/reproduce_paper.py`. ResNet-8, float activations, "
        f"{recipe.epochs} epochs, {len(seeds)} seeds; mean ± standard deviation of the test "
        f"accuracy over {data.test_size:,} images, so one image is {100 / data.test_size:.2f} "
        "points. Weights are those of the quantized 3x3 convolutions.",
        "## Claims\n\nThis is a small task: it can contradict a claim for itself and cannot prove "
        "one for ImageNet. Latency is measured by `tf-signbin benchmark`, not here.",
        tables.markdown(("claim", "verdict", "figures"), claims(outcomes)),
        "## All kinds of weights",
        tables.markdown(header, compared),
        "![accuracy against weights](weights.png)",
        "## Ablations\n\nOne choice at a time, the others as in the paper, width 1.",
    ]
    for title, options in ABLATIONS.items():
        rows = [(label, *outcomes[Case(m)].cells()) for label, m in options.items()]
        parts.append(tables.markdown((title, *header[1:]), rows))
    parts.append("![ablations](ablations.png)")
    report = folder / "report.md"
    report.write_text("\n\n".join(parts) + "\n")
    _plot_weights(outcomes, folder / "weights.png")
    _plot_ablations(outcomes, folder / "ablations.png")
    return report, [header, *compared]


def _name(case: Case) -> str:
    delta = f", Δ {case.method.delta:g}" if case.method.weights == "signed_binary" else ""
    return f"{case.method.label}{delta}, {case.width:g}"


def _plot_weights(outcomes: dict[Case, Outcome], path: Path) -> None:
    figure, axes = plots.plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained", sharey=True)
    methods = list(dict.fromkeys(c.method for c in comparison()))
    for axis, field in zip(axes, ("effectual", "total"), strict=True):
        for color, method in zip(plots.COLORS, methods, strict=False):
            points = [outcomes[Case(method, w)] for w in WIDTHS]
            label = _name(Case(method)).rsplit(",", 1)[0]
            x = [getattr(p, field) for p in points]
            axis.semilogx(x, [100 * p.mean for p in points], "o-", color=color, label=label)
        axis.set(xlabel=f"{field} weights", ylabel="test accuracy (%)")
        axis.grid(alpha=0.3, which="both")
    axes[1].legend(fontsize=8)
    plots.save(figure, path)


def _plot_ablations(outcomes: dict[Case, Outcome], path: Path) -> None:
    columns = 3
    rows = -(-len(ABLATIONS) // columns)
    figure, axes = plots.plt.subplots(rows, columns, figsize=(13, 3.6 * rows), layout="constrained")
    for axis, (title, options) in zip(axes.flat, ABLATIONS.items(), strict=False):
        for i, method in enumerate(options.values()):
            values = [100 * a for a in outcomes[Case(method)].accuracies]
            axis.plot([i] * len(values), values, "o", color=plots.COLORS[0], alpha=0.5)
            axis.plot(i, sum(values) / len(values), "_", color="black", markersize=18)
        axis.set_xticks(range(len(options)), list(options))
        axis.set(title=title, ylabel="test accuracy (%)")
        axis.grid(alpha=0.3)
    plots.save(figure, path)

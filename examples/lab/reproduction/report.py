"""The reproduction's Markdown report and plots."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab.reproduction import claims
from lab.reproduction.cases import (
    ABLATION_WIDTH,
    ABLATIONS,
    BINARY,
    CENTERED,
    DENSITIES,
    FULL_PRECISION,
    PAPER,
    TERNARY,
    WIDTHS,
    Case,
    ablation,
    all_cases,
    at_density,
    comparison,
)
from lab.reproduction.runs import MODEL, Outcome, outcome
from tf_signbin.convert import write_file
from tf_signbin.training import plots, tables
from tf_signbin.training.datasets.base import ImageDataset
from tf_signbin.training.recipes import Recipe

HEADER = ("weights, width", "accuracy %", "density", "effectual weights", "weights")
Outcomes = Mapping[Case, Outcome]


def write(
    seeds: Sequence[int], data: ImageDataset, recipe: Recipe, runs: Path, report: Path
) -> list[tuple[str, ...]]:
    """Writes the report; returns the comparison's rows for the terminal.

    Args:
      runs: folder of `runs.train_all`.
      report: the Markdown file; plots go to images/ and all figures to results/ beside it.
    """
    outcomes = {case: outcome(case, seeds, runs) for case in all_cases()}
    images, results = report.parent / "images", report.parent / "results"
    for folder in (images, results):
        folder.mkdir(parents=True, exist_ok=True)
    write_file(report, _text(outcomes, seeds, data, recipe).encode())
    write_file(results / "training_reproduction.json", _json(outcomes, seeds, data, recipe))
    _plot_weights(outcomes, images / "reproduction_weights.png")
    _plot_densities(outcomes, images / "reproduction_densities.png")
    _plot_ablations(outcomes, images / "reproduction_ablations.png")
    return [_row(case.name, outcomes[case]) for case in comparison()]


def _json(outcomes: Outcomes, seeds: Sequence[int], data: ImageDataset, recipe: Recipe) -> bytes:
    content = {
        "command": "examples/reproduce_paper.py",
        "dataset": data.name,
        "model": MODEL,
        "recipe": dataclasses.asdict(recipe),
        "seeds": list(seeds),
        "cases": {
            case.key: {
                "accuracies": result.accuracies.tolist(),
                "effectual": result.effectual.tolist(),
                "total": result.total,
            }
            for case, result in outcomes.items()
        },
        "claims": [dataclasses.asdict(claim) for claim in claims.claims(outcomes)],
    }
    return json.dumps(content, indent=1).encode() + b"\n"


def _text(outcomes: Outcomes, seeds: Sequence[int], data: ImageDataset, recipe: Recipe) -> str:
    found = claims.claims(outcomes)
    parts = [
        f"# The paper's method on {data.name}",
        f"Written by `python examples/reproduce_paper.py --dataset={data.name} "
        f"--epochs={recipe.epochs}`: {MODEL}, float activations, {recipe.epochs} epochs of the "
        f"dataset's recipe ({recipe.optimizer}, learning rate {recipe.learning_rate:g}, "
        f"{recipe.schedule}, batch {recipe.batch_size}), seeds {', '.join(map(str, seeds))}. "
        f"Accuracy is that of the {data.test_size:,} test images after the last epoch, mean ± "
        f"standard deviation over the seeds; one image is {100 / data.test_size:.2f} points. "
        "Weights are those of the quantized 3x3 convolutions; effectual are the non-zero ones, or "
        "with a background those that differ from it.",
        "## Claims",
        _caution(len(seeds), found),
        tables.markdown(("claim", "whose", "here", "figures"), [c.cells() for c in found]),
        "## All kinds of weights",
        "Densities are targets that `DensitySchedule` reaches in the first half of the epochs; the "
        "column shows what the trained network has.",
        tables.markdown(HEADER, [_row(c.name, outcomes[c]) for c in comparison()]),
        "![accuracy against weights](images/reproduction_weights.png)",
        "![accuracy against density](images/reproduction_densities.png)",
        f"## Ablations\n\nOne choice at a time, the others as in the paper, width "
        f"{ABLATION_WIDTH:g}.",
    ]
    for title in ABLATIONS:
        rows = [_row(label, outcomes[case]) for label, case in ablation(title).items()]
        parts.append(tables.markdown((title, *HEADER[1:]), rows))
    parts.append("![ablations](images/reproduction_ablations.png)")
    return "\n\n".join(parts) + "\n"


def _caution(seeds: int, found: Sequence[claims.Claim]) -> str:
    counts = {
        source: ", ".join(
            f"{sum(c.verdict == verdict for c in found if c.source == source)} {verdict}"
            for verdict in (claims.SUPPORTED, claims.CONTRADICTED, claims.UNDECIDED)
        )
        for source in ("paper", "ours")
    }
    return (
        f"Of the paper's claims: {counts['paper']}. Of ours: {counts['ours']}. A claim counts as "
        f"decided when the difference of the means over {seeds} seeds is more than "
        f"{claims.STANDARD_ERRORS:g} standard errors away from the limit that it names. The seeds "
        "change initial weights and order of the data, not the test set. This is a small and easy "
        "task: it can contradict a claim for itself, and cannot prove one for ImageNet. Speed and "
        "energy are not measured here."
    )


def _row(name: str, result: Outcome) -> tuple[str, ...]:
    return (
        name,
        tables.mean_std([100 * a for a in result.accuracies], 2),
        f"{result.density:.3f}",
        f"{result.effectual.mean():,.0f}",
        f"{result.total:,}",
    )


def _plot_weights(outcomes: Outcomes, path: Path) -> None:
    """Accuracy of each kind of weights against effectual and against total weights."""
    methods = (
        FULL_PRECISION, BINARY, TERNARY, PAPER, at_density(PAPER, 0.25), at_density(PAPER, 0.1),
        at_density(CENTERED, 0.25), at_density(CENTERED, 0.1),
    )  # fmt: skip
    figure, axes = plots.plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained", sharey=True)
    for axis, field in zip(axes, ("effectual", "total"), strict=True):
        for color, method in zip(plots.COLORS, methods, strict=False):
            points = [outcomes[c] for w in WIDTHS if (c := Case(method, w)) in outcomes]
            _line(
                axis,
                [float(np.mean(getattr(p, field))) for p in points],
                points,
                color,
                method.name,
            )
        axis.set(xlabel=f"{field} weights", ylabel="test accuracy (%)", xscale="log")
        axis.grid(alpha=0.3, which="both")
    axes[1].legend(fontsize=8)
    plots.save(figure, path)


def _plot_densities(outcomes: Outcomes, path: Path) -> None:
    """Accuracy against the density that was reached, one line a width."""
    figure, axes = plots.plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained", sharey=True)
    for axis, method in zip(axes, (PAPER, CENTERED), strict=True):
        for color, width in zip(plots.COLORS, WIDTHS, strict=False):
            cases = [Case(at_density(method, d), width) for d in DENSITIES]
            points = [outcomes[c] for c in cases if c in outcomes]
            if points:
                _line(axis, [p.density for p in points], points, color, f"width {width:g}")
            binary = outcomes[Case(BINARY, width)]
            axis.axhline(100 * binary.mean, color=color, linestyle=":", linewidth=1)
        axis.set(xlabel="density", ylabel="test accuracy (%)")
        axis.set_title(f"{method.label} (dotted: binary)")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    plots.save(figure, path)


def _line(axis: Any, x: list[float], points: Sequence[Outcome], color: Any, label: str) -> None:
    means = [100 * p.mean for p in points]
    spread = [100 * p.accuracies.std(ddof=1) if len(p.accuracies) > 1 else 0.0 for p in points]
    axis.errorbar(x, means, spread, fmt="o-", color=color, capsize=3, label=label)


def _plot_ablations(outcomes: Outcomes, path: Path) -> None:
    columns = 3
    rows = -(-len(ABLATIONS) // columns)
    figure, axes = plots.plt.subplots(rows, columns, figsize=(13, 3.6 * rows), layout="constrained")
    for axis, title in zip(axes.flat, ABLATIONS, strict=False):
        cases = ablation(title)
        for i, case in enumerate(cases.values()):
            values = 100 * outcomes[case].accuracies
            axis.plot([i] * len(values), values, "o", color=plots.COLORS[0], alpha=0.5)
            axis.plot(i, values.mean(), "_", color="black", markersize=18)
        axis.set_xticks(range(len(cases)), list(cases))
        axis.set(title=title, ylabel="test accuracy (%)")
        axis.grid(alpha=0.3)
    plots.save(figure, path)

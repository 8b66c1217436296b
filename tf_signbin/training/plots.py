"""The pictures of the examples; matplotlib without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from tf_signbin.convert import replacing
from tf_signbin.training.fit import History

COLORS = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]


def save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        figure.savefig(file, dpi=130, bbox_inches="tight")
    plt.close(figure)


def curves(axis: Any, histories: Mapping[str, Sequence[History]]) -> None:
    """Test error (%) by epoch, logarithmic; one colour a label, one line a seed."""
    for color, (label, runs) in zip(COLORS, histories.items(), strict=False):
        for i, history in enumerate(runs):
            epochs = [row["epoch"] for row in history]
            errors = [100 * (1 - row["val_accuracy"]) for row in history]
            axis.semilogy(epochs, errors, color=color, alpha=0.8, label=None if i else label)
    axis.set(xlabel="epoch", ylabel="test error (%)", title="training")
    axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize=8)


def scatter(
    axis: Any, points: Mapping[str, Sequence[tuple[float, float]]], xlabel: str, title: str
) -> None:
    """Accuracy (%) against a cost, one colour a label, one mark a seed."""
    for color, (label, values) in zip(COLORS, points.items(), strict=False):
        axis.plot(*zip(*values, strict=True), "o", color=color, label=label)
    axis.set(xlabel=xlabel, ylabel="test accuracy (%)", title=title)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def bars(axis: Any, values: Mapping[str, float], xlabel: str, title: str) -> None:
    """Horizontal bars with their figures, the first on top."""
    names = list(values)
    marks = axis.barh(names, list(values.values()), color=COLORS[0])
    axis.bar_label(marks, fmt="%.3g", padding=3, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set(xlabel=xlabel, title=title)


def training_curves(history: History, path: Path) -> None:
    """Loss and accuracy of one run, training and test."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for axis, metric in zip(axes, ("loss", "accuracy"), strict=True):
        for key, label in ((metric, "training"), (f"val_{metric}", "test")):
            rows = [row for row in history if key in row]
            axis.plot([r["epoch"] for r in rows], [r[key] for r in rows], label=label)
        axis.set(xlabel="epoch", ylabel=metric)
        axis.grid(alpha=0.3)
        axis.legend()
    save(figure, path)

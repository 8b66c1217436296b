"""Trains the cases; finished ones are kept, so an interrupted reproduction continues."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab.reproduction.cases import Case
from tf_signbin.convert import write_file
from tf_signbin.training import fit, resnet
from tf_signbin.training.datasets.base import ImageDataset
from tf_signbin.training.keras import keras
from tf_signbin.training.methods import effectual, schedules
from tf_signbin.training.progress import RunProgress
from tf_signbin.training.recipes import Recipe

MODEL = "resnet8"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Results of a case, one entry a seed.

    accuracies: of the test set after the last epoch, 0 to 1.
    effectual: weights of the quantized convolutions that are not background.
    total: weights of the quantized convolutions.
    """

    accuracies: np.ndarray
    effectual: np.ndarray
    total: int

    @property
    def mean(self) -> float:
        return float(self.accuracies.mean())

    @property
    def density(self) -> float:
        return float(self.effectual.mean()) / self.total


def train_all(
    cases: Sequence[Case],
    seeds: Sequence[int],
    data: ImageDataset,
    recipe: Recipe,
    stem_stride: int,
    folder: Path,
) -> None:
    """Trains what is not finished; one JSON file a run."""
    folder.mkdir(parents=True, exist_ok=True)
    with RunProgress(len(cases) * len(seeds) * recipe.epochs) as progress:
        for seed in seeds:
            for case in cases:
                path = _result_path(folder, case, seed)
                if path.exists():
                    progress.skip(recipe.epochs)
                    continue
                result = _train(case, seed, data, recipe, stem_stride, progress)
                write_file(path, json.dumps(result).encode())


def outcome(case: Case, seeds: Sequence[int], folder: Path) -> Outcome:
    results = [json.loads(_result_path(folder, case, seed).read_text()) for seed in seeds]
    return Outcome(
        np.array([r["accuracy"] for r in results]),
        np.array([r["effectual"] for r in results]),
        results[0]["total"],
    )


def _result_path(folder: Path, case: Case, seed: int) -> Path:
    return folder / f"{case.key}-seed{seed}.json"


def _train(
    case: Case,
    seed: int,
    data: ImageDataset,
    recipe: Recipe,
    stem_stride: int,
    progress: RunProgress,
) -> dict[str, Any]:
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    options = resnet.Options(width=case.width, stem_stride=stem_stride)
    plain = resnet.build(MODEL, data.image_shape, data.num_classes, options)
    model = case.method.apply(plain, "float32")
    run = fit.Run(
        report=progress.run(f"{case.key}, seed {seed}"),
        callbacks=schedules(case.method, recipe.epochs),
    )
    history = fit.train(model, data, recipe, seed, run)
    effective, total = effectual(model)
    return {"accuracy": history[-1]["val_accuracy"], "effectual": effective, "total": total}

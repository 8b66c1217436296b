"""Trains one point with one seed; what is finished is never done twice."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

import tf_signbin
from lab.study.points import Point, Task
from tf_signbin.training import datasets, deploy, fit, resnet
from tf_signbin.training.datasets.base import ImageDataset
from tf_signbin.training.keras import keras
from tf_signbin.training.methods import effectual, is_quantizable, quantized_weights
from tf_signbin.training.progress import RunProgress

# Of the quantized layers: int8 filters [Co, KH, KW, Ci], and under a layer's name + "/input" the
# height (or width) of its input and the stride.
Filters = dict[str, np.ndarray]
RESULT = "result.json"
_WEIGHTS = "float.weights.h5"


def folder_of(out: Path, point: Point, seed: int) -> Path:
    return out / point.key / f"seed{seed}"


def load_data(task: Task) -> ImageDataset:
    return datasets.load(task.dataset, image_size=task.image_size, train_size=task.train_size)


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result of a finished run, or None."""
    path = folder / RESULT
    return json.loads(path.read_text()) if path.exists() else None


def train_teacher(
    point: Point, seed: int, data: ImageDataset, out: Path, progress: RunProgress
) -> None:
    """Trains the float network that all methods of the point's group start and learn from."""
    folder, recipe = _teacher_folder(out, point, seed), point.task.teacher
    if read_result(folder) is not None:
        progress.skip(recipe.epochs)
        return
    model = _build(point, seed, data)
    report = progress.run(f"{point.group}, seed {seed}, float32")
    history = fit.train(model, data, recipe, seed, fit.Run(folder, report=report))
    model.save_weights(folder / _WEIGHTS)
    _finish(
        folder,
        {
            "accuracy": history[-1]["val_accuracy"],
            "train_accuracy": history[-1]["accuracy"],
            "test_accuracy_by_epoch": [row["val_accuracy"] for row in history],
        },
    )


def run(point: Point, seed: int, data: ImageDataset, out: Path, progress: RunProgress) -> None:
    """Trains from the teacher, converts and evaluates; continues where a killed study stopped."""
    folder = folder_of(out, point, seed)
    if read_result(folder) is not None:
        progress.skip(point.recipe.epochs)
        return
    start = time.perf_counter()
    taught = _teacher_folder(out, point, seed)
    plain = _build(point, seed, data)
    plain.load_weights(taught / _WEIGHTS)
    model = point.method.apply(plain, "int8")
    report = progress.run(f"{point.key}, seed {seed}")
    history = fit.train(
        model, data, point.recipe, seed, fit.Run(folder, report=report), teacher=plain
    )
    content = deploy.save(model, folder / "int8.tflite")
    _save_layers(model, folder / "layers.npz")
    model.save_weights(folder / "int8.weights.h5")
    images, labels = deploy.test_set(data)
    expected = deploy.keras_predictions(model, images)
    stock = point.method.weights == "full_precision"
    open_it = deploy.stock_interpreter if stock else deploy.delegate_interpreter
    classes = deploy.predictions(open_it(content), images)
    effective, total = effectual(model)
    _finish(
        folder,
        {
            "accuracy_teacher": json.loads((taught / RESULT).read_text())["accuracy"],
            "accuracy_keras": history[-1]["val_accuracy"],
            "accuracy_tflite": float((classes == labels).mean()),
            "predictions_equal": float((classes == expected).mean()),
            "train_accuracy": history[-1]["accuracy"],
            "effectual": effective,
            "total": total,
            "file_bytes": len(content),
            "energy_nj": tf_signbin.summary(model, tflite=False).totals()["energy_nj_per_sample"],
            "seconds": time.perf_counter() - start,
            "recipe": dataclasses.asdict(point.recipe),
            "test_accuracy_by_epoch": [row["val_accuracy"] for row in history],
        },
    )


def _teacher_folder(out: Path, point: Point, seed: int) -> Path:
    return out / f"{point.group}-teacher" / f"seed{seed}"


def _build(point: Point, seed: int, data: ImageDataset) -> Any:
    """The float network, fresh; what follows depends on the seed alone."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    options = resnet.Options(width=point.width, stem_stride=point.task.stem_stride)
    return resnet.build(point.task.model, data.image_shape, data.num_classes, options)


def _finish(folder: Path, result: dict[str, Any]) -> None:
    """Writes the result, whole or not at all, and drops the checkpoints."""
    shutil.rmtree(folder / "checkpoints")
    part = folder / "result.part"
    part.write_text(json.dumps(result, indent=1))
    os.replace(part, folder / RESULT)


def layer_shapes(point: Point) -> Filters:
    """The quantized layers of a point's network; the filters hold zeros."""
    data = load_data(point.task)
    arrays = {}
    for layer in _build(point, 0, data).layers:
        if is_quantizable(layer):
            kh, kw, ci, co = layer.kernel.shape
            arrays[layer.name] = np.zeros((co, kh, kw, ci), np.int8)
            arrays[f"{layer.name}/input"] = np.array([layer.input.shape[1], layer.strides[0]])
    return arrays


def _save_layers(model: Any, path: Path) -> None:
    """The quantized layers as Filters; full precision keeps its shapes with rounded weights."""
    quantized = quantized_weights(model)
    arrays: Filters = {}
    for layer in filter(is_quantizable, model.layers):
        values = quantized.get(layer.name)
        if values is None:
            values = keras.ops.convert_to_numpy(layer.kernel)
        largest = np.abs(values).max(axis=(0, 1, 2))
        filters = np.round(127 * values / np.maximum(largest, 1e-12)).astype(np.int8)
        arrays[layer.name] = filters.transpose(3, 0, 1, 2)
        arrays[f"{layer.name}/input"] = np.array([layer.input.shape[1], layer.strides[0]])
    np.savez(path, **arrays)

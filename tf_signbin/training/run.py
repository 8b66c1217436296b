"""One run of `tf-signbin train`: train, save, convert, compare the file with the Keras model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rich.console import Console

import tf_signbin
from tf_signbin.console import write_json
from tf_signbin.convert import replacing
from tf_signbin.training import deploy, distribution, fit, plots, resnet
from tf_signbin.training.datasets.base import ImageDataset
from tf_signbin.training.keras import keras, tf
from tf_signbin.training.methods import Method, copy_weights, effectual, schedules
from tf_signbin.training.progress import RunProgress
from tf_signbin.training.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Setup:
    """Everything that a run depends on, apart from the data; see `tf-signbin train --help`."""

    model: str
    options: resnet.Options
    method: Method
    activations: str
    recipe: Recipe
    seed: int
    folder: Path
    teacher: str | None = None
    start: str | None = None
    precision: str = "float32"
    tensorboard: bool = False
    tighten_epochs: int = 0
    json: str | None = None

    def __post_init__(self) -> None:
        if self.activations == "int8" and not self.options.int8_ready:
            raise ValueError(
                "int8 activations work with relu and prelu, without activation biases: the other "
                "layers have no int8 form."
            )
        if self.method.input_bits != 8 and self.activations != "int8":
            raise ValueError("input_bits needs int8 activations.")
        if self.tighten_epochs and self.method.pattern is None:
            raise ValueError("tighten_epochs needs a pattern to tighten.")

    def callbacks(self) -> list[Any]:
        """Schedules of the quantizers, and their statistics in the log."""
        found = schedules(self.method, self.recipe.epochs)
        if self.tighten_epochs:
            found.append(tf_signbin.PatternSchedule(0, self.tighten_epochs))
        if self.method.weights != "full_precision":
            events = str(self.folder / "tensorboard" / "layers") if self.tensorboard else None
            found.append(tf_signbin.LayerStatistics(events))
        return found

    def build(self, data: ImageDataset) -> Any:
        plain = resnet.build(self.model, data.image_shape, data.num_classes, self.options)
        return self.method.apply(plain, self.activations)


def run(setup: Setup, data: ImageDataset, strategy: Any, deterministic: bool = False) -> Any:
    """Trains and writes the run's files; returns the trained model (float32 computation)."""
    keras.utils.set_random_seed(setup.seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(setup.precision)
    with distribution.scope(strategy):
        model = setup.build(data)
        teacher = _load(setup.teacher) if setup.teacher else None
        if setup.start:
            copy_weights(_load(setup.start), model)
        with RunProgress(setup.recipe.epochs) as progress:
            report = progress.run(f"{setup.model} {setup.method.label}, {setup.activations}")
            run_state = fit.Run(setup.folder, setup.tensorboard, report, setup.callbacks())
            history = fit.train(model, data, setup.recipe, setup.seed, run_state, teacher)
        chief = fit.is_chief()
    keras.config.set_dtype_policy("float32")
    trained = setup.build(data)
    copy_weights(model, trained)
    if chief:
        with replacing(setup.folder / "model.keras") as file:  # an old model is not lost
            trained.save(file)
        plots.training_curves(history, setup.folder / "curves.png")
        _deploy(setup, data, trained)
    return trained


def _load(path: str) -> Any:
    if not Path(path).is_file():
        raise ValueError(f"{path} is missing; give the model.keras of a finished run.")
    with tf_signbin.quantize_scope():
        return keras.models.load_model(path, compile=False)


def _deploy(setup: Setup, data: ImageDataset, model: Any) -> None:
    path = setup.folder / "model.tflite"
    content = deploy.save(model, path)
    images, labels = deploy.test_set(data)
    dense = setup.method.weights == "full_precision"
    interpreter = (deploy.stock_interpreter if dense else deploy.delegate_interpreter)(content)
    expected = deploy.keras_predictions(model, images)
    classes = deploy.predictions(interpreter, images)
    effective, total = effectual(model)
    result: dict[str, Any] = {
        "file": str(path),
        "bytes": len(content),
        "accuracy": float((classes == labels).mean()),
        "accuracy_keras": float((expected == labels).mean()),
        "predictions_equal": int((classes == expected).sum()),
        "predictions": len(labels),
        "density": effective / total,
        "latency_us": 1e3 * deploy.latency_ms({"": interpreter})[""],
    }
    Console(stderr=setup.json == "-").print(
        "{file}: {bytes:,} bytes, test accuracy {0:.2f}% (Keras {1:.2f}%, {predictions_equal} of "
        "{predictions} predictions equal), density {density:.2f}, {latency_us:.0f} us an "
        "image".format(100 * result["accuracy"], 100 * result["accuracy_keras"], **result),
        highlight=False,
        soft_wrap=True,
    )
    if setup.json:
        write_json(setup.json, result)

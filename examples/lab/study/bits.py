"""How many bits the inputs of quantized layers need: training of the second study.

For each task and width one float network a seed is trained. Every method starts from its weights
and learns its outputs, with int8 activations. A method is built once: numbers of bits are
variables of the model, and seeds are other weights, so that TensorFlow traces it once.

Learning rates are chosen on images that are neither trained nor tested on, once a task, at its
first width and seed 0; the test set is looked at once, after training.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tf_signbin
from tf_signbin.training import datasets, deploy, resnet
from tf_signbin.training.datasets import glyphs
from tf_signbin.training.datasets.base import ArrayDataset, ImageDataset, repeat_epochs
from tf_signbin.training.keras import keras, tf
from tf_signbin.training.methods import Method, copy_weights
from tf_signbin.training.objective import Objective
from tf_signbin.training.recipes import Recipe

# Where Debian's package dataset-fashion-mnist puts its files.
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
# Of made glyphs: neither the training set's nor the test set's.
HELD_OUT_SEED = 3


@dataclasses.dataclass(frozen=True)
class BitsTask:
    """A dataset, how much of its training set is used and held out, and the recipes.

    made: glyphs, which are made as wanted: so many are the test set, and as many others stand in
      for the held-out images. The dataset's own 5000 tell two networks of one seed apart by half a
      point at best, which is more than most rows of the study differ by.
    """

    dataset: str
    train_size: int
    held_out: int
    stem_stride: int
    teacher: Recipe
    student: Recipe
    image_size: int | None = None
    data_dir: Path | None = None
    made: int = 0

    def available(self) -> bool:
        return self.data_dir is None or self.data_dir.is_dir()

    def load(self) -> tuple[ArrayDataset, ArrayDataset]:
        """The data with the test set, and with the held-out images in its place."""
        wanted = self.train_size + self.held_out
        size = wanted if self.dataset == "glyphs" else None
        data = datasets.load(self.dataset, self.data_dir, self.image_size, size)
        assert isinstance(data, ArrayDataset)
        order = np.random.default_rng(0).permutation(len(data.train_images))[:wanted]
        train, held = order[: self.train_size], order[self.train_size :]
        images, labels = data.train_images, data.train_labels
        kept = dataclasses.replace(
            data, train_images=images[train], train_labels=labels[train], mean=(), std=()
        )
        if self.made:
            return self._made(kept, glyphs.TEST_SEED), self._made(kept, HELD_OUT_SEED)
        return kept, dataclasses.replace(kept, test_images=images[held], test_labels=labels[held])

    def _made(self, data: ArrayDataset, seed: int) -> ArrayDataset:
        assert self.image_size is not None
        images, labels = glyphs.make(self.made, seed, self.image_size)
        return dataclasses.replace(data, test_images=images, test_labels=labels)


TASKS = {
    "digits": BitsTask(
        "digits", 1200, 237, 1,
        Recipe(20, 64, "adam", 0.004, "cosine", augmentation="shift"),
        Recipe(12, 64, "adam", 0.01, "cosine", augmentation="shift"),
    ),
    "glyphs": BitsTask(
        "glyphs", 19000, 1000, 4,
        Recipe(6, 128, "adam", 0.004, "cosine"), Recipe(5, 128, "adam", 0.01, "cosine"),
        image_size=24, made=20_000,
    ),
    "fashion_mnist": BitsTask(
        "fashion_mnist", 19000, 1000, 4,
        Recipe(5, 128, "adam", 0.004, "cosine"), Recipe(4, 128, "adam", 0.01, "cosine"),
        data_dir=FASHION_MNIST,
    ),
}  # fmt: skip
TASKS["glyphs-12-epochs"] = dataclasses.replace(
    TASKS["glyphs"], student=Recipe(12, 128, "adam", 0.01, "cosine")
)
RATES = (0.003, 0.01, 0.02, 0.03, 0.04, 0.06)
SEEDS = (0, 1, 2, 3)
INT8 = Method("full_precision")
CENTERED = Method()
PATTERN = Method(pattern=(2, 10))
THREE_OF_SEVEN = Method(pattern=(3, 7))
TWO_OF_EIGHT = Method(pattern=(2, 8))
# Layers of few channels lose most by a pattern, and gain least time.
WIDE_PATTERNS = tuple(Method(pattern=(2, 10), pattern_from=channels) for channels in (128, 256))
# What the first block's layers lose that narrow networks have.
FIRST_INT8 = Method(int8_layers=("stage1_block1_1_conv",))
BLOCK_INT8 = Method(int8_layers=("stage1_block1_1_conv", "stage1_block1_2_conv"))
# For narrow networks: dense where most is lost, patterns where they gain most time.
NARROW = tuple(
    dataclasses.replace(FIRST_INT8, pattern=pattern, pattern_from=64)
    for pattern in ((2, 8), (2, 10))
)
BINARY = Method("binary")
PAPER = Method(background="none")


class Part(NamedTuple):
    """Networks of one shape, and the methods with their bits that they are trained by."""

    task: str
    width: float
    methods: tuple[tuple[Method, tuple[int, ...]], ...]
    features: float = 1.0

    @property
    def group(self) -> str:
        """Its name in the keys of results."""
        features = f"-f{self.features:g}" if self.features != 1 else ""
        return f"{self.task}-w{self.width:g}{features}"

    @classmethod
    def of_group(cls, name: str) -> Part:
        found = re.fullmatch(r"(.+)-w([\d.]+)(?:-f([\d.]+))?", name)
        assert found is not None, name
        return cls(found[1], float(found[2]), (), float(found[3] or 1))


# In the order of training: what says most comes first.
STUDY = tuple(Part(*part) for part in (
    ("digits", 1.0, ((CENTERED, (8, 6, 5, 4, 3)),)),
    ("glyphs", 1.0, ((CENTERED, (8, 6, 5, 4, 3)),)),
    ("fashion_mnist", 1.0, ((CENTERED, (8, 4)),)),
    ("glyphs", 1.0, ((INT8, (8,)), (PATTERN, (8, 4)))),
    ("glyphs", 2.0, ((CENTERED, (8, 4)),)),
    ("glyphs", 2.0, ((INT8, (8,)), (PATTERN, (8, 4)))),
    ("fashion_mnist", 1.0, ((INT8, (8,)), (CENTERED, (6, 5, 3)), (PATTERN, (8, 4)))),
    ("glyphs", 4.0, ((CENTERED, (8, 4)), (PATTERN, (8, 4)), (INT8, (8,)), (CENTERED, (5,)))),
    ("glyphs", 2.0, ((CENTERED, (5, 6, 3)),)),
    ("glyphs", 4.0, ((PATTERN, (5,)),)),
    ("glyphs", 2.0, ((PATTERN, (5,)),)),
    ("glyphs", 4.0, tuple((method, (5,)) for method in (*WIDE_PATTERNS, TWO_OF_EIGHT))),
    ("fashion_mnist", 2.0, ((CENTERED, (8, 5, 4)), (INT8, (8,)), (PATTERN, (8, 4)))),
    ("digits", 1.0, ((INT8, (8,)), (PATTERN, (8, 4)))),
    ("digits", 2.0, ((CENTERED, (8, 4, 3)), (INT8, (8,)), (PATTERN, (8, 4)))),
    ("glyphs", 2.0, ((THREE_OF_SEVEN, (8, 4)), (BINARY, (8, 4)), (PAPER, (8, 4)))),
    ("glyphs", 2.0, ((FIRST_INT8, (8, 5, 4)), (BLOCK_INT8, (5,)))),
    ("glyphs", 1.0, ((FIRST_INT8, (8, 4)),)),
    ("glyphs-12-epochs", 2.0, ((INT8, (8,)), (CENTERED, (5,)))),
    ("glyphs-12-epochs", 2.0, tuple((method, (5,)) for method in NARROW), 1.5),
))  # fmt: skip


class Store:
    """The study's figures, by key, in one JSON file that is written whole after each of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self.values:
            self.values[key] = make()
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.values, indent=1, sort_keys=True) + "\n")
            os.replace(part, self.path)
        return self.values[key]


def train_all(out: Path) -> None:
    """Trains what `out`/bits.json lacks, in the order of STUDY."""
    out.mkdir(parents=True, exist_ok=True)
    store = Store(out / "bits.json")
    for part in STUDY:
        if TASKS[part.task].available():
            for method, bits in part.methods:
                _Group(part, store, out).train(method, bits)


class _Group:
    """A part's networks."""

    def __init__(self, part: Part, store: Store, out: Path) -> None:
        self.part, self.task, self.store, self.out = part, TASKS[part.task], store, out
        self.name = part.group
        self.rates = f"{self.task.dataset}/rates"

    def key(self, method: Method, seed: int) -> str:
        return f"{self.name}/{method.key}/seed{seed}"

    def train(self, method: Method, bits: tuple[int, ...]) -> None:
        variants = [dataclasses.replace(method, input_bits=b) for b in bits]
        keys = [self.key(v, seed) for v in variants for seed in SEEDS]
        if all(key in self.store.values for key in keys):
            return
        keras.utils.clear_session()
        self.data, self.held_out = self.task.load()
        teacher = _Trainer(self._plain(0), self.task.teacher, None)
        self.teachers = {seed: self._teacher(teacher, seed) for seed in SEEDS}
        rate = self._rate(method, teacher.model)
        # 8 bits are what moving averages give; all others are one model.
        for eight in (True, False):
            chosen = [v for v in variants if (v.input_bits == 8) == eight]
            if not chosen:
                continue
            trainer = self._student(chosen[0], teacher.model)
            for seed in SEEDS:
                for variant in chosen:
                    self.store.get(
                        self.key(variant, seed),
                        lambda t=trainer, v=variant, s=seed: self._run(
                            t, teacher.model, v, s, rate
                        ),
                    )

    def _plain(self, seed: int) -> Any:
        keras.utils.set_random_seed(seed)
        options = resnet.Options(
            width=self.part.width,
            stem_stride=self.task.stem_stride,
            features=self.part.features,
        )
        return resnet.build("resnet8", self.data.image_shape, self.data.num_classes, options)

    def _teacher(self, trainer: _Trainer, seed: int) -> list[np.ndarray]:
        path = self.out / f"{self.name}-teacher-seed{seed}.npz"
        if not path.exists():
            trainer.model.set_weights(self._plain(seed).get_weights())
            trainer.fit(self.data, seed, self.task.teacher.learning_rate)
            self.store.get(
                f"{self.name}/teacher/seed{seed}",
                lambda: {"accuracy": _accuracy(trainer.model, self.data)},
            )
            np.savez(path, *trainer.model.get_weights())
        with np.load(path) as arrays:
            return [arrays[f"arr_{i}"] for i in range(len(arrays))]

    def _student(self, method: Method, teacher: Any) -> _Trainer:
        trainer = _Trainer(method.apply(self._plain(0), "int8"), self.task.student, teacher)
        trainer.start = trainer.model.get_weights()
        return trainer

    def _begin(self, trainer: _Trainer, teacher: Any, method: Method, seed: int) -> None:
        teacher.set_weights(self.teachers[seed])
        trainer.model.set_weights(trainer.start)
        copy_weights(teacher, trainer.model)
        for each in tf_signbin.low_bit_inputs(trainer.model):
            each.set_bits(method.input_bits)

    def _rate(self, method: Method, teacher: Any) -> float:
        """The rate with the best accuracy on held-out images, at seed 0 and the task's first width:
        for int8 with its own weights, for all one-bit methods with centered weights, on average
        over 8 and 4 bits."""
        dense = method.weights == "full_precision"
        kind = "int8" if dense else "one-bit"

        def search() -> dict[str, float]:
            found = dict.fromkeys(map(str, RATES), 0.0)
            for bits in (8,) if dense else (8, 4):
                tried = INT8 if dense else dataclasses.replace(CENTERED, input_bits=bits)
                trainer = self._student(tried, teacher)
                for rate in RATES:
                    self._begin(trainer, teacher, tried, 0)
                    trainer.fit(self.held_out, 0, rate)
                    accuracy = _accuracy(trainer.model, self.held_out)
                    found[str(rate)] += accuracy / (1 if dense else 2)
            return found

        found = self.store.get(f"{self.rates}/{kind}", search)
        return float(max(found, key=found.__getitem__))

    def _run(
        self, trainer: _Trainer, teacher: Any, method: Method, seed: int, rate: float
    ) -> dict[str, Any]:
        self._begin(trainer, teacher, method, seed)
        trainer.fit(self.data, seed, rate)
        result = {
            "accuracy": _accuracy(trainer.model, self.data),
            "accuracy_held_out": _accuracy(trainer.model, self.held_out),
            "rate": rate,
        }
        if seed == 0:
            folder = self.out / "files" / self.name
            content = deploy.save(trainer.model, folder / f"{method.key}.tflite")
            stock = method.weights == "full_precision"
            open_it = deploy.stock_interpreter if stock else deploy.delegate_interpreter
            images, labels = deploy.test_set(self.data)
            images, labels = images[:2000], labels[:2000]
            classes = deploy.predictions(open_it(content), images)
            expected = deploy.keras_predictions(trainer.model, images)
            result |= {
                "accuracy_file": float((classes == labels).mean()),
                "accuracy_keras_same_images": float((expected == labels).mean()),
                "predictions_equal": float((classes == expected).mean()),
            }
        print(self.key(method, seed), result, flush=True)
        return result


class _Trainer:
    """A compiled model that is trained again and again from given weights."""

    def __init__(self, model: Any, recipe: Recipe, teacher: Any) -> None:
        self.model, self.recipe = model, recipe
        self.start: list[np.ndarray] = []
        self._objective = Objective(model, recipe.weight_decay, teacher)
        self._rate = tf.Variable(0.0, trainable=False)
        self._compiled = False

    def fit(self, data: ImageDataset, seed: int, rate: float) -> None:
        recipe, objective = self.recipe, self._objective
        steps = data.steps_per_epoch(recipe.batch_size)
        if not self._compiled:
            self._compiled = True
            schedule = _Cosine(self._rate, recipe.epochs * steps)
            objective.compile(keras.optimizers.Adam(schedule))
        self._rate.assign(rate)
        objective.optimizer.build(objective.trainable_variables)
        for variable in objective.optimizer.variables:
            if "learning_rate" not in variable.name:
                variable.assign(tf.zeros_like(variable))
        batches = data.train_batches(recipe.batch_size, seed, recipe.make_augmentation())
        objective.fit(
            repeat_epochs(batches, 0, recipe.epochs),
            epochs=recipe.epochs, steps_per_epoch=steps, verbose=0,
        )  # fmt: skip


class _Cosine(keras.optimizers.schedules.LearningRateSchedule):
    """From a variable's value to 0 in half a cosine."""

    def __init__(self, rate: Any, steps: int) -> None:
        self._rate, self._steps = rate, steps

    def __call__(self, step: Any) -> Any:
        share = tf.minimum(tf.cast(step, tf.float32) / self._steps, 1.0)
        return self._rate * 0.5 * (1.0 + tf.cos(np.pi * share))

    def get_config(self) -> dict[str, Any]:
        return {}


def _accuracy(model: Any, data: ImageDataset) -> float:
    images, labels = deploy.test_set(data)
    return float((deploy.keras_predictions(model, images) == labels).mean())


def variants() -> Iterator[Method]:
    """Every method of the study with every number of bits."""
    bits: dict[Method, set[int]] = {}
    for part in STUDY:
        for method, wanted in part.methods:
            bits.setdefault(method, set()).update(wanted)
    for method, found in bits.items():
        for b in sorted(found, reverse=True):
            yield dataclasses.replace(method, input_bits=b)

"""A folder of images: train/<class>/*.jpg and val/<class>/*.jpg (or test/), JPEG or PNG."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from tf_signbin.training.datasets import files
from tf_signbin.training.datasets.base import Augmentation, DatasetError, ImageDataset

SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class FolderDataset(ImageDataset):
    """Paths and labels in memory; images are decoded when needed."""

    name: str
    train_files: list[str]
    train_labels: list[int]
    test_files: list[str]
    test_labels: list[int]
    class_names: list[str]
    side: int

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        return (self.side, self.side, 3)

    @property
    def train_size(self) -> int:  # type: ignore[override]
        return len(self.train_files)

    @property
    def test_size(self) -> int:  # type: ignore[override]
        return len(self.test_files)

    def train_batches(self, batch_size: int, seed: int, augment: Augmentation | None) -> Any:
        import tensorflow as tf

        count = self.steps_per_epoch(batch_size) * batch_size
        paths, labels = tf.constant(self.train_files), tf.constant(self.train_labels)
        last = tf.constant(self.train_size - 1, tf.int64)

        def epoch_batches(epoch: Any) -> Any:
            key = tf.cast(tf.stack([tf.cast(seed, tf.int64), epoch]), tf.int32)

            def item(place: Any) -> tuple[Any, Any]:
                chosen = tf.random.experimental.index_shuffle(place, key, last)
                return tf.io.read_file(paths[chosen]), labels[chosen]

            encoded = tf.data.Dataset.range(count).map(item, num_parallel_calls=tf.data.AUTOTUNE)
            return files.training_batches(encoded, self.side, batch_size, seed, epoch, augment)

        return epoch_batches

    def test_batches(self, batch_size: int) -> Any:
        import tensorflow as tf

        items = tf.data.Dataset.from_tensor_slices((self.test_files, self.test_labels))
        encoded = items.map(lambda path, label: (tf.io.read_file(path), label))
        return files.testing_batches(encoded, self.side, batch_size)


def load(folder: Path, side: int) -> FolderDataset:
    """Lists the images. Classes are the sorted names of the folders in train/."""
    train = folder / "train"
    test = next((folder / n for n in ("val", "test") if (folder / n).is_dir()), None)
    if not train.is_dir() or test is None:
        raise DatasetError(f"{folder} must hold train/<class>/ and val/<class>/ (or test/).")
    classes = sorted(p.name for p in train.iterdir() if p.is_dir())
    unknown = sorted({p.name for p in test.iterdir() if p.is_dir()} - set(classes))
    if unknown:
        raise DatasetError(f"{test} holds classes that {train} does not: {', '.join(unknown)}.")
    return FolderDataset(
        folder.name, *_list(train, classes), *_list(test, classes), classes, side
    )  # fmt: skip


def _list(folder: Path, classes: list[str]) -> tuple[list[str], list[int]]:
    paths, labels = [], []
    for label, name in enumerate(classes):
        found = (p for p in sorted((folder / name).glob("*")) if p.suffix.lower() in SUFFIXES)
        for path in found:
            paths.append(str(path))
            labels.append(label)
    if not paths:
        raise DatasetError(f"{folder}: no {', '.join(SUFFIXES)} file in any class folder.")
    return paths, labels

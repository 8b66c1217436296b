"""What a dataset offers to training: batches in an order that is a pure function of the epoch."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

# Augments a batch: (images float32 NHWC from 0 to 1, seed int32 [2]) -> images (../augment.py).
Augmentation = Callable[[Any, Any], Any]


class DatasetError(ValueError):
    """A dataset's files are missing or malformed, or its name is unknown."""


class ImageDataset(abc.ABC):
    """A training and a test set of images.

    The order of training images and every random choice of the augmentation depend on (seed,
    epoch) alone, so training that resumes at an epoch sees what it would have seen.
    """

    name: str
    num_classes: int
    image_shape: tuple[int, int, int]
    train_size: int
    test_size: int

    @abc.abstractmethod
    def train_batches(self, batch_size: int, seed: int, augment: Augmentation | None) -> Any:
        """A function epoch -> tf.data.Dataset of (images float32 NHWC, labels int32), full batches.

        The epoch may be a tensor, so that `repeat_epochs` can chain them.
        """

    @abc.abstractmethod
    def test_batches(self, batch_size: int) -> Any:
        """tf.data.Dataset of (images, labels) over the whole test set, in a fixed order."""

    def steps_per_epoch(self, batch_size: int) -> int:
        if self.train_size < batch_size:
            raise DatasetError(
                f"A batch of {batch_size} is larger than the {self.train_size} training images "
                f"of {self.name}."
            )
        return self.train_size // batch_size


def repeat_epochs(epoch_batches: Callable[[Any], Any], first_epoch: int, epochs: int) -> Any:
    """One tf.data.Dataset: the batches of epochs first_epoch ... epochs - 1."""
    import tensorflow as tf

    numbers = tf.data.Dataset.range(first_epoch, epochs)
    return numbers.flat_map(epoch_batches).prefetch(4)


@dataclasses.dataclass(frozen=True)
class ArrayDataset(ImageDataset):
    """A dataset in memory.

    Images are uint8 [N, H, W, C]; batches hold (image/255 - mean) / std, float32, with mean and
    std per channel of the training images unless given.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    num_classes: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(labels):
                raise DatasetError(
                    f"{self.name}: {part} images {images.dtype} {images.shape} with "
                    f"{len(labels)} labels; expected uint8 [N, H, W, C] and N labels."
                )
            if len(labels) and not 0 <= labels.min() <= labels.max() < self.num_classes:
                raise DatasetError(
                    f"{self.name}: {part} labels reach from {labels.min()} to {labels.max()}; "
                    f"expected 0 to {self.num_classes - 1}."
                )
        if not self.mean:
            channels = self.train_images.astype(np.float32) / 255.0
            object.__setattr__(self, "mean", tuple(channels.mean((0, 1, 2)).tolist()))
            object.__setattr__(self, "std", tuple((channels.std((0, 1, 2)) + 1e-6).tolist()))

    @property
    def image_shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        return self.train_images.shape[1:]

    @property
    def train_size(self) -> int:  # type: ignore[override]
        return len(self.train_images)

    @property
    def test_size(self) -> int:  # type: ignore[override]
        return len(self.test_images)

    def train_batches(self, batch_size: int, seed: int, augment: Augmentation | None) -> Any:
        import tensorflow as tf

        steps = self.steps_per_epoch(batch_size)
        last = tf.constant(self.train_size - 1, tf.int64)
        with tf.device("cpu:0"):
            images = tf.constant(self.train_images)
            labels = tf.constant(self.train_labels.astype(np.int32))

        def batch(epoch: Any, step: Any) -> Any:
            key = tf.cast(tf.stack([tf.cast(seed, tf.int64), epoch]), tf.int32)
            places = step * batch_size + tf.range(batch_size, dtype=tf.int64)
            chosen = tf.random.experimental.index_shuffle(places, key, last)
            x = tf.cast(tf.gather(images, chosen), tf.float32) / 255.0
            if augment is not None:
                x = augment(x, tf.cast(tf.stack([seed + 7919 * epoch, step]), tf.int32))
            return (x - self.mean) / self.std, tf.gather(labels, chosen)

        def epoch_batches(epoch: Any) -> Any:
            epoch = tf.cast(epoch, tf.int64)
            return tf.data.Dataset.range(steps).map(lambda step: batch(epoch, step))

        return epoch_batches

    def test_batches(self, batch_size: int) -> Any:
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices(
            (self.test_images, self.test_labels.astype(np.int32))
        )

        def normalize(images: Any, labels: Any) -> tuple[Any, Any]:
            return (tf.cast(images, tf.float32) / 255.0 - self.mean) / self.std, labels

        return data.batch(batch_size).map(normalize)

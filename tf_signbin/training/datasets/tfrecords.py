"""ImageNet as TFRecords: train-00000-of-01024 ... and validation-00000-of-00128 ...

Records are tf.train.Example with `image/encoded` (JPEG) and `image/class/label`, which counts from
1, as the common conversion scripts write them. A file labels.txt (one class name a line) sets the
number of classes; without it there are 1,000.
"""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from typing import Any

from tf_signbin.training.datasets import files
from tf_signbin.training.datasets.base import Augmentation, DatasetError, ImageDataset

SHUFFLE_BUFFER = 8192
READ_AT_ONCE = 16  # files
_FRAME = 16  # bytes around each record: length 8, its checksum 4, checksum of the data 4


@dataclasses.dataclass(frozen=True)
class RecordDataset(ImageDataset):
    """Records in files. An epoch permutes the files, interleaves them and shuffles in a buffer."""

    name: str
    train_files: list[str]
    test_files: list[str]
    train_size: int
    test_size: int
    num_classes: int
    side: int

    @property
    def image_shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        return (self.side, self.side, 3)

    def _decode(self, record: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        example = tf.io.parse_single_example(
            record,
            {
                "image/encoded": tf.io.FixedLenFeature([], tf.string),
                "image/class/label": tf.io.FixedLenFeature([], tf.int64),
            },
        )
        label = tf.cast(example["image/class/label"], tf.int32) - 1
        within = (label >= 0) & (label < self.num_classes)
        message = f"image/class/label outside 1 ... {self.num_classes}; see labels.txt"
        with tf.control_dependencies([tf.debugging.Assert(within, [message, label + 1])]):
            return example["image/encoded"], tf.identity(label)

    def train_batches(self, batch_size: int, seed: int, augment: Augmentation | None) -> Any:
        import tensorflow as tf

        self.steps_per_epoch(batch_size)
        names = tf.constant(self.train_files)
        last = tf.constant(len(self.train_files) - 1, tf.int64)

        def epoch_batches(epoch: Any) -> Any:
            key = tf.stack([tf.cast(seed, tf.int64), epoch])

            def file(place: Any) -> Any:
                chosen = tf.random.experimental.index_shuffle(place, tf.cast(key, tf.int32), last)
                return names[chosen]

            records = (
                tf.data.Dataset.range(len(self.train_files))
                .map(file)
                .interleave(
                    tf.data.TFRecordDataset,
                    cycle_length=READ_AT_ONCE,
                    num_parallel_calls=tf.data.AUTOTUNE,
                    deterministic=True,
                )
                .shuffle(SHUFFLE_BUFFER, seed=seed + 7919 * epoch, reshuffle_each_iteration=False)
            )
            encoded = records.map(self._decode, num_parallel_calls=tf.data.AUTOTUNE)
            return files.training_batches(encoded, self.side, batch_size, seed, epoch, augment)

        return epoch_batches

    def test_batches(self, batch_size: int) -> Any:
        import tensorflow as tf

        encoded = tf.data.TFRecordDataset(self.test_files).map(self._decode)
        return files.testing_batches(encoded, self.side, batch_size)


def count_records(path: Path) -> int:
    """Number of records, by their frames; the data is skipped."""
    size, place, count = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            header = file.read(8)
            if len(header) == 8:
                place += _FRAME + struct.unpack("<Q", header)[0]
            if len(header) < 8 or place > size:
                raise DatasetError(f"{path}: truncated after {count} records.")
            count += 1
    return count


def load(folder: Path, side: int) -> RecordDataset:
    """Finds the files and counts their records."""
    parts = {p: sorted(folder.glob(f"{p}-*-of-*")) for p in ("train", "validation")}
    for part, found in parts.items():
        if not found:
            raise DatasetError(f"{folder} holds no file named {part}-?????-of-?????.")
    names = folder / "labels.txt"
    classes = 1000
    if names.exists():
        classes = sum(1 for line in names.read_text().splitlines() if line.strip())
    return RecordDataset(
        "imagenet",
        [str(p) for p in parts["train"]],
        [str(p) for p in parts["validation"]],
        sum(map(count_records, parts["train"])),
        sum(map(count_records, parts["validation"])),
        classes,
        side,
    )

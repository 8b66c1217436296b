"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), from their python or binary distribution."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tf_signbin.training.datasets import array_pickle
from tf_signbin.training.datasets.base import ArrayDataset, DatasetError

PIXELS = 3 * 32 * 32
# The channel statistics that published CIFAR recipes use.
STATISTICS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}


def load(name: str, folder: Path) -> ArrayDataset:
    """Reads `cifar10` or `cifar100` from a folder that holds the unpacked archive's files.

    The binary files (`data_batch_1.bin`, `train.bin`) are preferred, else the python ones
    (`data_batch_1`, `train`) are read without running any code in them.
    """
    if name == "cifar10":
        train, test, classes = [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"], 10
    else:
        train, test, classes = ["train"], ["test"], 100
    binary = (folder / f"{train[0]}.bin").exists()
    read = _read_binary if binary else _read_python
    parts: list[np.ndarray] = []
    for names in (train, test):
        batches = [read(folder / (f"{n}.bin" if binary else n), classes) for n in names]
        parts += [np.concatenate([b[i] for b in batches]) for i in (0, 1)]
    mean, std = STATISTICS[name]
    images, labels, test_images, test_labels = parts
    return ArrayDataset(name, images, labels, test_images, test_labels, classes, mean, std)


def _images(rows: np.ndarray) -> np.ndarray:
    """[N, 3072] channel by channel -> [N, 32, 32, 3]."""
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _read_binary(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Records of one label byte (CIFAR-100: coarse, then fine) and 3,072 pixels."""
    label_bytes = 1 if classes == 10 else 2
    data = _existing(path).read_bytes()
    if not data or len(data) % (label_bytes + PIXELS):
        raise DatasetError(
            f"{path}: {len(data)} bytes is not a whole number of records of "
            f"{label_bytes + PIXELS} bytes; the file is truncated or not CIFAR-{classes}."
        )
    rows = np.frombuffer(data, np.uint8).reshape(-1, label_bytes + PIXELS)
    return _images(rows[:, label_bytes:]), rows[:, label_bytes - 1].astype(np.int32)


def _read_python(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A pickled dictionary with `data` uint8 [N, 3072] and `labels` or `fine_labels`."""
    content = array_pickle.load(_existing(path))
    content = {k.decode() if isinstance(k, bytes) else k: v for k, v in content.items()}
    key = "labels" if classes == 10 else "fine_labels"
    data, labels = content.get("data"), content.get(key)
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.ndim != 2
        or data.shape[1] != PIXELS
        or not isinstance(labels, list)
        or len(labels) != len(data)
        or not all(isinstance(label, int) for label in labels)
    ):
        raise DatasetError(
            f"{path}: expected `data` uint8 [N, {PIXELS}] and N `{key}`; is this a CIFAR-{classes} "
            "batch?"
        )
    return _images(data), np.asarray(labels, np.int32)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DatasetError(
            f"{path} is missing; --data_dir must be the folder that the archive unpacks to."
        )
    return path

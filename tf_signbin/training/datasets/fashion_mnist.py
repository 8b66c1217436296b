"""Fashion-MNIST (Xiao et al., 2017), from its four idx files, gzipped or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from tf_signbin.training.datasets.base import ArrayDataset, DatasetError

UNSIGNED_BYTE = 0x08


def load(folder: Path) -> ArrayDataset:
    """Reads train-images-idx3-ubyte[.gz] and its three companions. MNIST's files work too."""
    parts: list[np.ndarray] = []
    for part in ("train", "t10k"):
        images = read_idx(_find(folder, f"{part}-images-idx3-ubyte"), dimensions=3)
        labels = read_idx(_find(folder, f"{part}-labels-idx1-ubyte"), dimensions=1)
        parts += [images[..., None], labels.astype(np.int32)]
    images, labels, test_images, test_labels = parts
    return ArrayDataset("fashion_mnist", images, labels, test_images, test_labels, 10)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An idx file of unsigned bytes: magic 0, 0, type, rank; big-endian sizes; data."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read: {error}.") from error
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes((0, 0, UNSIGNED_BYTE, dimensions)):
        raise DatasetError(f"{path}: not an idx file of unsigned bytes with rank {dimensions}.")
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    if math.prod(shape) != len(data) - header:
        raise DatasetError(
            f"{path}: shape {shape} needs {math.prod(shape)} bytes but {len(data) - header} "
            "follow the header; the file is truncated."
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise DatasetError(f"{folder} holds neither {name}.gz nor {name}.")

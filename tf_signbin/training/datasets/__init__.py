"""Image classification datasets, by name.

    from tf_signbin.training import datasets
    data = datasets.load("digits")                              # comes with scikit-learn
    data = datasets.load("glyphs", image_size=24)               # made here in seconds
    data = datasets.load("cifar10", data_dir="~/cifar-10-batches-py")

Nothing is downloaded. Local files are read in their original formats, none of which can run code:
CIFAR's pickled batches go through a reader that only builds arrays.
"""

from __future__ import annotations

from pathlib import Path

from tf_signbin.training.choices import DATASETS as NAMES
from tf_signbin.training.datasets import (
    cifar,
    digits,
    fashion_mnist,
    glyphs,
    image_folder,
    tfrecords,
)
from tf_signbin.training.datasets.base import ArrayDataset, DatasetError, ImageDataset

__all__ = ["NAMES", "ArrayDataset", "DatasetError", "ImageDataset", "load"]


def load(
    name: str,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    train_size: int | None = None,
) -> ImageDataset:
    """Loads a dataset.

    Args:
      name: one of NAMES.
      data_dir: folder with the dataset's files; not used by digits and glyphs.
      image_size: side in pixels; glyphs (24 or 32, any from 16 up), image_folder and tfrecords
        (default 224).
      train_size: number of training images; glyphs only.

    Raises:
      DatasetError: unknown name, missing data_dir, or files that are missing or malformed.
    """
    if name == "digits":
        return digits.load()
    if name == "glyphs":
        return glyphs.load(image_size or 24, train_size or glyphs.TRAIN_SIZE)
    if name not in NAMES:
        raise DatasetError(f"Unknown dataset {name!r}; choose one of {', '.join(NAMES)}.")
    if data_dir is None:
        raise DatasetError(f"Dataset {name!r} is read from local files: give --data_dir.")
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; --data_dir must hold the {name} files.")
    if name in ("cifar10", "cifar100"):
        return cifar.load(name, folder)
    if name == "fashion_mnist":
        return fashion_mnist.load(folder)
    if name == "image_folder":
        return image_folder.load(folder, image_size or 224)
    return tfrecords.load(folder, image_size or 224)

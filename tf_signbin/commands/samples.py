"""Input samples given on the command line as NumPy files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tf_signbin.console import CommandError

HELP = "a .npy file [samples, ...], or a .npz file with one such array for each input, by name"


def load_samples(path: str) -> Callable[[], Iterator[Any]]:
    """What `representative_dataset` wants: a function that yields one sample (batch 1) at a time.

    Raises:
      CommandError: the file is missing, no NumPy file, or holds pickled objects.
    """
    try:
        content = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CommandError(f"{path}: not usable as {HELP}: {error}") from error
    if isinstance(content, np.ndarray):
        return lambda: ([content[index : index + 1]] for index in range(len(content)))
    arrays = {name: content[name] for name in content.files}
    sizes = {len(array) for array in arrays.values()}
    if len(sizes) != 1:
        raise CommandError(f"{path}: its arrays have different numbers of samples: {sorted(sizes)}")
    return lambda: (
        {name: array[index : index + 1] for name, array in arrays.items()}
        for index in range(sizes.copy().pop())
    )

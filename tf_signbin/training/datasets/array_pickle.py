"""Reads pickled dictionaries of NumPy arrays without running anything that a file asks for.

`pickle.load` calls whatever a file names. Here the only names that resolve are the few that a
pickled array needs, and they resolve to inert stand-ins: NumPy itself never sees the file's
instructions, only the final bytes, shape and type, which are checked.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tf_signbin.training.datasets.base import DatasetError

DTYPES = ("u1", "i1", "i4", "i8", "f4", "f8")


class _Dtype:
    """Stands in for numpy.dtype."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False):
        del align, copy
        self.code = code.decode() if isinstance(code, bytes) else code
        if self.code not in DTYPES:
            raise DatasetError(f"an array of type {self.code!r}; only {', '.join(DTYPES)} are read")
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = order.decode() if isinstance(order, bytes) else order

    def numpy(self) -> np.dtype:
        return np.dtype((">" if self.order == ">" else "<") + self.code)


class _Array:
    """Stands in for an array under construction."""

    value: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
            raise DatasetError("an array whose content is not plain numbers")
        size = dtype.numpy().itemsize * math.prod(shape)
        if not all(isinstance(n, int) and n >= 0 for n in shape) or size != len(data):
            raise DatasetError(f"an array of shape {shape} with {len(data)} bytes")
        flat = np.frombuffer(data, dtype.numpy())
        self.value = flat.reshape(shape, order="F" if fortran else "C")


class _ArrayType:
    """Stands in for numpy.ndarray, which is only named."""


def _reconstruct(*arguments: Any) -> _Array:
    del arguments
    return _Array()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands in for codecs.encode: Python 3 writes bytes as latin1 text in old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise DatasetError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Knows the names in a pickled array, under NumPy's old and new module paths."""

    ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): _ArrayType,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise DatasetError(f"names {module}.{name}, which no array needs") from None


def load(path: Path) -> dict[Any, Any]:
    """The dictionary in `path`, its arrays as NumPy arrays.

    Raises:
      DatasetError: the file is not a pickled dictionary of arrays, numbers, strings and lists.
    """
    with path.open("rb") as file:
        try:
            content = _Unpickler(file, encoding="bytes").load()
            if not isinstance(content, dict):
                raise DatasetError(f"holds a {type(content).__name__}, not a dictionary")
            return {k: v.value if isinstance(v, _Array) else v for k, v in content.items()}
        except DatasetError as error:
            raise DatasetError(f"{path}: not a plain batch of arrays: {error}.") from None
        except Exception as error:  # A damaged pickle can raise nearly anything.
            raise DatasetError(f"{path}: not a readable pickle file: {error}.") from error

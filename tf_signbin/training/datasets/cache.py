"""Where generated data is kept between runs."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np


def cache_dir() -> Path:
    """$XDG_CACHE_HOME/tf_signbin, by default ~/.cache/tf_signbin."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "tf_signbin"


def read(name: str) -> dict[str, np.ndarray] | None:
    """The arrays stored under `name`, or None when there are none or the file is damaged."""
    try:
        with np.load(cache_dir() / f"{name}.npz", allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def write(name: str, **arrays: np.ndarray) -> None:
    """Stores arrays under `name`; another process never sees half of a file.

    A cache that cannot be written only costs time, so that is not an error.
    """
    path = cache_dir() / f"{name}.npz"
    part = path.with_name(f"{name}.{os.getpid()}.part.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(part, **arrays)  # type: ignore[arg-type]
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)

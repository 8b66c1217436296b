"""Errors that this package raises for model files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ModelError(ValueError):
    """A model file that cannot be read, or that holds something this version cannot handle."""


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Puts `name` (a file, an operator) in front of every ModelError raised inside."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error

"""Shapes of inputs that a model leaves open."""

from __future__ import annotations

from collections.abc import Sequence

OPEN_SIZE = 64  # of an image's side or a sequence, where nothing says more


def chosen_shape(shape: Sequence[int], signature: Sequence[int] | None) -> list[int]:
    """A shape to run a model on: of a batch of 1, and 64 for other sizes that are open.

    Args:
      shape: of the tensor; a file holds 1 where a size is open.
      signature: the tensor's shape signature, -1 where a size is open; None or empty: as `shape`.
    """
    if signature is None or len(signature) != len(shape):
        signature = shape
    return [
        max(int(size), 1) if int(known) >= 0 else 1 if axis == 0 else OPEN_SIZE
        for axis, (size, known) in enumerate(zip(shape, signature, strict=True))
    ]

"""Quantized weights as constants of the graph that a converter traces.

In a model's graph the quantizer computes them from the latent kernel, and the converter folds what
it computes to a constant; but not where that makes far more bytes than it reads, which the last
dense layers of VGG do: their operators would keep float weights, computed at each invoke.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

_CONSTANT: ContextVar[bool] = ContextVar("constant_weights", default=False)


@contextlib.contextmanager
def constant_weights() -> Iterator[None]:
    """In this scope layers that are traced with TensorFlow compute with constants."""
    token = _CONSTANT.set(True)
    try:
        yield
    finally:
        _CONSTANT.reset(token)


def constant_or_traced(quantize: Callable[[], Any]) -> Any:
    """The value of `quantize`, a function of variables alone: as an array in the scope, else as
    the tensor that it returns."""
    if not _CONSTANT.get():
        return quantize()
    import tensorflow as tf

    with tf.init_scope():  # outside of the graph, where variables have values
        return quantize().numpy()

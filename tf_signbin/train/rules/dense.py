"""Dense int8 weights: the grid on which LiteRT stores them."""

from __future__ import annotations

from typing import Any

from tf_signbin.train.rules.namespace import ArrayNamespace


def on_channel_grid(ops: ArrayNamespace, kernel: Any, axes: tuple[int, ...]) -> Any:
    """Rounds each output channel to multiples of max|w|/127; the gradient passes unchanged.

    The stock converter quantizes weights with this scale and zero point 0. Values on the grid stay
    on it when BatchNorm is folded in, which multiplies a channel by one number.

    Args:
      kernel: float32, of any shape.
      axes: those that one output channel spans.
    """
    largest = ops.max(ops.abs(kernel), axis=axes, keepdims=True)
    # In this order the quotient is exact for integer weights, so that ties round alike.
    steps = ops.round(ops.divide_no_nan(127.0 * kernel, largest))
    return kernel + ops.stop_gradient(steps * (largest / 127.0) - kernel)

"""What a quantized model's file will compute, in Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tf_signbin.convert.keras3 import is_keras3
from tf_signbin.convert.keras_verify import layer_of

KERNELS = ("reference", "xnnpack")


def emulate(model: Any, kernels: Any = "reference") -> Any:
    """A Keras model that predicts what the converted file of `model` predicts.

    A quantized model computes in float between its fake quantizations, an integer kernel rounds its
    sums; single values come out a step apart, and layers behind them multiply the difference. The
    emulated model rounds biases, products and means as the kernels do, on every backend and device
    that Keras runs on: for judging an int8 network on a whole test set before it is converted.

    ```python
    tf_signbin.emulate(model).predict(images)  # as Interpreter(convert(model)).predict(images)
    ```

    Args:
      model: Keras 3 model, quantized with int8 activations. It is left as it is.
      kernels: 'reference': LiteRT's reference kernels, which the delegate equals in every layer
        that it claims. 'xnnpack': XNNPACK, which runs everything when there is no delegate. Or an
        Interpreter of the converted file, tensors allocated: as the first where its delegate has
        claimed a layer, else as the second.

    Returns:
      A model of the same layers and variables: training either trains both, and what the original
      learns later shows here, too. It cannot be saved or converted. While training it computes what
      the original does. Where joined tensors (Concatenate, Maximum) or padded average pooling are
      rounded it keeps the fake quantization.

    Raises:
      TypeError: not a Keras 3 model.
      ValueError: no such kernels, no int8 activations, or no layer is known to be claimed.
    """
    if not is_keras3(model):
        raise TypeError(
            f"emulate needs a quantized Keras 3 model, not {type(model).__name__} of "
            f"{type(model).__module__.partition('.')[0]}. Run the converted file instead: "
            "tf_signbin.Interpreter(tf_signbin.convert(model)).predict(images)."
        )
    from tf_signbin.train.keras3 import emulation

    return emulation.emulate(model, _rounds_twice(model, kernels))


def _rounds_twice(model: Any, kernels: Any) -> Callable[[str], bool]:
    """Whether the kernel that writes a layer's output rounds twice."""
    if not hasattr(kernels, "claimed_layers"):
        if kernels not in KERNELS:
            raise ValueError(f"kernels={kernels!r} must be one of {KERNELS} or an Interpreter.")
        return lambda name: kernels == "reference"
    names = [str(layer.name) for layer in model.layers]
    claimed = {layer_of(layer.layer, names, str(model.name)) for layer in kernels.claimed_layers}
    if not claimed - {None}:
        raise ValueError(
            f"kernels: no layer that the Interpreter's delegate has claimed is one of "
            f"{model.name!r}. Was its file converted from this model, and allocate_tensors called?"
        )
    return claimed.__contains__

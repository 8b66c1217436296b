"""What Keras does in one layer or operation and LiteRT in other, or several, int8 operators.

Each function takes the Lowering and the current layer or operation, and makes calls in its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tf_signbin.train.keras3 import layers as ours
from tf_signbin.train.keras3.graph import Ref
from tf_signbin.train.keras3.operators import ChannelMean, UnitLength

if TYPE_CHECKING:
    from tf_signbin.train.keras3.lowering import Lowering

_MERGES = {"Add": "add", "Multiply": "mul", "Subtract": "sub"}
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


# Normalization.


def _batch_normalization(low: Lowering, layer: Any) -> None:
    ref, source = low.input(), low.source()
    rank = low.rank(source)
    if layer.axis not in (-1, rank - 1):
        low.keep(f"BatchNormalization of axis {layer.axis}")
        return
    writer = low.writer(ref)
    folds = writer is not None and (
        writer.kind in ("conv", "depthwise_conv") or (writer.kind == "dense" and rank == 2)
    )
    if not (folds and low.readers(source) == 1):
        scale = low.make("scale", lambda n: ours.ChannelScale(use_shift=False, name=n))
        ref = low.emit("depthwise_conv", scale, ref)
    out = low.emit("batch_norm", low.make("", low.clone), ref, **low.call.kwargs)
    low.finish(out)


def _scale(
    low: Lowering, ref: Ref, scale: Any, shift: Any, trainable: bool = False, part: str = ""
) -> Ref:
    """scale * x + shift per channel; None for no shift."""
    layer = low.make(
        part, lambda n: ours.ChannelScale(trainable, use_shift=shift is not None, name=n)
    )
    layer.trainable = low.call.operation.trainable
    shape = (low.channels(),)

    def copy() -> None:
        layer.scale.assign(np.broadcast_to(np.asarray(scale, np.float32).ravel(), shape))
        if shift is not None:
            layer.shift.assign(np.broadcast_to(np.asarray(shift, np.float32).ravel(), shape))

    low.copy_later(copy)
    return low.emit("depthwise_conv", layer, ref)


def _rescaling(low: Lowering, layer: Any) -> None:
    low.finish(_scale(low, low.input(), layer.scale, layer.offset))


def _normalization(low: Lowering, layer: Any) -> None:
    mean = keras.ops.convert_to_numpy(layer.mean)
    spread = np.maximum(np.sqrt(keras.ops.convert_to_numpy(layer.variance)), 1e-7)
    if layer.invert or mean.size not in (1, low.channels()):
        low.keep("Normalization of other axes than the last, or inverted")
    else:
        low.finish(_scale(low, low.input(), 1.0 / spread, -mean / spread))


def _layer_scale(low: Lowering, layer: Any) -> None:
    gamma = keras.ops.convert_to_numpy(layer.gamma)
    low.finish(_scale(low, low.input(), gamma, None, trainable=True))


def _layer_normalization(low: Lowering, layer: Any) -> None:
    """(x - mean) / |x - mean| * sqrt(C), scaled and shifted.

    Of the operators that LiteRT has in int8, L2_NORMALIZATION has no intermediate result: the
    variance of a pixel in 8 bits, whose range is that of the pixel with the largest, costs more
    (28 to 16 dB signal to noise against 28 to 22 dB, for 96 to 768 channels).
    """
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if [axis % low.rank(low.source()) for axis in axes] != [low.rank(low.source()) - 1]:
        low.keep(f"LayerNormalization of axes {axes}")
        return
    ref = low.input()
    mean = low.emit("mean", low.make("mean", lambda n: ChannelMean(name=n)), ref)
    difference = low.make("centered", lambda n: keras.layers.Subtract(name=n))
    centered = low.emit("sub", difference, [ref, mean])
    _normalize_length(low, centered, layer.gamma if layer.scale else None, layer.beta)


def _rms_normalization(low: Lowering, layer: Any) -> None:
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if [axis % low.rank(low.source()) for axis in axes] != [low.rank(low.source()) - 1]:
        low.keep(f"RMSNormalization of axes {axes}")
        return
    _normalize_length(low, low.input(), layer.scale, None)


def _normalize_length(low: Lowering, ref: Ref, gamma: Any, beta: Any) -> None:
    unit = low.emit("l2_normalization", low.make("unit", lambda n: UnitLength(name=n)), ref)
    scale = 1.0 if gamma is None else keras.ops.convert_to_numpy(gamma)
    shift = None if beta is None else keras.ops.convert_to_numpy(beta)
    scale = scale * np.float32(math.sqrt(low.channels()))
    low.finish(_scale(low, unit, scale, shift, trainable=gamma is not None))


def _unit_normalization(low: Lowering, layer: Any) -> None:
    if layer.axis not in (-1, low.rank(low.source()) - 1):
        low.keep(f"UnitNormalization of axis {layer.axis}")
    else:
        unit = low.make("", lambda n: UnitLength(name=n))
        low.finish(low.emit("l2_normalization", unit, low.input()))


# Arithmetic.


def _merge(low: Lowering, layer: Any) -> None:
    """Sums and products of tensors, two at a time."""
    kind = _MERGES[type(layer).__name__]
    tensors = list(low.call.args[0])
    if len(tensors) == 2:
        low.keep(kind)
        return
    out = tensors[0]
    for i, tensor in enumerate(tensors[1:]):
        part = "" if i == len(tensors) - 2 else str(i + 1)
        out = low.emit(kind, low.make(part, lambda n: type(layer)(name=n)), [out, tensor])
    low.finish(out)


def _average(low: Lowering, layer: Any) -> None:
    tensors = list(low.call.args[0])
    out = tensors[0]
    for i, tensor in enumerate(tensors[1:]):
        total = low.make(f"sum_{i}", lambda n: keras.layers.Add(name=n))
        out = low.emit("add", total, [out, tensor])
    low.finish(factor(low, out, 1.0 / len(tensors)))


def _custom_scale_layer(low: Lowering, layer: Any) -> None:
    """x + scale * y of keras.applications.InceptionResNetV2."""
    first, second = low.call.args[0]
    scaled = factor(low, second, layer.scale, "scaled")
    low.finish(low.emit("add", low.make("", lambda n: keras.layers.Add(name=n)), [first, scaled]))


def _with_constants(low: Lowering, kind: str) -> None:
    """An operation of two operands, of which one may be a constant."""
    low.call.args = tuple(a if isinstance(a, Ref) else _on_grid(a) for a in low.call.args)
    low.keep(kind)


def _divide(low: Lowering, operation: Any) -> None:
    # The converter makes a factor of a constant divisor.
    _with_constants(low, "div" if isinstance(low.call.args[1], Ref) else "mul")


def _square(low: Lowering, operation: Any) -> None:
    ref = low.input()
    low.finish(low.emit("mul", low.make("", lambda n: keras.layers.Multiply(name=n)), [ref, ref]))


def _negative(low: Lowering, operation: Any) -> None:
    low.finish(factor(low, low.input(), -1.0))


def _on_grid(constant: Any) -> Any:
    """A constant operand as the converter stores it: int8 with one scale."""
    values = np.asarray(keras.ops.convert_to_numpy(constant), np.float32)
    largest = np.abs(values).max(initial=0.0)
    if values.ndim == 0 or largest == 0.0:
        return constant
    return np.round(values * 127.0 / largest) * (largest / np.float32(127.0))


def factor(low: Lowering, ref: Ref, value: float, part: str = "") -> Ref:
    return low.emit("mul", low.make(part, lambda n: ours.Factor(value, name=n)), ref)


def _up_sampling(low: Lowering, layer: Any) -> None:
    if layer.interpolation == "nearest" and layer.data_format == "channels_last":
        config = layer.get_config()
        new = low.make("", lambda n: ours.NearestUpSampling2D.from_config({**config, "name": n}))
        low.finish(low.emit("resize_nearest", new, low.input()))
    else:
        low.keep({"bilinear": "resize_bilinear"}.get(layer.interpolation, "UpSampling2D"))


# Activations.


def _relu_layer(low: Lowering, layer: Any) -> None:
    limit = layer.max_value
    if layer.threshold or (layer.negative_slope and limit is not None):
        low.keep("ReLU with a threshold, or with a slope and a maximum")
    elif layer.negative_slope:
        low.keep("leaky_relu")
    elif limit in (None, 6):
        low.keep("relu" if limit is None else "relu6")
    else:
        small = factor(low, low.input(), 6.0 / limit, "scaled")
        clipped = low.emit("relu6", low.activation("relu6"), small)
        low.finish(factor(low, clipped, limit / 6.0))


def silu(low: Lowering, ref: Ref) -> Ref:
    gate = low.emit("sigmoid", low.activation("sigmoid"), ref)
    return low.emit(
        "mul", low.make("product", lambda n: keras.layers.Multiply(name=n)), [ref, gate]
    )


def hard_sigmoid(low: Lowering, ref: Ref) -> Ref:
    shifted = low.emit("add", low.make("shift", lambda n: ours.Offset(3.0, name=n)), ref)
    clipped = low.emit("relu6", low.activation("relu6"), shifted)
    return factor(low, clipped, 1.0 / 6.0, "factor")


def elu(low: Lowering, ref: Ref, alpha: float = 1.0, scale: float = 1.0) -> Ref:
    """scale * (x where x > 0, else alpha * (exp(x) - 1)); LiteRT's own ELU is for float32."""
    above = low.emit("relu", low.activation("relu"), ref)
    subtract = low.make("below", lambda n: keras.layers.Subtract(name=n))
    power = low.emit("exp", low.activation("exponential"), low.emit("sub", subtract, [ref, above]))
    below = low.emit("add", low.make("offset", lambda n: ours.Offset(-1.0, name=n)), power)
    if scale != 1.0:
        above = factor(low, above, scale, "above")
    if alpha * scale != 1.0:
        below = factor(low, below, alpha * scale, "factor")
    return low.emit("add", low.make("sum", lambda n: keras.layers.Add(name=n)), [above, below])


def selu(low: Lowering, ref: Ref) -> Ref:
    return elu(low, ref, _SELU_ALPHA, _SELU_SCALE)


def _elu_like(low: Lowering, operation: Any) -> None:
    low.finish(elu(low, low.input(), float(operation.alpha)))


def _of_input(function: Callable[[Lowering, Ref], Ref]) -> Callable[[Lowering, Any], None]:
    return lambda low, operation: low.finish(function(low, low.input()))


# Activation functions by their names.
ACTIVATIONS: dict[str, Callable[[Lowering, Ref], Ref]] = {
    "silu": silu,
    "swish": silu,
    "hard_sigmoid": hard_sigmoid,
    "elu": elu,
    "selu": selu,
}
LAYERS: dict[str, Callable[[Lowering, Any], None]] = {
    "BatchNormalization": _batch_normalization,
    "SyncBatchNormalization": _batch_normalization,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "LayerScale": _layer_scale,
    "LayerNormalization": _layer_normalization,
    "RMSNormalization": _rms_normalization,
    "UnitNormalization": _unit_normalization,
    **dict.fromkeys(_MERGES, _merge),
    "Average": _average,
    "CustomScaleLayer": _custom_scale_layer,
    "UpSampling2D": _up_sampling,
    "ReLU": _relu_layer,
    "ELU": _elu_like,
}
OPERATIONS: dict[str, Callable[[Lowering, Any], None]] = {
    "Add": lambda low, operation: _with_constants(low, "add"),
    "Multiply": lambda low, operation: _with_constants(low, "mul"),
    "Subtract": lambda low, operation: _with_constants(low, "sub"),
    "TrueDivide": _divide,
    "Divide": _divide,
    "Square": _square,
    "Negative": _negative,
    "Silu": _of_input(silu),
    "HardSigmoid": _of_input(hard_sigmoid),
    "Elu": _elu_like,
    "Selu": _of_input(selu),
}

"""What Keras does in one layer and LiteRT in other, or several, int8 operators.

The same as `tf_signbin.train.keras3.decompose` does, with the layers and formulas of Keras 2 (whose
hard sigmoid, for one, is another function). Fake quantization goes between the parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_signbin.train.keras2 import layers as ours
from tf_signbin.train.keras2.legacy_keras import keras, tf
from tf_signbin.train.keras2.parts import Chain, Parts
from tf_signbin.train.keras2.trace import Call, copy_layer, copy_state

INPUT = -1  # the replaced call's tensor, see parts.Step
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805

# Activation functions. Each gets the chain and the number of its input and returns that of its
# result; the last layer has the chain's name.


def _swish(chain: Chain, x: int) -> int:
    gate = chain.add(keras.layers.Activation("sigmoid", name=chain.part("sigmoid")), x)
    return chain.add(keras.layers.Multiply(name=chain.part("")), [x, gate])


def _hard_sigmoid(chain: Chain, x: int) -> int:
    """min(max(0.2 x + 0.5, 0), 1) of Keras 2: a sixth of relu6(1.2 x + 3)."""
    x = chain.add(ours.ChannelScale(scale=1.2, shift=3.0, name=chain.part("scale")), x)
    x = chain.add(keras.layers.ReLU(6.0, name=chain.part("relu6")), x)
    return chain.add(ours.Factor(1.0 / 6.0, name=chain.part("")), x)


def _elu(chain: Chain, x: int, alpha: float = 1.0, scale: float = 1.0) -> int:
    """scale * (x where x > 0, else alpha * (exp(x) - 1)); LiteRT's own ELU is for float32."""
    above = chain.add(keras.layers.ReLU(name=chain.part("relu")), x)
    below = chain.add(keras.layers.Subtract(name=chain.part("below")), [x, above])
    below = chain.add(keras.layers.Activation("exponential", name=chain.part("exp")), below)
    below = chain.add(ours.Offset(-1.0, name=chain.part("offset")), below)
    if scale != 1.0:
        above = chain.add(ours.Factor(scale, name=chain.part("above")), above)
    if alpha * scale != 1.0:
        below = chain.add(ours.Factor(alpha * scale, name=chain.part("factor")), below)
    return chain.add(keras.layers.Add(name=chain.part("")), [above, below])


def _selu(chain: Chain, x: int) -> int:
    return _elu(chain, x, _SELU_ALPHA, _SELU_SCALE)


_ACTIVATIONS: dict[str, Callable[[Chain, int], int]] = {
    "swish": _swish,
    "silu": _swish,
    "hard_sigmoid": _hard_sigmoid,
    "elu": _elu,
    "selu": _selu,
}


def activate(chain: Chain, function: Any, x: int) -> int:
    """The steps of an activation function of Keras, or of the layer in its place."""
    if isinstance(function, keras.layers.Layer):
        return chain.add(copy_layer(function, chain.part("")), x)
    rule = _ACTIVATIONS.get(getattr(function, "__name__", ""))
    if rule is not None:
        return rule(chain, x)
    return chain.add(keras.layers.Activation(function, name=chain.part("")), x)


# Layers. Each gets the layer, its new name and its call; None: it stays as it is.


def decompose(layer: Any, name: str, call: Call) -> Parts | None:
    """The parts of a layer of one of these kinds; None for others, and where they do not apply."""
    rule = _LAYERS.get(type(layer).__name__)
    if rule is None or not all(spec.dtype.is_floating for spec in call.specs):
        return None
    return rule(layer, name, call)


def batch_norm_alone(layer: Any, name: str, call: Call) -> Parts | None:
    """A BatchNormalization without a convolution before it, which gets one of size 1."""
    rank = call.specs[0].shape.rank
    if [axis % rank for axis in np.atleast_1d(layer.axis)] != [rank - 1]:
        return None
    chain, copy = Chain(name), copy_layer(layer, name)
    scale = chain.add(ours.ChannelScale(use_shift=False, name=chain.part("scale")), INPUT)
    chain.add(copy, scale)
    return Parts(chain.steps, copy, lambda: copy_state(layer, copy))


def _scaled(
    chain: Chain, layer: Any, x: int, scale: Any, shift: Any, trainable: bool = False
) -> Parts:
    """The parts with scale * x + shift per channel at their end; None for no shift."""
    last = ours.ChannelScale(trainable, use_shift=shift is not None, name=chain.part(""))
    chain.add(last, x)

    def load() -> None:
        last.trainable = layer.trainable
        values = [scale] if shift is None else [scale, shift]
        shape = last.weights[0].shape
        last.set_weights([np.broadcast_to(np.ravel(v), shape) for v in values])

    return Parts(chain.steps, last, load)


def _rescaling(layer: Any, name: str, call: Call) -> Parts:
    return _scaled(Chain(name), layer, INPUT, layer.scale, layer.offset)


def _normalization(layer: Any, name: str, call: Call) -> Parts | None:
    mean, variance = np.ravel(layer.mean), np.ravel(layer.variance)
    if layer.invert or mean.size not in (1, call.specs[0].shape[-1]):
        return None
    spread = np.maximum(np.sqrt(variance), keras.backend.epsilon())
    return _scaled(Chain(name), layer, INPUT, 1.0 / spread, -mean / spread)


def _layer_scale(layer: Any, name: str, call: Call) -> Parts:
    return _scaled(Chain(name), layer, INPUT, layer.gamma.numpy(), None, trainable=True)


def _layer_normalization(layer: Any, name: str, call: Call) -> Parts | None:
    """(x - mean) / |x - mean| * sqrt(C), scaled and shifted: L2_NORMALIZATION rounds once, a
    variance in 8 bits would have to hold that of the pixel with the largest."""
    config, rank = layer.get_config(), call.specs[0].shape.rank
    constrained = any(
        config[f"{what}_{how}"]
        for what in ("gamma", "beta")
        for how in ("regularizer", "constraint")
    )
    only_shifts = layer.center and not layer.scale  # a trainable shift beside a fixed scale
    if (
        constrained
        or only_shifts
        or [axis % rank for axis in np.atleast_1d(layer.axis)] != [rank - 1]
    ):
        return None
    chain = Chain(name)
    mean = chain.add(ours.ChannelMean(name=chain.part("mean")), INPUT)
    x = chain.add(keras.layers.Subtract(name=chain.part("centered")), [INPUT, mean])
    x = chain.add(ours.UnitLength(name=chain.part("unit")), x)
    gamma = 1.0 if layer.gamma is None else layer.gamma.numpy()
    beta = None if layer.beta is None else layer.beta.numpy()
    root = np.float32(math.sqrt(call.specs[0].shape[-1]))
    return _scaled(chain, layer, x, gamma * root, beta, trainable=layer.scale)


def _merge(layer: Any, name: str, call: Call) -> Parts | None:
    """Sums and products of tensors, two at a time."""
    count = len(call.inputs)
    if count <= 2:
        return None
    chain, x = Chain(name), INPUT
    for i in range(1, count):
        part = "" if i == count - 1 else str(i)
        x = chain.add(type(layer)(name=chain.part(part)), [x, INPUT - i])
    return chain.parts()


def _average(layer: Any, name: str, call: Call) -> Parts:
    chain, x = Chain(name), INPUT
    for i in range(1, len(call.inputs)):
        x = chain.add(keras.layers.Add(name=chain.part(f"sum_{i}")), [x, INPUT - i])
    chain.add(ours.Factor(1.0 / len(call.inputs), name=name), x)
    return chain.parts()


def _custom_scale_layer(layer: Any, name: str, call: Call) -> Parts:
    """x + scale * y of tf_keras.applications.InceptionResNetV2."""
    chain = Chain(name)
    scaled = chain.add(ours.Factor(float(layer.scale), name=chain.part("scaled")), INPUT - 1)
    chain.add(keras.layers.Add(name=name), [INPUT, scaled])
    return chain.parts()


def _unit_normalization(layer: Any, name: str, call: Call) -> Parts | None:
    rank = call.specs[0].shape.rank
    if [axis % rank for axis in np.atleast_1d(layer.axis)] != [rank - 1]:
        return None
    chain = Chain(name)
    chain.add(ours.UnitLength(name=name), INPUT)
    return chain.parts()


def _relu(layer: Any, name: str, call: Call) -> Parts | None:
    """min(max(x, 0), limit) by ReLU6."""
    limit = layer.max_value
    if layer.threshold or layer.negative_slope or limit is None or float(limit) in (0.0, 6.0):
        return None
    chain = Chain(name)
    small = ours.ChannelScale(use_shift=False, scale=6.0 / limit, name=chain.part("scaled"))
    x = chain.add(small, INPUT)
    x = chain.add(keras.layers.ReLU(6.0, name=chain.part("relu6")), x)
    chain.add(ours.Factor(limit / 6.0, name=name), x)
    return chain.parts()


def _elu_layer(layer: Any, name: str, call: Call) -> Parts:
    chain = Chain(name)
    _elu(chain, INPUT, float(layer.alpha))
    return chain.parts()


def _activation(layer: Any, name: str, call: Call) -> Parts | None:
    chain = Chain(name)
    if getattr(layer.activation, "__name__", "") not in _ACTIVATIONS:
        return None
    activate(chain, layer.activation, INPUT)
    return chain.parts()


def _function(layer: Any, name: str, call: Call) -> Parts | None:
    """A TensorFlow function of one tensor."""
    rule = _FUNCTIONS.get(layer.get_config()["function"])
    if rule is None or len(call.inputs) != 1 or len(tf.nest.flatten(call.args)) != 1:
        return None
    if any(value is not None for value in call.kwargs.values()):
        return None
    chain = Chain(name)
    rule(chain, INPUT)
    return chain.parts()


def _square(chain: Chain, x: int) -> int:
    return chain.add(keras.layers.Multiply(name=chain.part("")), [x, x])


def _negative(chain: Chain, x: int) -> int:
    return chain.add(ours.Factor(-1.0, name=chain.part("")), x)


_FUNCTIONS: dict[str, Callable[[Chain, int], int]] = {
    **dict.fromkeys(("nn.silu", "nn.swish"), _swish),
    "nn.elu": _elu,
    "nn.selu": _selu,
    **dict.fromkeys(("math.square", "square"), _square),
    **dict.fromkeys(("math.negative", "__operators__.neg"), _negative),
}
_LAYERS: dict[str, Callable[[Any, str, Call], Parts | None]] = {
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "LayerScale": _layer_scale,
    "LayerNormalization": _layer_normalization,
    "UnitNormalization": _unit_normalization,
    **dict.fromkeys(("Add", "Multiply", "Subtract"), _merge),
    "Average": _average,
    "CustomScaleLayer": _custom_scale_layer,
    "ReLU": _relu,
    "ELU": _elu_layer,
    "Activation": _activation,
    "TFOpLambda": _function,
}

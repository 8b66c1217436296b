"""Layers in the form in which TFLite folds and quantizes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tf_signbin.train.keras2.legacy_keras import keras
from tf_signbin.train.keras2.trace import Call, copy_layer, copy_state

# Activations that an integer kernel applies itself.
_FUSED = ("linear", "relu", "relu6")
_ACTIVATED = ("Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D", "Dense", "Conv2DTranspose",
              "SeparableConv1D", "SeparableConv2D")  # fmt: skip


@dataclasses.dataclass
class Parts:
    """What replaces a layer: layers in a chain, the one with the quantizable kernel, and a function
    that copies the weights once they are built."""

    layers: list[Any]
    main: Any
    load: Callable[[], None]


def expand(layer: Any, name: str, call: Call, int8: bool) -> Parts:
    """The parts of a layer that is called as in `call`.

    * Dense on a sequence or image becomes a convolution of size 1. Keras writes it as reshapes
      around a product, into which TFLite's converter folds neither BatchNorm nor bias.
    * For int8, a separable convolution becomes its two convolutions, whose tensor in between is
      quantized, and an activation that no integer kernel includes becomes a layer of its own.
    """
    kind = type(layer).__name__
    if kind in ("SeparableConv1D", "SeparableConv2D") and int8:
        return _separable(layer, name)
    rank = call.specs[0].shape.rank if call.specs else None
    if kind == "Dense" and rank in (3, 4) and not call.masked:
        return _dense_as_convolution(layer, name, rank - 2, int8)
    copy = copy_layer(layer, name)
    behind = _split_activation(copy) if int8 and kind in _ACTIVATED else []
    return Parts([copy, *behind], copy, lambda: copy_state(layer, copy))


def plain(layer: Any, name: str) -> Parts:
    """A copy of the layer as it is."""
    copy = copy_layer(layer, name)
    return Parts([copy], copy, lambda: copy_state(layer, copy))


def activation_name(layer: Any) -> str:
    """Name of a layer's activation function, '' for one without a name."""
    activation = getattr(layer, "activation", None)
    if activation is None:
        return "linear"
    return getattr(activation, "__name__", "")


def _split_activation(layer: Any) -> list[Any]:
    """Takes the activation off an unbuilt layer; returns the layer that applies it, if any."""
    if activation_name(layer) in _FUSED:
        return []
    activation, layer.activation = layer.activation, keras.activations.linear
    if isinstance(activation, keras.layers.Layer):
        return [copy_layer(activation, f"{layer.name}_{activation.name}")]
    return [keras.layers.Activation(activation, name=f"{layer.name}_activation")]


def _dense_as_convolution(layer: Any, name: str, dimensions: int, int8: bool) -> Parts:
    config = {**layer.get_config(), "name": name}
    config["filters"] = config.pop("units")
    config["kernel_size"] = (1,) * dimensions
    kind = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D}[dimensions]
    copy = kind.from_config(config)
    behind = _split_activation(copy) if int8 else []

    def load() -> None:
        kernel, *bias = layer.get_weights()
        copy.set_weights([kernel.reshape((1,) * dimensions + kernel.shape), *bias])
        copy.trainable = layer.trainable

    return Parts([copy, *behind], copy, load)


def _separable(layer: Any, name: str) -> Parts:
    two = type(layer).__name__ == "SeparableConv2D"
    config = layer.get_config()
    shared = {key: config[key] for key in ("data_format", "dtype")}
    padding, before = config["padding"], []
    if padding == "causal":
        padding = "valid"
        reach = config["dilation_rate"][0] * (config["kernel_size"][0] - 1)
        before = [keras.layers.ZeroPadding1D((reach, 0), name=f"{name}_padding")]
    depthwise = (keras.layers.DepthwiseConv2D if two else keras.layers.DepthwiseConv1D)(
        config["kernel_size"],
        strides=config["strides"],
        padding=padding,
        depth_multiplier=config["depth_multiplier"],
        dilation_rate=config["dilation_rate"],
        use_bias=False,
        depthwise_regularizer=config["depthwise_regularizer"],
        depthwise_constraint=config["depthwise_constraint"],
        name=f"{name}_depthwise",
        **shared,
    )
    pointwise = (keras.layers.Conv2D if two else keras.layers.Conv1D)(
        config["filters"],
        1,
        activation=layer.activation,
        use_bias=config["use_bias"],
        kernel_regularizer=config["pointwise_regularizer"],
        kernel_constraint=config["pointwise_constraint"],
        bias_regularizer=config["bias_regularizer"],
        bias_constraint=config["bias_constraint"],
        activity_regularizer=config["activity_regularizer"],
        name=f"{name}_pointwise",
        **shared,
    )
    behind = _split_activation(pointwise)

    def load() -> None:
        kernel, *rest = layer.get_weights()
        depthwise.set_weights([kernel])
        pointwise.set_weights(rest)
        depthwise.trainable = pointwise.trainable = layer.trainable

    return Parts([*before, depthwise, pointwise, *behind], pointwise, load)

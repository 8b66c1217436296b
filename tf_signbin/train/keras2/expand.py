"""Layers in the form in which TFLite folds and quantizes them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tf_signbin.train.keras2 import decompose
from tf_signbin.train.keras2.facts import annotated
from tf_signbin.train.keras2.legacy_keras import keras, tf
from tf_signbin.train.keras2.parts import Chain, Parts, Step
from tf_signbin.train.keras2.trace import Call, Ref, Trace, copy_layer, copy_state

# Activations that an integer kernel applies itself.
_FUSED = ("linear", "relu", "relu6")
_FOLDING = ("Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D", "Dense", "SeparableConv1D",
            "SeparableConv2D")  # fmt: skip
_ACTIVATED = ("Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D", "Dense", "Conv2DTranspose",
              "SeparableConv1D", "SeparableConv2D")  # fmt: skip


def expand(layer: Any, name: str, call: Call, int8: bool, alone: bool) -> Parts:
    """The parts of a layer that is called as in `call`.

    * Dense on a sequence or image becomes a convolution of size 1. Keras writes it as reshapes
      around a product, into which TFLite's converter folds neither BatchNorm nor bias.
    * For int8, a separable convolution becomes its two convolutions, whose tensor in between is
      quantized, an activation that no integer kernel includes becomes a layer of its own, and what
      takes several operators becomes several layers (decompose.py).

    Args:
      layer, name, call: the layer, what its copy is called, and its first call.
      int8: whether the layer is quantized with int8 activations.
      alone: whether it is a BatchNormalization that is folded into no convolution.
    """
    kind = type(layer).__name__
    if kind in ("SeparableConv1D", "SeparableConv2D") and int8:
        return _separable(layer, name)
    rank = call.specs[0].shape.rank if call.specs else None
    if kind == "Dense" and rank in (3, 4) and not call.masked:
        return _dense_as_convolution(layer, name, rank - 2, int8)
    found = None
    if int8:
        found = (decompose.batch_norm_alone if alone else decompose.decompose)(layer, name, call)
    if found is not None:
        return found
    copy = copy_layer(layer, name)
    chain = Chain(name)
    chain.add(copy)
    if int8 and kind in _ACTIVATED:
        _split_activation(chain, copy)
    return Parts(chain.steps, copy, lambda: copy_state(layer, copy))


def plain(layer: Any, name: str) -> Parts:
    """A copy of the layer as it is."""
    copy = copy_layer(layer, name)
    return Parts([Step(copy)], copy, lambda: copy_state(layer, copy))


def norms_alone(flat: Trace, convolutions: set[int]) -> set[int]:
    """Ids of the BatchNormalizations that cannot be folded wherever they are called.

    Args:
      flat: the model.
      convolutions: ids of the layers that one may be folded into, if they are convolutions.
    """
    readers = Counter(tensor for call in flat.calls for tensor in call.inputs)
    readers.update(x for x in tf.nest.flatten(flat.outputs) if isinstance(x, Ref))
    writers = {tensor: call for call in flat.calls for tensor in call.results}

    def folds(tensor: Ref) -> bool:
        writer = writers.get(tensor)
        if writer is None or readers[tensor] > 1 or id(writer.layer) not in convolutions:
            return False
        layer = annotated(writer.layer)
        dense_on_steps = type(layer).__name__ == "Dense" and writer.masked
        return (
            type(layer).__name__ in _FOLDING
            and activation_name(layer) == "linear"
            and not dense_on_steps
        )

    return {
        id(call.layer)
        for call in flat.calls
        if type(call.layer).__name__ in ("BatchNormalization", "SyncBatchNormalization")
        and not folds(call.inputs[0])
    }


def activation_name(layer: Any) -> str:
    """Name of a layer's activation function, '' for one without a name."""
    activation = getattr(layer, "activation", None)
    if activation is None:
        return "linear"
    return getattr(activation, "__name__", "")


def _split_activation(chain: Chain, layer: Any) -> None:
    """Takes the activation off an unbuilt layer, the chain's last; adds what applies it, if any."""
    if activation_name(layer) in _FUSED:
        return
    function, layer.activation = layer.activation, keras.activations.linear
    of_layer = function.name if isinstance(function, keras.layers.Layer) else "activation"
    behind = Chain(f"{layer.name}_{of_layer}", chain.steps)
    decompose.activate(behind, function, len(chain.steps) - 1)


def _dense_as_convolution(layer: Any, name: str, dimensions: int, int8: bool) -> Parts:
    config = {**layer.get_config(), "name": name}
    config["filters"] = config.pop("units")
    config["kernel_size"] = (1,) * dimensions
    kind = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D}[dimensions]
    copy = kind.from_config(config)
    chain = Chain(name)
    chain.add(copy)
    if int8:
        _split_activation(chain, copy)

    def load() -> None:
        kernel, *bias = layer.get_weights()
        copy.set_weights([kernel.reshape((1,) * dimensions + kernel.shape), *bias])
        copy.trainable = layer.trainable

    return Parts(chain.steps, copy, load)


def _separable(layer: Any, name: str) -> Parts:
    two = type(layer).__name__ == "SeparableConv2D"
    config = layer.get_config()
    shared = {key: config[key] for key in ("data_format", "dtype")}
    padding, chain = config["padding"], Chain(name)
    if padding == "causal":
        padding = "valid"
        reach = config["dilation_rate"][0] * (config["kernel_size"][0] - 1)
        chain.add(keras.layers.ZeroPadding1D((reach, 0), name=f"{name}_padding"))
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
    last = chain.add(depthwise, -1 if not chain.steps else 0)
    chain.add(pointwise, last)
    _split_activation(chain, pointwise)

    def load() -> None:
        kernel, *rest = layer.get_weights()
        depthwise.set_weights([kernel])
        pointwise.set_weights(rest)
        depthwise.trainable = pointwise.trainable = layer.trainable

    return Parts(chain.steps, pointwise, load)

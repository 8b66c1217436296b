"""What a Keras 3 model holds: its kernels, quantized or not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras

from tf_signbin.train.keras3 import graph
from tf_signbin.train.keras3.layers import (
    ChannelScale,
    FakeQuantize,
    FakeQuantizeInput,
    QuantizedWeights,
)
from tf_signbin.train.rules.inputs import LowBitInput
from tf_signbin.train.rules.kernels import (
    ModelFacts,
    QuantizedKernel,
    Shape,
    kernel_facts,
)
from tf_signbin.train.rules.layers import ALL_KERNELS

_DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")


def all_layers(layer: Any) -> Iterator[Any]:
    """The layers inside a layer or model at any depth, each once, in their order."""
    seen: set[int] = set()

    def walk(outer: Any) -> Iterator[Any]:
        for inner in outer.layers if isinstance(outer, keras.Model) else outer._layers:
            if id(inner) not in seen:
                seen.add(id(inner))
                yield inner
                yield from walk(inner)

    return walk(layer)


def quantized_kernels(model: Any) -> list[QuantizedKernel]:
    """All quantized kernels of a model, nested layers included, in the order of its layers."""
    found: list[Any] = [
        layer
        for layer in all_layers(model)
        if isinstance(layer, QuantizedWeights) and layer.weight_quantizer is not None
    ]
    names = [layer.name for layer in found]
    return [
        QuantizedKernel(
            layer, layer, layer.latent_kernel, layer.weight_quantizer,
            layer.quantizer_variables, keras.ops,
            layer.path if names.count(layer.name) > 1 else "",
        )
        for layer in found
    ]  # fmt: skip


def has_fake_quantized_activations(model: Any) -> bool:
    """Whether the model was trained with int8 activations."""
    kinds = (FakeQuantize, FakeQuantizeInput)
    return any(isinstance(layer, kinds) for layer in all_layers(model))


def low_bit_inputs(model: Any) -> list[LowBitInput]:
    """The coarse fake quantizations of a model, nested layers included."""
    return [
        LowBitInput(layer.name, layer.input_quantizer, layer.input_variables, keras.ops)
        for layer in all_layers(model)
        if isinstance(layer, FakeQuantizeInput)
    ]


def describe(model: Any) -> ModelFacts:
    """The model's kernels and parameters; layers inside of layers are searched.

    Raises:
      ValueError: the model is not built, or a layer's size is not known.
    """
    if not model.built:
        raise ValueError(
            f"Model {model.name!r} has no weights yet: call model.build(input_shape) or call it "
            "once on a batch."
        )
    quantized = {id(kernel.latent): kernel for kernel in quantized_kernels(model)}
    calls = _calls(model)
    kernels = []
    sizes = {id(v): math.prod(v.shape) for v in model.weights}
    for layer in all_layers(model):
        if isinstance(layer, (FakeQuantize, FakeQuantizeInput)):
            hidden = layer.weights
        else:
            hidden = getattr(layer, "quantizer_variables", {}).values()
        for variable in hidden:
            del sizes[id(variable)]
        for attribute, variable in _kernels(layer).items():
            kind = _kind(layer)
            shape = tuple(variable.shape)
            if kind == "ChannelScale":
                shape = (1, 1, *shape, 1)
            first = getattr(layer, "data_format", "") == "channels_first"
            found = quantized.get(id(variable))
            kernels.append(
                kernel_facts(
                    layer.name, kind, attribute, shape, _type(layer), calls[id(layer)], first, found
                )
            )
    return ModelFacts(kernels, sum(sizes.values()))


def _kind(layer: Any) -> str:
    """The Keras class that a layer with kernels is or derives from, '' for other layers."""
    names = (cls.__name__ for cls in type(layer).__mro__)
    return next((name for name in names if name in ALL_KERNELS or name == "ChannelScale"), "")


def _kernels(layer: Any) -> dict[str, Any]:
    """The kernels of a layer, under the names that they have in ALL_KERNELS."""
    kind = _kind(layer)
    if kind == "ChannelScale":
        return {"depthwise_kernel": layer.scale}
    if kind in _DEPTHWISE:
        return {"depthwise_kernel": layer.kernel}
    if isinstance(layer, QuantizedWeights) and kind in ("Conv1D", "Conv2D", "Dense"):
        return {"kernel": layer.latent_kernel}  # `kernel` is what it computes with
    return {name: getattr(layer, name) for name in ALL_KERNELS.get(kind, ())}


def _type(layer: Any) -> str:
    """What the layer computes with when it runs: only int8 networks have dense quantized weights,
    or values on the int8 grid."""
    if isinstance(layer, ChannelScale):
        return "int8"
    if not isinstance(layer, QuantizedWeights):
        return "float32"
    quantizer = layer.weight_quantizer
    return "int8" if quantizer is None or quantizer.int8_grid else "float32"


def _calls(model: Any) -> dict[int, list[tuple[Shape, Shape]]]:
    """Input and output shape of each call of each layer, by the layer's id.

    Of a layer inside of another one that is no model, Keras only knows the shape that it was built
    for: it is counted once for each call of the outer one.
    """
    calls: dict[int, list[tuple[Shape, Shape]]] = {}

    def inside(outer: Any) -> None:
        for layer in all_layers(outer):
            if _kind(layer) and layer.built:
                source = tuple(layer.get_build_config()["input_shape"])
                result = tuple(layer.compute_output_shape(source))
                calls.setdefault(id(layer), []).append((source, result))

    if graph.functional_of(model) is None:
        inside(model)
        return calls
    flat = graph.trace(model)
    shapes = flat.shapes
    for call in flat.calls:
        if _kind(call.operation):
            source, result = shapes[call.tensors()[0]], shapes[call.outputs[0]]
            calls.setdefault(id(call.operation), []).append((source, result))
        elif isinstance(call.operation, keras.Layer):
            inside(call.operation)
    return calls

"""What a Keras 2 model holds: its kernels, quantized or not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tensorflow_model_optimization.python.core.quantization.keras import (
    quantize_layer,
    quantize_wrapper,
)

from tf_signbin.train.keras2.blocks import calls_inside, describe_hidden, hidden_kernels
from tf_signbin.train.keras2.legacy_keras import keras
from tf_signbin.train.keras2.weights import OPS, TfmotInputQuantizer, TfmotQuantizer
from tf_signbin.train.keras2.wrapper import StableQuantizeWrapper
from tf_signbin.train.rules.inputs import LowBitInput
from tf_signbin.train.rules.kernels import (
    ModelFacts,
    QuantizedKernel,
    Shape,
    kernel_facts,
)
from tf_signbin.train.rules.layers import ALL_KERNELS


def quantized_kernels(model: Any) -> list[QuantizedKernel]:
    """All quantized kernels of a model, nested models included, in the order of its layers."""
    return list(_find(model))


def unreached_layers(model: Any) -> dict[str, str]:
    """What is said of the user's layers that still hold kernels of their own, by name."""
    return {
        layer.name: describe_hidden(layer)
        for layer in model._flatten_layers(include_self=False, recursive=True)
        if hidden_kernels(layer)
    }


def _find(model: Any) -> Iterator[QuantizedKernel]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _find(layer)
        elif isinstance(layer, StableQuantizeWrapper):
            for latent, quantizer, variables in layer._weight_vars:
                if isinstance(quantizer, TfmotQuantizer):
                    yield QuantizedKernel(
                        layer.layer, layer, latent, quantizer.quantizer, variables, OPS
                    )


def has_fake_quantized_activations(model: Any) -> bool:
    """Whether a layer of the model quantizes activations, ours or tfmot's own."""
    for layer in model._flatten_layers():
        if isinstance(layer, quantize_layer.QuantizeLayer):
            return True
        if isinstance(layer, quantize_wrapper.QuantizeWrapper):
            config, inner = layer.quantize_config, layer.layer
            if config.get_output_quantizers(inner) or config.get_activations_and_quantizers(inner):
                return True
    return False


def low_bit_inputs(model: Any) -> list[LowBitInput]:
    """The coarse fake quantizations of a model, nested models included."""
    return [
        LowBitInput(layer.name, layer.quantizer.quantizer, layer.quantizer_vars, OPS)
        for layer in model._flatten_layers()
        if isinstance(layer, quantize_layer.QuantizeLayer)
        and isinstance(layer.quantizer, TfmotInputQuantizer)
    ]


def describe(model: Any) -> ModelFacts:
    """The model's kernels and parameters; nested models are searched."""
    quantized = {id(kernel.latent): kernel for kernel in quantized_kernels(model)}
    calls: dict[int, list[tuple[Shape, Shape]]] = {}
    for layer, shapes in _calls(model):
        calls.setdefault(id(layer), []).append(shapes)
    kernels = []
    sizes: dict[int, int] = {}
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if isinstance(layer, quantize_layer.QuantizeLayer):
            continue
        inner = getattr(layer, "layer", layer)
        sizes.update((id(v), math.prod(v.shape)) for v in inner.weights)
        kind = type(inner).__name__
        if id(layer) not in calls or kind not in ALL_KERNELS:
            continue  # the inside of a wrapper was listed already
        for attribute in ALL_KERNELS[kind]:
            latent = getattr(inner, attribute)
            shape = tuple(int(size) for size in latent.shape)
            first = getattr(inner, "data_format", "") == "channels_first"
            found = quantized.get(id(latent))
            kernels.append(
                kernel_facts(
                    layer.name, kind, attribute, shape, _type(layer), calls[id(layer)], first, found
                )
            )
    return ModelFacts(kernels, sum(sizes.values()))


def _calls(model: Any) -> Iterator[tuple[Any, tuple[Shape, Shape]]]:
    """Every call of a layer in a model's graph, with the shapes of its input and output."""
    for nodes in getattr(model, "_nodes_by_depth", {}).values():
        for node in nodes:
            if isinstance(node.layer, keras.Model):
                yield from _calls(node.layer)
            elif not node.is_input:
                yield node.layer, (node.input_shapes, node.output_shapes)
                yield from calls_inside(node)


def _type(layer: Any) -> str:
    """'int8' when a wrapper of tfmot's 8-bit scheme or ours quantizes the layer for int8."""
    config = getattr(layer, "quantize_config", None)
    if config is None:
        return "float32"
    return getattr(config, "activations", "int8")

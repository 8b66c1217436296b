"""The quantized layers of a Keras 2 model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tensorflow_model_optimization.python.core.quantization.keras import (
    quantize_layer,
    quantize_wrapper,
)

from tf_signbin.train.keras2.legacy_keras import keras
from tf_signbin.train.keras2.weights import OPS, TfmotQuantizer
from tf_signbin.train.keras2.wrapper import StableQuantizeWrapper
from tf_signbin.train.rules.kernels import QuantizedKernel


def quantized_kernels(model: Any) -> list[QuantizedKernel]:
    """All quantized kernels of a model, nested models included, in the order of its layers."""
    return list(_find(model))


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

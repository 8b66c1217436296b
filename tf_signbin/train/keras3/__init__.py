"""Front end for Keras 3 (the package keras), on any backend."""

from tf_signbin.train.keras3.facts import (
    describe,
    has_fake_quantized_activations,
    low_bit_inputs,
    quantized_kernels,
)
from tf_signbin.train.keras3.quantize import (
    default_keep_dense,
    quantize_annotate_layer,
    quantize_annotate_model,
    quantize_apply,
    quantize_model,
    quantize_scope,
)

__all__ = [
    "default_keep_dense",
    "describe",
    "has_fake_quantized_activations",
    "low_bit_inputs",
    "quantize_annotate_layer",
    "quantize_annotate_model",
    "quantize_apply",
    "quantize_model",
    "quantize_scope",
    "quantized_kernels",
]

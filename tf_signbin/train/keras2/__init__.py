"""Front end for Keras 2 (the package tf_keras) and tensorflow-model-optimization."""

# First: it checks versions, and keeps tfmot from choosing a Keras for the process.
from tf_signbin.train.keras2 import legacy_keras  # noqa: F401  # isort: split
from tf_signbin.train.keras2.configs import SignedBinaryQuantizeConfig
from tf_signbin.train.keras2.introspect import (
    describe,
    has_fake_quantized_activations,
    low_bit_inputs,
    quantized_kernels,
    unreached_layers,
)
from tf_signbin.train.keras2.quantize import (
    default_keep_dense,
    quantize_annotate_layer,
    quantize_annotate_model,
    quantize_apply,
    quantize_model,
    quantize_scope,
)

__all__ = [
    "SignedBinaryQuantizeConfig",
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
    "unreached_layers",
]

"""Signed-binary training on tf.keras (Keras 2) and tensorflow-model-optimization."""

# First: it chooses Keras 2 before anything imports TensorFlow or tfmot.
from tf_signbin.train import legacy_keras  # noqa: F401  # isort: split
from tf_signbin.train.auto_pattern import AutoPattern
from tf_signbin.train.callbacks import (
    DensitySchedule,
    EDESchedule,
    LayerStatistics,
    PatternSchedule,
)
from tf_signbin.train.configs import SignedBinaryQuantizeConfig
from tf_signbin.train.graph import default_keep_dense
from tf_signbin.train.introspect import QuantizedKernel, quantized_kernels
from tf_signbin.train.quantize import (
    quantize_annotate_layer,
    quantize_annotate_model,
    quantize_apply,
    quantize_model,
    quantize_scope,
)
from tf_signbin.train.quantizers import BinaryQuantizer, SignedBinaryQuantizer, TernaryQuantizer
from tf_signbin.train.scheme import SignedBinaryQuantizeScheme

__all__ = [
    "AutoPattern",
    "BinaryQuantizer",
    "DensitySchedule",
    "EDESchedule",
    "LayerStatistics",
    "PatternSchedule",
    "QuantizedKernel",
    "SignedBinaryQuantizeConfig",
    "SignedBinaryQuantizeScheme",
    "SignedBinaryQuantizer",
    "TernaryQuantizer",
    "default_keep_dense",
    "quantize_annotate_layer",
    "quantize_annotate_model",
    "quantize_apply",
    "quantize_model",
    "quantize_scope",
    "quantized_kernels",
]

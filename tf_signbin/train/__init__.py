"""Signed-binary training on tf.keras (Keras 2) and tensorflow-model-optimization."""

from tf_signbin.train.graph import default_keep_dense
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
    "BinaryQuantizer",
    "SignedBinaryQuantizeScheme",
    "SignedBinaryQuantizer",
    "TernaryQuantizer",
    "default_keep_dense",
    "quantize_annotate_layer",
    "quantize_annotate_model",
    "quantize_apply",
    "quantize_model",
    "quantize_scope",
]

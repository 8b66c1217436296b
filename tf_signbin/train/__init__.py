"""Signed-binary training of Keras models.

`api` holds the public functions; `rules` the mathematics and decisions, which know no framework;
`keras2` and `keras3` are the front ends for models of the two Kerases.
"""

from __future__ import annotations

import importlib
from typing import Any

from tf_signbin.train.api import (
    default_keep_dense,
    low_bit_inputs,
    lower_input_bits,
    quantize_annotate_layer,
    quantize_annotate_model,
    quantize_apply,
    quantize_model,
    quantize_scope,
    quantized_kernels,
)
from tf_signbin.train.callbacks import (
    DensitySchedule,
    EDESchedule,
    LayerStatistics,
    PatternSchedule,
)
from tf_signbin.train.rules.auto_pattern import AutoPattern
from tf_signbin.train.rules.kernels import QuantizedKernel
from tf_signbin.train.rules.quantizers import (
    BinaryQuantizer,
    SignedBinaryQuantizer,
    TernaryQuantizer,
)

# What only tfmot's users need; it imports tfmot.
_KERAS2 = ("SignedBinaryQuantizeConfig",)

__all__ = [
    "AutoPattern",
    "BinaryQuantizer",
    "DensitySchedule",
    "EDESchedule",
    "LayerStatistics",
    "PatternSchedule",
    "QuantizedKernel",
    "SignedBinaryQuantizeConfig",
    "SignedBinaryQuantizer",
    "TernaryQuantizer",
    "default_keep_dense",
    "low_bit_inputs",
    "lower_input_bits",
    "quantize_annotate_layer",
    "quantize_annotate_model",
    "quantize_apply",
    "quantize_model",
    "quantize_scope",
    "quantized_kernels",
]


def __getattr__(name: str) -> Any:
    if name not in _KERAS2:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("tf_signbin.train.keras2"), name)

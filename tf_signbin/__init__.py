"""Signed-binary neural networks: train with Keras, convert to TensorFlow Lite, run fast.

Public names load their part of the package on first use, so that running a converted model does
not import TensorFlow.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

from tf_signbin.registration import register_with_keras

_PUBLIC = {
    "tf_signbin.train": (
        "AutoPattern",
        "BinaryQuantizer",
        "DensitySchedule",
        "EDESchedule",
        "LayerStatistics",
        "PatternSchedule",
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
    ),
    "tf_signbin.convert": ("check_conversion", "convert", "emulate", "inspect_model", "unpack"),
    "tf_signbin.runtime": ("CompiledModel", "Interpreter", "load_delegate"),
    "tf_signbin.summary": ("summary",),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'tf_signbin' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


class _Package(types.ModuleType):
    """Keeps `tf_signbin.convert` the function when the subpackage of that name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system sets every imported submodule as an attribute of its package.
        if not (name in _MODULE_OF and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

register_with_keras()


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))

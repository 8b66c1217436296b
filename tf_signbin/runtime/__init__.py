"""Runs .tflite models with the delegate; needs NumPy and a TFLite runtime, not TensorFlow."""

from tf_signbin.runtime.compiled_model import CompiledModel, accelerator_folder
from tf_signbin.runtime.delegate import delegate_path, load_delegate
from tf_signbin.runtime.errors import DelegateError, RuntimeNotFoundError
from tf_signbin.runtime.interpreter import Interpreter, NothingClaimedWarning
from tf_signbin.runtime.introspection import ClaimedLayer, claimed_layers
from tf_signbin.runtime.runtimes import (
    RUNTIMES,
    TfliteRuntime,
    find_runtime,
    installed_runtimes,
)

__all__ = [
    "RUNTIMES",
    "ClaimedLayer",
    "CompiledModel",
    "DelegateError",
    "Interpreter",
    "NothingClaimedWarning",
    "RuntimeNotFoundError",
    "TfliteRuntime",
    "accelerator_folder",
    "claimed_layers",
    "delegate_path",
    "find_runtime",
    "installed_runtimes",
    "load_delegate",
]

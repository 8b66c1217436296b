"""An interpreter with the delegate applied, over whichever TFLite runtime is installed."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tf_signbin.runtime.delegate import load_delegate
from tf_signbin.runtime.introspection import ClaimedLayer, claimed_layers
from tf_signbin.runtime.runtimes import find_runtime

UNCLAIMED = ("warn", "error", "ignore")


class NothingClaimedWarning(UserWarning):
    """The delegate is loaded but no layer of the model runs in it."""


class Interpreter:
    """Runs a .tflite model with the signed-binary delegate.

    Everything the runtime's own Interpreter offers (allocate_tensors, set_tensor, invoke,
    get_tensor, get_signature_runner, ...) is here under the same name. New are `predict`,
    `claimed_layers` and the errors: a model that gains nothing from the delegate is reported.

    Args:
      model: path of a .tflite file, or its bytes.
      num_threads: threads of the runtime and of the delegate; None: the runtime's default.
      runtime: 'auto' (the first of ai_edge_litert, tflite_runtime, tensorflow that is installed) or
        one of these names.
      on_unclaimed: what to do when the delegate claims no layer: 'warn', 'error' or 'ignore'.
      **options: the delegate's options, see load_delegate().

    Raises:
      FileNotFoundError: no such model.
      ValueError: num_threads < 1, or the model is damaged or needs an unknown operator.
      DelegateError, RuntimeNotFoundError: as load_delegate().
      RuntimeError: a layer's options are wrong or unknown to this version; names the layer.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        num_threads: int | None = None,
        runtime: str = "auto",
        on_unclaimed: str = "warn",
        **options: Any,
    ) -> None:
        if on_unclaimed not in UNCLAIMED:
            raise ValueError(f"on_unclaimed={on_unclaimed!r}: must be one of {UNCLAIMED}")
        if num_threads is not None and num_threads < 1:
            raise ValueError(f"num_threads={num_threads}: must be at least 1")
        self.runtime = find_runtime(runtime)
        self._name = "model" if isinstance(model, bytes) else os.fspath(model)
        self._on_unclaimed = on_unclaimed
        self._allocated = False
        content = model if isinstance(model, bytes) else Path(model).read_bytes()
        self._delegate = load_delegate(runtime=self.runtime, **options)
        try:
            self._interpreter = self.runtime.interpreter(
                model_content=content,
                num_threads=num_threads,
                experimental_delegates=[self._delegate],
            )
        except ValueError as error:
            raise ValueError(f"{self._name}: {error}") from error

    def __getattr__(self, name: str) -> Any:
        # Reached for names that this class does not define: the runtime's own methods.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._interpreter, name)

    def allocate_tensors(self) -> None:
        """As in the runtime; afterwards `claimed_layers` is known, and its being empty reported."""
        self._interpreter.allocate_tensors()
        if not self._allocated and not self.claimed_layers:
            self._report_unclaimed()
        self._allocated = True

    @property
    def claimed_layers(self) -> list[ClaimedLayer]:
        """The layers that the delegate runs, with the kernel of each."""
        return claimed_layers(self._delegate)

    def predict(self, inputs: np.ndarray, batch_size: int = 1) -> np.ndarray:
        """Runs a model of one input and one output over samples.

        Args:
          inputs: [samples, ...] in real values; quantized to the model's input type if it has one.
          batch_size: samples an invoke; the input is resized when the model's own batch differs.

        Returns:
          [samples, ...] in real values (float32).

        Raises:
          ValueError: the model has several inputs or outputs, or the shapes do not fit.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        details = self.get_input_details(), self.get_output_details()
        if len(details[0]) != 1 or len(details[1]) != 1:
            raise ValueError(
                f"{self._name} has {len(details[0])} inputs and {len(details[1])} outputs; "
                "predict() is for one each: use set_tensor, invoke and get_tensor"
            )
        source, sink = details[0][0], details[1][0]
        values = _to_tensor(np.asarray(inputs), source)
        results = []
        for start in range(0, len(values), batch_size):
            batch = values[start : start + batch_size]
            self._shape_input(source["index"], batch.shape, source["shape_signature"])
            self.set_tensor(source["index"], batch)
            self.invoke()
            results.append(_to_real(self.get_tensor(sink["index"]), sink))
        return np.concatenate(results) if results else np.zeros((0, *sink["shape"][1:]), np.float32)

    def _shape_input(self, index: int, shape: tuple[int, ...], signature: Any) -> None:
        """Resizes the input; `signature` is -1 where the model leaves a size open."""
        current = tuple(int(size) for size in self.get_input_details()[0]["shape"])
        if current != shape:
            wanted = tuple(int(size) for size in signature) if len(signature) else current
            fits = len(wanted) == len(shape) and all(
                known in (-1, size) for known, size in zip(wanted[1:], shape[1:], strict=True)
            )
            if not fits:
                raise ValueError(f"{self._name} takes inputs of shape {wanted}, got {shape}")
            self.resize_tensor_input(index, shape)
            self.allocate_tensors()
        elif not self._allocated:
            self.allocate_tensors()

    def _report_unclaimed(self) -> None:
        message = (
            f"{self._name}: the signed-binary delegate claimed no layer; everything runs in the "
            "stock runtime. See `tf-signbin inspect` for the reason of each layer"
        )
        if self._on_unclaimed == "error":
            raise RuntimeError(message)
        if self._on_unclaimed == "warn":
            warnings.warn(message, NothingClaimedWarning, stacklevel=3)


def _to_tensor(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Real values to the tensor's type, as TFLite's QUANTIZE rounds (halves away from zero)."""
    dtype = np.dtype(details["dtype"])
    scale, zero_point = details["quantization"]
    if dtype == np.float32 or not scale:
        return np.ascontiguousarray(values, dtype=dtype)
    limits = np.iinfo(dtype)
    steps = np.asarray(values, np.float32) / np.float32(scale)
    rounded = np.copysign(np.floor(np.abs(steps) + np.float32(0.5)), steps) + zero_point
    return np.clip(rounded, limits.min, limits.max).astype(dtype)


def _to_real(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    scale, zero_point = details["quantization"]
    if not scale or values.dtype == np.float32:
        return values.astype(np.float32)
    return ((values.astype(np.float32) - zero_point) * np.float32(scale)).astype(np.float32)

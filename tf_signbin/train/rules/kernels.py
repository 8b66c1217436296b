"""The one view of a quantized kernel that callbacks, summaries and the converter share."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tf_signbin.train.rules import functional
from tf_signbin.train.rules.namespace import ArrayNamespace
from tf_signbin.train.rules.quantizers import (
    SignedBinaryQuantizer,
    TernaryQuantizer,
    WeightQuantizer,
)


@dataclasses.dataclass(frozen=True)
class QuantizedKernel:
    """A kernel of a model and its quantizer.

    Attributes:
      layer: the Keras layer that the user built.
      wrapper: the layer of the quantized model that holds it; the same where none is wrapped.
      latent: the full-precision variable, [..., Ci, Co]; `assign` changes it.
      quantizer: its quantizer.
      variables: the quantizer's variables by name ('delta', 'tightness', 'ede_t', ...), with
        `assign`.
      ops: the array namespace of the model's framework.
    """

    layer: Any
    wrapper: Any
    latent: Any
    quantizer: WeightQuantizer
    variables: dict[str, Any]
    ops: ArrayNamespace = dataclasses.field(repr=False)

    @property
    def name(self) -> str:
        return self.layer.name

    def quantized(self) -> Any:
        """The weights as inference uses them, shape of the kernel."""
        latent = self.ops.convert_to_tensor(self.latent)
        return self.quantizer.quantize(self.ops, latent, self._values())

    def mask(self) -> Any:
        """1.0 where a weight is effectual (binary: positive), shape of the kernel."""
        mask = self.quantizer.mask(self.ops, self._canonical(), self._values())
        return self.ops.reshape(mask, tuple(self.latent.shape))

    def threshold(self) -> float:
        """Mean Δ over the layer's filters; 0 for binary weights."""
        if not isinstance(self.quantizer, (SignedBinaryQuantizer, TernaryQuantizer)):
            return 0.0
        threshold = self.quantizer.threshold_of(self.ops, self._canonical(), self._values())
        return float(np.mean(self.ops.convert_to_numpy(threshold)))

    def relative_scores(self) -> np.ndarray:
        """βW / max|W| of each weight that the pattern allows, -1 elsewhere; flat.

        A signed-binary kernel has density d when delta is the (1 - d) quantile of these.
        """
        quantizer, ops = self.quantizer, self.ops
        if not isinstance(quantizer, SignedBinaryQuantizer):
            raise TypeError(f"Layer {self.name!r} is not signed-binary: {quantizer!r}.")
        w = self._canonical()
        largest = ops.max(ops.abs(w), axis=functional.REGION_AXES, keepdims=True)
        scores = ops.divide_no_nan(w * quantizer.beta(ops, w), largest)
        allowed = quantizer.mask(ops, w, {**self._values(), "delta": -1.0})
        scores = np.where(ops.convert_to_numpy(allowed) > 0, ops.convert_to_numpy(scores), -1.0)
        return scores.ravel()

    def _canonical(self) -> Any:
        return self.quantizer.latent(self.ops, self.ops.convert_to_tensor(self.latent))

    def _values(self) -> dict[str, Any]:
        return {name: self.ops.convert_to_tensor(v) for name, v in self.variables.items()}

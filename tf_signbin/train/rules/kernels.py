"""The one view of a model's kernels that callbacks, summaries and the converter share."""

from __future__ import annotations

import dataclasses
import math
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
      path: where the layer's name alone does not say which it is: one that does.
    """

    layer: Any
    wrapper: Any
    latent: Any
    quantizer: WeightQuantizer
    variables: dict[str, Any]
    ops: ArrayNamespace = dataclasses.field(repr=False)
    path: str = ""

    @property
    def name(self) -> str:
        return self.path or self.layer.name

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


@dataclasses.dataclass(frozen=True)
class KernelFacts:
    """A kernel of a convolution or dense layer, quantized or not, and what it costs.

    Attributes:
      name, operator: of the layer, and its class in Keras, such as 'Conv2D'.
      shape: of the kernel, as Keras stores it.
      activation_type: 'float32' or 'int8': what the layer computes with when it runs.
      positions: pixels (rows for dense layers) of one sample that the kernel is applied to.
      outputs, macs: values written, and multiply-accumulates of a dense run, of one sample.
      quantized: the kernel's quantizer and values, None for dense weights.
    """

    name: str
    operator: str
    shape: tuple[int, ...]
    activation_type: str
    positions: int
    outputs: int
    macs: int
    quantized: QuantizedKernel | None = None


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """What a front end tells of a model.

    Attributes:
      kernels: of all convolutions and dense layers, in the order of the layers.
      parameters: number of them, without the variables of quantizers and of fake quantization.
    """

    kernels: list[KernelFacts]
    parameters: int


Shape = tuple[int | None, ...]


def kernel_facts(
    name: str,
    operator: str,
    attribute: str,
    shape: tuple[int, ...],
    activation_type: str,
    calls: list[tuple[Shape, Shape]],
    channels_first: bool = False,
    quantized: QuantizedKernel | None = None,
) -> KernelFacts:
    """Facts of one kernel of a layer, summed over the layer's calls; arguments as in `_geometry`.

    Raises:
      ValueError: a call has an unknown size.
    """
    try:
        counts = _geometry(operator, attribute, shape, calls, channels_first)
    except ValueError as error:
        raise ValueError(
            f"Layer {name!r} has an {error}; give the model's input a fixed size to count "
            "operations."
        ) from None
    return KernelFacts(name, operator, shape, activation_type, quantized=quantized, **counts)


def _geometry(
    kind: str,
    attribute: str,
    kernel: tuple[int, ...],
    calls: list[tuple[Shape, Shape]],
    channels_first: bool = False,
) -> dict[str, int]:
    """`positions`, `outputs` and `macs` of KernelFacts, summed over a layer's calls.

    Args:
      kind: class of the layer in Keras.
      attribute: which kernel of it, such as 'depthwise_kernel'.
      kernel: its shape.
      calls: input and output shape of each call, with the batch axis.
      channels_first: the layer's data format.

    Raises:
      ValueError: a size that is needed is not known; names the shape.
    """
    sums = {"positions": 0, "outputs": 0, "macs": 0}
    for source, result in calls:
        # A transposed convolution applies its kernel at each input pixel.
        applied = source if kind == "Conv2DTranspose" else result
        sizes = applied[2:] if channels_first else applied[1:-1]
        if None in sizes:
            raise ValueError(f"unknown size {applied}")
        positions = math.prod(size or 0 for size in sizes)
        if attribute == "depthwise_kernel":
            outputs = positions * kernel[-2] * kernel[-1]
            macs = outputs * math.prod(kernel[:-2])
        elif kind == "Conv2DTranspose":
            outputs = math.prod(size or 0 for size in result[1:])
            macs = positions * math.prod(kernel)
        else:
            outputs, macs = positions * kernel[-1], positions * math.prod(kernel)
        for key, value in (("positions", positions), ("outputs", outputs), ("macs", macs)):
            sums[key] += value
    return sums

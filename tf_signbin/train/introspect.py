"""Access to the quantized layers of a model: latent weights, masks, values, variables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from tf_signbin.train import functional
from tf_signbin.train.legacy_keras import keras, tf
from tf_signbin.train.quantizers import SignedBinaryQuantizer, TernaryQuantizer, WeightQuantizer
from tf_signbin.train.wrapper import StableQuantizeWrapper


@dataclasses.dataclass(frozen=True)
class QuantizedKernel:
    """A kernel of a model and its quantizer.

    Attributes:
      layer: the wrapped Keras layer.
      wrapper: the quantize wrapper around it, a layer of the model.
      latent: the full-precision variable, [..., Ci, Co].
      quantizer: its quantizer.
      variables: the quantizer's variables by name ('delta', 'tightness', 'ede_t', ...).
    """

    layer: Any
    wrapper: Any
    latent: Any
    quantizer: WeightQuantizer
    variables: dict[str, Any]

    @property
    def name(self) -> str:
        return self.layer.name

    def quantized(self) -> tf.Tensor:
        """The weights as inference uses them, shape of the kernel."""
        return self.quantizer(self.latent, False, self.variables)

    def mask(self) -> tf.Tensor:
        """1.0 where a weight is effectual (binary: positive), shape of the kernel."""
        w = self.quantizer.latent(tf.convert_to_tensor(self.latent))
        return tf.reshape(self.quantizer.mask(w, self.variables), self.latent.shape)

    def threshold(self) -> tf.Tensor:
        """Mean Δ over the layer's filters; 0 for binary weights."""
        if not isinstance(self.quantizer, (SignedBinaryQuantizer, TernaryQuantizer)):
            return tf.constant(0.0)
        w = self.quantizer.latent(tf.convert_to_tensor(self.latent))
        return tf.reduce_mean(self.quantizer.threshold_of(w, self.variables))


def quantized_kernels(model: Any) -> list[QuantizedKernel]:
    """All quantized kernels of a model from quantize_model, in the order of its layers.

    Nested models are searched too (a quantized model may be used inside another one).
    """
    return list(_find(model))


def _find(model: Any) -> Iterator[QuantizedKernel]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _find(layer)
        elif isinstance(layer, StableQuantizeWrapper):
            for latent, quantizer, variables in layer._weight_vars:
                if isinstance(quantizer, WeightQuantizer):
                    yield QuantizedKernel(layer.layer, layer, latent, quantizer, variables)


def relative_scores(kernel: QuantizedKernel) -> np.ndarray:
    """βW / max|W| of each weight that the pattern allows, -1 elsewhere; flat.

    A signed-binary kernel has density d when delta is the (1 - d) quantile of these.
    """
    quantizer = kernel.quantizer
    if not isinstance(quantizer, SignedBinaryQuantizer):
        raise TypeError(f"Layer {kernel.name!r} is not signed-binary: {quantizer!r}.")
    w = quantizer.latent(tf.convert_to_tensor(kernel.latent))
    largest = tf.reduce_max(tf.abs(w), functional.REGION_AXES, keepdims=True)
    scores = tf.math.divide_no_nan(w * quantizer.beta(w), largest)
    allowed = quantizer.mask(w, {**kernel.variables, "delta": -1.0})
    return tf.where(allowed > 0, scores, -1.0).numpy().ravel()

"""Layers that are one operator each, for what Keras has no layer that converts to it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tf_signbin.train.keras3.layers import PACKAGE

_register = keras.saving.register_keras_serializable(package=PACKAGE)


@_register
class ChannelMean(keras.layers.Layer):
    """The mean over the last axis, which stays with size 1."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return ops.mean(inputs, axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], 1)


@_register
class UnitLength(keras.layers.Layer):
    """x / |x| over the last axis, as the converter knows it for one operator."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        squares = ops.sum(ops.square(inputs), axis=-1, keepdims=True)
        return inputs * ops.rsqrt(ops.maximum(squares, 1e-12))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

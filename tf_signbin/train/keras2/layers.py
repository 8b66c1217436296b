"""Layers that quantization puts into a model."""

from __future__ import annotations

import math
from typing import Any

from tensorflow_model_optimization.python.core.keras import utils

from tf_signbin.train.keras2.legacy_keras import keras, tf


class _AxisLayer(keras.layers.Layer):  # type: ignore[misc]
    def __init__(self, axis: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis = axis

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


class ExpandAxis(_AxisLayer):
    """Inserts an axis of size 1."""

    def call(self, x: Any) -> Any:
        return tf.expand_dims(x, self.axis)


class SqueezeAxis(_AxisLayer):
    """Removes an axis of size 1."""

    def call(self, x: Any) -> Any:
        return tf.squeeze(x, [self.axis])


class ReluAgain(keras.layers.Layer):  # type: ignore[misc]
    """A ReLU of what is at least 0 already, between two fake quantizations.

    When the model runs it is a depthwise convolution by 1 with a ReLU, whose integer kernel brings
    the tensor to the second scale. TFLite's RELU would, too, but takes 15 times as long, and rounds
    twice: 6% of the values between two of the coarse grid go to the wrong one.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, training: Any = None) -> Any:
        if training is None:
            training = keras.backend.learning_phase()
        return utils.smart_cond(training, lambda: tf.nn.relu(inputs), lambda: _times_one(inputs))


def _times_one(inputs: Any) -> Any:
    image, channels = inputs, inputs.shape[-1]
    if inputs.shape.rank != 4:
        image = tf.reshape(inputs, (-1, 1, math.prod(inputs.shape[1:-1]), channels))
    ones = tf.ones((1, 1, channels, 1), inputs.dtype)
    outputs = tf.nn.relu(tf.nn.depthwise_conv2d(image, ones, (1, 1, 1, 1), "VALID"))
    return outputs if inputs.shape.rank == 4 else tf.reshape(outputs, (-1, *inputs.shape[1:]))


CLASSES: dict[str, type] = {cls.__name__: cls for cls in (ExpandAxis, SqueezeAxis, ReluAgain)}

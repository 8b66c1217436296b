"""Layers that quantization puts into a model."""

from __future__ import annotations

import math
from typing import Any

from tensorflow_model_optimization.python.core.keras import utils

from tf_signbin.train.keras2.legacy_keras import keras, tf


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
        ones = tf.ones(inputs.shape[-1:], inputs.dtype)
        return utils.smart_cond(
            training, lambda: tf.nn.relu(inputs), lambda: _depthwise(inputs, ones, relu=True)
        )


def _depthwise(inputs: Any, scale: Any, shift: Any = None, relu: bool = False) -> Any:
    """scale * x + shift per channel, as one convolution; [C] each."""
    image, (_, *inner, channels) = inputs, inputs.shape
    static = None not in inner
    if inputs.shape.rank != 4:
        # Of unknown length: each step becomes an image of one pixel.
        image = tf.reshape(inputs, (-1, 1, math.prod(inner) if static else 1, channels))
    kernel = tf.reshape(scale, (1, 1, channels, 1))
    outputs = tf.nn.depthwise_conv2d(image, kernel, (1, 1, 1, 1), "VALID")
    if shift is not None:
        outputs = tf.nn.bias_add(outputs, shift)
    if relu:
        outputs = tf.nn.relu(outputs)
    if inputs.shape.rank == 4:
        return outputs
    return tf.reshape(outputs, (-1, *inner, channels) if static else tf.shape(inputs))


class ChannelScale(keras.layers.Layer):  # type: ignore[misc]
    """scale * x + shift per channel, as a depthwise 1x1 convolution when the model runs.

    A convolution has a scale per channel and a 32-bit bias: unlike int8 multiplication and addition
    of constants it is exact up to one rounding, and what follows can be folded into it.

    Args:
      trainable_scale: whether the optimizer moves `scale` and `shift`.
      use_shift: whether there is a `shift`.
      scale, shift: what they are at first.
    """

    def __init__(
        self,
        trainable_scale: bool = False,
        use_shift: bool = True,
        scale: float = 1.0,
        shift: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.trainable_scale, self.use_shift = bool(trainable_scale), bool(use_shift)
        self.initial = {"scale": float(scale), "shift": float(shift)}
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        def variable(name: str) -> Any:
            return self.add_weight(
                name,
                shape=(input_shape[-1],),
                initializer=keras.initializers.Constant(self.initial[name]),
                trainable=self.trainable_scale,
            )

        self.scale = variable("scale")
        self.shift = variable("shift") if self.use_shift else None
        super().build(input_shape)

    def call(self, inputs: Any, training: Any = None) -> Any:
        def product() -> Any:
            outputs = inputs * self.scale
            return outputs if self.shift is None else outputs + self.shift

        if training is None:
            training = keras.backend.learning_phase()
        return utils.smart_cond(
            training, product, lambda: _depthwise(inputs, self.scale, self.shift)
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self.initial,
            "trainable_scale": self.trainable_scale,
            "use_shift": self.use_shift,
        }


class _WithValue(keras.layers.Layer):  # type: ignore[misc]
    def __init__(self, value: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.value = float(value)
        self.supports_masking = True

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "value": self.value}


class Offset(_WithValue):
    """x + value."""

    def call(self, inputs: Any) -> Any:
        return inputs + self.value


class Factor(_WithValue):
    """x * value."""

    def call(self, inputs: Any) -> Any:
        return inputs * self.value


class ChannelMean(keras.layers.Layer):  # type: ignore[misc]
    """The mean over the last axis, which stays with size 1."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return tf.reduce_mean(inputs, axis=-1, keepdims=True)


class UnitLength(keras.layers.Layer):  # type: ignore[misc]
    """x / |x| over the last axis, one operator of LiteRT."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return tf.math.l2_normalize(inputs, axis=-1)


CLASSES: dict[str, type] = {
    cls.__name__: cls for cls in (ReluAgain, ChannelScale, Offset, Factor, ChannelMean, UnitLength)
}

"""Layers that the layout transforms put into a model."""

from __future__ import annotations

from typing import Any

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


CLASSES: dict[str, type] = {cls.__name__: cls for cls in (ExpandAxis, SqueezeAxis)}

"""`keras` and `tf` of the training runs: TensorFlow with Keras 2, chosen in one place."""

from __future__ import annotations

from tf_signbin.train.keras2.legacy_keras import keras, tf

__all__ = ["keras", "tf"]

"""TensorFlow with Keras 2, which tensorflow-model-optimization works on.

Every module of the examples takes `keras` and `tf` from here, so that the choice is made once.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
import tf_keras as keras

__all__ = ["keras", "tf"]

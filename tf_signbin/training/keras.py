"""`keras` and `tf` of the training runs: Keras 3 on TensorFlow, said in one place."""

from __future__ import annotations

import keras
import tensorflow as tf

__all__ = ["keras", "tf"]

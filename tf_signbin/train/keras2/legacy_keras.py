"""The one place where TensorFlow, Keras 2 and tfmot are imported.

tensorflow-model-optimization works on Keras 2, the package `tf_keras`, whatever `tf.keras` is. It
would set TF_USE_LEGACY_KERAS for the process and so decide which Keras `tf.keras` is for the user's
code, too. That stays the user's decision here: `tf.keras` is resolved before tfmot is imported, and
the variable is put back.
"""

from __future__ import annotations

import os
from importlib import metadata
from typing import Any

from tf_signbin.versions import UnsupportedVersionError, check_version, release

_SWITCH = "TF_USE_LEGACY_KERAS"


def _import_tensorflow() -> Any:
    import tensorflow as tf

    check_version("tensorflow", tf.__version__)
    _check_keras2(tf.__version__)
    check_version("tensorflow-model-optimization", _installed("tensorflow-model-optimization"))
    return tf


def _check_keras2(tensorflow: str) -> None:
    """tf_keras goes with the TensorFlow of the same number; another one fails in its depths."""
    found, wanted = _installed("tf_keras"), release(tensorflow)
    if wanted is not None and release(found) != wanted:
        raise UnsupportedVersionError(
            f"tf_keras {found} does not go with TensorFlow {tensorflow}: "
            f"pip install 'tf_keras~={wanted[0]}.{wanted[1]}.0'"
        )


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise ImportError(
            f"training needs the package {package}: pip install 'tf-signbin[train]'"
        ) from None


def _import_tfmot(tf: Any) -> Any:
    chosen = os.environ.get(_SWITCH)
    _ = tf.keras.Model  # the lazy module loads itself now
    try:
        import tensorflow_model_optimization as tfmot
    finally:
        if chosen is None:
            os.environ.pop(_SWITCH, None)
        else:
            os.environ[_SWITCH] = chosen
    return tfmot


tf: Any = _import_tensorflow()

import tf_keras  # noqa: E402  (its version is checked first)

keras: Any = tf_keras
tfmot_keras: Any = _import_tfmot(tf).quantization.keras

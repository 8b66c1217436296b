"""The one place where TensorFlow, Keras 2 and tfmot are imported.

tensorflow-model-optimization works on Keras 2 (the package `tf_keras`). TensorFlow decides which
Keras `tf.keras` is when `tf.keras` is first touched, from the variable TF_USE_LEGACY_KERAS. It is
set here while that is still possible; when it is too late, the import fails and says what to do.
"""

from __future__ import annotations

import os
from importlib import metadata
from typing import Any

from tf_signbin.versions import UnsupportedVersionError, check_version, release

_HOW_TO = (
    "tf_signbin trains with Keras 2 (the package tf_keras), because tensorflow-model-optimization "
    "does. Set the environment variable TF_USE_LEGACY_KERAS=1 before TensorFlow is imported, or "
    "import tf_signbin.train first."
)


def _import_keras2() -> Any:
    if os.environ.get("TF_USE_LEGACY_KERAS", "1") not in ("1", "true", "True"):
        raise ImportError(f"TF_USE_LEGACY_KERAS={os.environ['TF_USE_LEGACY_KERAS']!r}. {_HOW_TO}")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf

    check_version("tensorflow", tf.__version__)
    _check_keras2(tf.__version__)
    check_version("tensorflow-model-optimization", _installed("tensorflow-model-optimization"))
    # tf.keras may be Keras 3 already when a program touched it before this import.
    if not tf.keras.Model.__module__.startswith("tf_keras."):
        raise ImportError(f"tf.keras is already Keras 3 in this process. {_HOW_TO}")
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


tf: Any = _import_keras2()
keras: Any = tf.keras

import tensorflow_model_optimization as tfmot  # noqa: E402  (must follow the choice of Keras)

tfmot_keras: Any = tfmot.quantization.keras

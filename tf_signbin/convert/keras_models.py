"""Keras models as TensorFlow's converter can take them, of either Keras."""

from __future__ import annotations

import importlib
import json
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

_LOW_PRECISION = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def load_keras_file(path: str) -> Any:
    """The model of a .keras or .h5 file, loaded by the Keras that wrote it.

    Raises:
      ValueError: no file of Keras; it does not say by which Keras it was written, or does not load.
      ImportError: that Keras is not installed.
    """
    version = _keras_version(path)
    if int(version.partition(".")[0]) < 3:
        keras = importlib.import_module("tf_keras")
        from tf_signbin.train import quantize_scope

        with quantize_scope():
            return keras.models.load_model(path, compile=False)
    keras = importlib.import_module("keras")
    from tf_signbin.train import quantize_scope

    with quantize_scope():
        return keras.models.load_model(path, compile=False)


def _keras_version(path: str) -> str:
    """For example '2.17.0', from the file's own record."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            try:
                return str(json.loads(archive.read("metadata.json"))["keras_version"])
            except (KeyError, ValueError) as error:
                raise ValueError(f"{path}: a .zip file, but not one of Keras ({error})") from error
    import h5py

    try:
        with h5py.File(path) as file:
            version = file.attrs.get("keras_version", b"")
    except OSError as error:
        raise ValueError(f"{path}: neither a .keras nor an .h5 file: {error}") from error
    text = version.decode() if isinstance(version, bytes) else str(version)
    if not text:
        raise ValueError(f"{path}: holds no Keras model (weights alone do not say which)")
    return text


def convertible(model: Any) -> Any:
    """The model itself, or a copy that converts: in float32, and of batch 1 where it must be fixed.

    TFLite has no convolutions in float16, recurrent layers convert for a fixed batch only, and the
    channels of a convolution (which a quantized Dense on a sequence is) must be known: Keras knows
    what a Reshape to -1 gives, the converter does not.

    Raises:
      ValueError: a copy is needed, but the model is subclassed; or the model is an emulated one.
    """
    layers = list(model._flatten_layers())
    if any(getattr(layer, "emulates_a_kernel", False) for layer in layers):
        raise ValueError(
            f"model {model.name!r} was made by emulate() and cannot be converted: convert the "
            "model that it was made from, which has the same weights"
        )
    mixed = any(getattr(layer, "compute_dtype", None) in _LOW_PRECISION for layer in layers)
    recurrent = [layer.name for layer in layers if hasattr(layer, "return_sequences")]
    inputs = getattr(model, "inputs", None) or []
    dynamic = bool(recurrent) and any(tensor.shape[0] is None for tensor in inputs)
    reshapes = _open_reshapes(layers) if _is_functional(model) else {}
    if not mixed and not dynamic and not reshapes:
        return model
    if not hasattr(model, "get_config") or not _is_functional(model):
        raise ValueError(
            f"model {model.name!r} is subclassed and "
            + ("computes in float16" if mixed else f"has recurrent layers ({recurrent[0]!r})")
            + "; make it functional, or convert a concrete function in float32 with a fixed batch"
        )
    if dynamic:
        warnings.warn(
            f"model {model.name!r} has recurrent layers ({recurrent[0]!r}), which TensorFlow Lite "
            "converts for a fixed batch only: converted for a batch of 1. Give the model a "
            "batch_size for another",
            stacklevel=2,
        )
    config = _changed(model.get_config(), 1 if dynamic else None, mixed, reshapes)
    with _float32_policy(model), _training_classes():
        copy = type(model).from_config(config)
    copy.set_weights(model.get_weights())
    return copy


def keras2_function(model: Any) -> Any:
    """What a model of Keras 2 computes as a concrete function with its input and output names;
    None for another Keras, and for a subclassed model, whose outputs have no names."""
    if _package(model) != "tf_keras" or not getattr(model, "_is_graph_network", False):
        return None
    import tensorflow as tf

    @tf.function
    def serve(*args: Any, **kwargs: Any) -> dict[str, Any]:
        outputs = tf.nest.flatten(model(*args, **kwargs, training=False))
        return dict(zip(model.output_names, outputs, strict=True))

    args, kwargs = model.save_spec(dynamic_batch=False)
    return serve.get_concrete_function(*args, **kwargs)


def by_input_name(model: Any, dataset: Callable[[], Iterable[Any]]) -> Callable[[], Iterator[Any]]:
    """The dataset with names instead of positions: the converter sorts a model's inputs by name.

    Samples of a model of one input, and those that have names already, stay as they are.
    """
    names = getattr(model, "input_names", None)
    if names is None:
        names = [tensor.name for tensor in getattr(model, "inputs", None) or []]

    def named() -> Iterator[Any]:
        for sample in dataset():
            if len(names) < 2 or not isinstance(sample, list | tuple):
                yield sample
                continue
            if len(sample) != len(names):
                raise ValueError(
                    f"representative_dataset: a sample has {len(sample)} arrays, but the model "
                    f"{len(names)} inputs: {', '.join(names)}"
                )
            yield dict(zip(names, sample, strict=True))

    return named


def _is_functional(model: Any) -> bool:
    kinds = {cls.__name__ for cls in type(model).__mro__}
    return bool(kinds & {"Sequential", "Functional"})


def _open_reshapes(layers: Iterable[Any]) -> dict[str, tuple[int, ...]]:
    """Name to shape of the Reshape layers of Keras 2 that name a size -1 and whose result is known.

    They are asked for inside quantize wrappers, too.
    """
    found = {}
    for layer in layers:
        inner = getattr(layer, "layer", layer)
        shape = getattr(layer, "output_shape", None)
        if type(inner).__name__ != "Reshape" or not isinstance(shape, tuple):
            continue
        if -1 in inner.target_shape and None not in shape[1:]:
            found[str(inner.name)] = shape[1:]
    return found


def _changed(
    value: Any, batch: int | None, float32: bool, reshapes: dict[str, tuple[int, ...]]
) -> Any:
    """A configuration with another batch in its input shapes, float32 for lower precisions, and
    known sizes in its Reshape layers."""
    if isinstance(value, list | tuple):
        return type(value)(_changed(item, batch, float32, reshapes) for item in value)
    if not isinstance(value, dict):
        return value
    result = {key: _changed(item, batch, float32, reshapes) for key, item in value.items()}
    for key in ("batch_input_shape", "batch_shape", "build_input_shape"):
        if batch and isinstance(result.get(key), list | tuple) and result[key][0] is None:
            result[key] = type(result[key])([batch, *result[key][1:]])
    if float32 and _policy_name(result.get("dtype")) in _LOW_PRECISION:
        result["dtype"] = "float32"
    if "target_shape" in result and result.get("name") in reshapes:
        result["target_shape"] = reshapes[result["name"]]
    return result


def _package(model: Any) -> str:
    """The package of the model's Keras."""
    roots = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    return "tf_keras" if "tf_keras" in roots else "keras"


def _policy_name(dtype: Any) -> Any:
    """The name in a layer's `dtype`: a string, or a serialized policy."""
    return dtype.get("config", {}).get("name") if isinstance(dtype, dict) else dtype


@contextmanager
def _float32_policy(model: Any) -> Iterator[None]:
    """float32 for layers that the model's layers make for themselves."""
    keras = importlib.import_module(_package(model))
    policies = keras.mixed_precision
    read = getattr(policies, "dtype_policy", None) or policies.global_policy
    write = getattr(policies, "set_dtype_policy", None) or policies.set_global_policy
    before = read()
    write("float32")
    try:
        yield
    finally:
        write(before)


def _training_classes() -> Any:
    """Scope of the classes of quantized layers, when the training package has been imported."""
    training = sys.modules.get("tf_signbin.train")
    return nullcontext() if training is None else training.quantize_scope()

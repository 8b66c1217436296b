"""The stock TensorFlow Lite conversion of every kind of source."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from tf_signbin.convert.files import read_file
from tf_signbin.convert.keras3 import (
    has_other_backend,
    is_keras3,
    keras3_function,
    stock_in_other_process,
    with_layer_names,
)
from tf_signbin.convert.keras_models import by_input_name, convertible, keras2_function
from tf_signbin.quiet import quiet

RepresentativeDataset = Callable[[], Iterable[Any]]
_CAUSE_LINES, _CAUSE_WIDTH = 6, 300
_IO_TYPES = ("float32", "int8", "uint8")


def is_tflite(source: Any) -> bool:
    """Whether the source is a .tflite file already: its bytes, or a path to a file."""
    if isinstance(source, bytes | bytearray | memoryview):
        return True
    return isinstance(source, str | os.PathLike) and not os.path.isdir(source)


def source_name(source: Any) -> str:
    """What messages call a source: its path, or the name of the model."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return (
        name if isinstance(name, str) else "model"
    )  # a concrete function's is bytes, and internal


def stock_model(
    source: Any,
    activations: str | None = None,
    representative_dataset: RepresentativeDataset | None = None,
    input_type: str | None = None,
    output_type: str | None = None,
) -> bytes:
    """The stock .tflite file of a source; see `tf_signbin.convert` for the arguments."""
    if activations not in (None, "float32", "int8"):
        raise ValueError(f"activations={activations!r}: must be None, 'float32' or 'int8'")
    for name, value in (("input_type", input_type), ("output_type", output_type)):
        if value not in (None, *_IO_TYPES):
            raise ValueError(f"{name}={value!r}: must be None or one of {_IO_TYPES}")
    if is_tflite(source):
        if activations or representative_dataset or input_type or output_type:
            raise ValueError(
                "activations, representative_dataset, input_type and output_type cannot change a "
                ".tflite file; convert the Keras model or SavedModel with them instead"
            )
        if isinstance(source, str | os.PathLike):
            return read_file(source)
        return bytes(source)

    if has_other_backend(source):
        if representative_dataset is not None:
            raise ValueError(
                "representative_dataset needs Keras on TensorFlow: save the model and convert it "
                "in a process with KERAS_BACKEND=tensorflow"
            )
        arguments = {"activations": activations, "input_type": input_type}
        return stock_in_other_process(source, {**arguments, "output_type": output_type})

    import tensorflow as tf

    converter, has_fake_quant = _converter(tf, source)
    if activations is None:
        activations = "int8" if has_fake_quant or representative_dataset else "float32"
    if activations == "int8":
        if not (has_fake_quant or representative_dataset):
            raise ValueError(
                "activations='int8' needs a representative_dataset, because the model was not "
                "trained with int8 activations (quantize_model(..., activations='int8'))"
            )
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if representative_dataset is not None and hasattr(source, "layers"):
            representative_dataset = by_input_name(source, representative_dataset)
        converter.representative_dataset = representative_dataset
    elif representative_dataset is not None:
        raise ValueError("representative_dataset has no use with activations='float32'")
    for name, value in (
        ("inference_input_type", input_type),
        ("inference_output_type", output_type),
    ):
        if value is not None:
            if value != "float32" and activations != "int8":
                raise ValueError(f"{name[10:]}={value!r} needs activations='int8'")
            setattr(converter, name, tf.dtypes.as_dtype(value))
    try:
        with quiet():
            data = bytes(converter.convert())
    except Exception as error:
        # Its class derives from Exception and is in a private module; other errors are those of the
        # representative_dataset.
        if type(error).__name__ != "ConverterError":
            raise
        raise ConversionError(
            f"TensorFlow Lite's converter refuses {source_name(source)!r}: {_cause(str(error))}"
        ) from error

    return with_layer_names(data, source) if is_keras3(source) else data


class ConversionError(ValueError):
    """TensorFlow Lite's converter cannot convert the model; the whole message is the cause."""


def _cause(message: str) -> str:
    """What matters of the converter's many lines: those that name operators or errors."""
    lines = [line.partition("error: ")[2] or line for line in message.splitlines()]
    found = [
        line.strip()[:_CAUSE_WIDTH]
        for line, whole in zip(lines, message.splitlines(), strict=True)
        if "error: " in whole or line.startswith(("TF Select ops", "Details", "\ttf."))
    ]
    return "\n  ".join(dict.fromkeys(found[:_CAUSE_LINES])) or message.strip()[:_CAUSE_WIDTH]


def _converter(tf: Any, source: Any) -> tuple[Any, bool]:
    """TensorFlow's converter for a source, and whether its activations are fake-quantized."""
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if not os.path.exists(os.path.join(path, "saved_model.pb")):
            raise FileNotFoundError(f"{path}: not a SavedModel folder (it has no saved_model.pb)")
        return tf.lite.TFLiteConverter.from_saved_model(path), _saved_model_has_fake_quant(path)
    if hasattr(source, "graph") and hasattr(source, "structured_input_signature"):
        return _function_converter(tf, source), _graph_has_fake_quant(source.graph.as_graph_def())
    if hasattr(source, "layers") and hasattr(source, "call"):
        if not getattr(source, "built", False):
            raise ValueError(
                f"model {getattr(source, 'name', source)!r} has no input shape yet: call "
                "model.build(input_shape) or call it once on a batch before converting it"
            )
        from tf_signbin.train.api import has_fake_quantized_activations

        return _keras_converter(tf, convertible(source)), has_fake_quantized_activations(source)
    raise TypeError(
        f"cannot convert a {type(source).__name__}: give a Keras model, a SavedModel folder, a "
        "concrete function, or a .tflite file (bytes or path)"
    )


def _keras_converter(tf: Any, model: Any) -> Any:
    """TensorFlow's converter for a Keras model.

    Given a model, the converter exports it by way of Keras: Keras 2 writes functions of each layer
    for training and for inference, Keras 3 traces the model three times. That takes far longer than
    the conversion; given what the model computes, it writes the same file
    (tests/convert/test_sources.py).
    """
    from tf_signbin.train.constant_weights import constant_weights

    with constant_weights():
        function = keras3_function(model) if is_keras3(model) else keras2_function(model)
    if function is None or _other_resources(tf, function):
        return tf.lite.TFLiteConverter.from_keras_model(model)
    return _function_converter(tf, function)


def _function_converter(tf: Any, function: Any) -> Any:
    # The converter saves the function as part of this module, which must own its variables.
    owner = tf.Module()
    owner.variables_of_function = list(function.graph.variables)
    return tf.lite.TFLiteConverter.from_concrete_functions([function], owner)


def _other_resources(tf: Any, function: Any) -> bool:
    """Whether a function uses more than variables, such as the table of a StringLookup."""
    variables = {id(variable.handle) for variable in function.graph.variables}
    resources = [x for x, _ in function.graph.captures if x.dtype == tf.resource]
    return any(id(x) not in variables for x in resources)


def _graph_has_fake_quant(graph: Any) -> bool:
    """Whether a GraphDef fake-quantizes a tensor as a whole, as tfmot does for activations."""
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return any(node.op == "FakeQuantWithMinMaxVars" for node in nodes)


def _saved_model_has_fake_quant(path: str) -> bool:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    with open(os.path.join(path, "saved_model.pb"), "rb") as file:
        model.ParseFromString(file.read())
    return any(_graph_has_fake_quant(meta.graph_def) for meta in model.meta_graphs)

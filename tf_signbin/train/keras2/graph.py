"""Checks of a Keras 2 model, and rewrites of its graph before it is quantized."""

from __future__ import annotations

import dataclasses
from typing import Any

from tensorflow_model_optimization.python.core.quantization.keras import quantize_wrapper

from tf_signbin.train.keras2.facts import annotated
from tf_signbin.train.keras2.legacy_keras import keras, tf
from tf_signbin.train.keras2.trace import Trace, build, copy_layer, copy_state, named_outputs, trace
from tf_signbin.versions import release


def check_model(model: Any, function: str) -> None:
    """Raises unless `model` is a Sequential or Functional model with a known graph.

    Raises:
      TypeError: not a model.
      ValueError: a subclassed model, a Sequential model that is not built, or a quantized model.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"{function} needs a tf.keras model, not {type(model).__name__}. For one layer use "
            "quantize_annotate_layer."
        )
    if any(isinstance(layer, quantize_wrapper.QuantizeWrapper) for layer in model.layers):
        raise ValueError(f"{function}: {model.name!r} is quantized already.")
    if getattr(model, "_is_graph_network", False):
        return
    if isinstance(model, keras.Sequential):
        raise ValueError(
            f"{function}: the Sequential model {model.name!r} has no known input shape. Give its "
            "first layer input_shape=..., or call model.build(input_shape) first."
        )
    raise ValueError(
        f"{function}: {model.name!r} is a subclassed model ({type(model).__name__}), whose layers "
        "cannot be traced. Make it functional: inputs = tf.keras.Input(shape); model = "
        "tf.keras.Model(inputs, model.call(inputs)), which keeps its layers and weights."
    )


def check_precision(flat: Trace, activations: str) -> None:
    """Raises when a layer computes in a type that its quantization cannot: fake quantization of
    activations is for float32, and Keras 2.16 casts no variables of a layer that tfmot wraps."""
    if activations == "int8":
        needs = "activations='int8'"
        advice = ", or train with activations='float32'"
    elif release(tf.__version__) == (2, 16):
        needs = "quantization on TensorFlow 2.16"
        advice = ", or install TensorFlow 2.17 or later with its tf_keras"
    else:
        return
    for layer in flat.layers():
        if layer.compute_dtype not in ("float32", None) and "int" not in layer.compute_dtype:
            raise ValueError(
                f"{needs} needs float32 training, but layer {layer.name!r} computes in "
                f"{layer.compute_dtype}. Build the model under the float32 policy{advice}."
            )


def check_masks(flat: Trace) -> None:
    """Raises when a layer tells masked steps by a value that int8 rounds to another one."""
    for layer in map(annotated, flat.layers()):
        if type(layer).__name__ == "Masking" and layer.mask_value != 0.0:
            raise ValueError(
                f"layer {layer.name!r} (Masking) leaves out steps of {layer.mask_value}; "
                "activations='int8' round it to another value, only zero stays exact. Pad with "
                "zeros and use Masking(0.0), or train with activations='float32'."
            )


def is_nested(model: Any) -> bool:
    return any(isinstance(layer, keras.Model) for layer in model.layers)


def flatten(model: Any) -> Any:
    """A functional model without nested models, with copies of all layers and their weights.

    A layer keeps its name where that is unique, else it is prefixed by its model's name.

    Raises:
      ValueError: a nested model is subclassed or not built.
    """
    flat = trace(model, lambda inner: check_model(inner, "quantize_model"))
    copies = {id(layer): copy_layer(layer, flat.names[id(layer)]) for layer in flat.layers()}
    calls = [dataclasses.replace(call, layer=copies[id(call.layer)]) for call in flat.calls]
    result = build(flat, named_outputs(flat, calls))
    for layer in flat.layers():
        copy_state(layer, copies[id(layer)])
    return result

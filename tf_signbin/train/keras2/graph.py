"""Checks of a Keras 2 model, and rewrites of its graph before it is quantized."""

from __future__ import annotations

from typing import Any

from tensorflow_model_optimization.python.core.quantization.keras import quantize_wrapper

from tf_signbin.train.keras2.facts import annotated
from tf_signbin.train.keras2.legacy_keras import keras, tf
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


def check_precision(model: Any, activations: str) -> None:
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
    for layer in model.layers:
        if layer.compute_dtype not in ("float32", None) and "int" not in layer.compute_dtype:
            raise ValueError(
                f"{needs} needs float32 training, but layer {layer.name!r} computes in "
                f"{layer.compute_dtype}. Build the model under the float32 policy{advice}."
            )


def is_nested(model: Any) -> bool:
    return any(isinstance(layer, keras.Model) for layer in model.layers)


def flatten(model: Any) -> Any:
    """A functional model without nested models, with copies of all layers and their weights.

    A layer keeps its name where that is unique, else it is prefixed by its model's name.

    Raises:
      ValueError: a nested model is subclassed or not built.
    """
    copies: dict[int, Any] = {}
    names: set[str] = set()

    def copy_of(layer: Any, prefix: str) -> Any:
        if id(layer) not in copies:
            config = layer.get_config()
            name = layer.name if layer.name not in names else f"{prefix}_{layer.name}"
            while name in names:
                name += "_"
            names.add(name)
            config["name"] = name
            copies[id(layer)] = (layer, type(layer).from_config(config))
        return copies[id(layer)][1]

    def call(inner: Any, tensors: list[Any]) -> Any:
        check_model(inner, "quantize_model")
        known = {str(id(old)): new for old, new in zip(inner.inputs, tensors, strict=True)}
        for depth in sorted(inner._nodes_by_depth, reverse=True):
            for node in inner._nodes_by_depth[depth]:
                if node.is_input:
                    continue
                args, kwargs = _mapped_arguments(node, known)
                if isinstance(node.layer, keras.Model):
                    outputs = call(node.layer, _flat(args))
                else:
                    outputs = copy_of(node.layer, inner.name)(*args, **kwargs)
                for old, new in zip(_flat(node.outputs), _flat(outputs), strict=True):
                    known[str(id(old))] = new
        outputs = [known[str(id(t))] for t in inner.outputs]
        return outputs[0] if len(outputs) == 1 else outputs

    inputs = [
        keras.Input(batch_shape=tuple(t.shape), dtype=t.dtype, name=layer.name)
        for t, layer in zip(model.inputs, model._input_layers, strict=True)
    ]
    names.update(layer.name for layer in model._input_layers)
    flat = keras.Model(inputs, call(model, inputs), name=model.name)
    for old, new in copies.values():
        new.set_weights(old.get_weights())
        new.trainable = old.trainable
    return flat


def dense_as_convolutions(model: Any) -> Any:
    """The model with a convolution of size 1 in place of each Dense layer on a sequence or image.

    Both compute the same, but Keras writes such a Dense layer as reshapes around a product, and
    TFLite's converter then neither folds BatchNorm or the bias into it nor quantizes it for int8.
    Layers keep their names and weights, and annotations their QuantizeConfigs; a kernel
    [Ci, Co] becomes [1, Ci, Co] (Conv1D) or [1, 1, Ci, Co] (Conv2D). Call it inside quantize_scope.

    Args:
      model: flat, perhaps annotated. Returned as it is when it has no such layer.
    """
    windows = {
        layer.name: (1,) * (rank - 2)
        for layer in model.layers
        if type(annotated(layer)).__name__ == "Dense" and (rank := _input_rank(layer)) in (3, 4)
    }
    if not windows:
        return model

    def replace(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in windows:
            convolution = _pointwise_convolution(annotated(layer), windows[layer.name])
            if layer is annotated(layer):
                return convolution
            config["layer"] = keras.layers.serialize(convolution)
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=replace)
    for old, new in zip(model.layers, copy.layers, strict=True):
        weights = old.get_weights()
        if old.name in windows:
            weights[0] = weights[0].reshape(windows[old.name] + weights[0].shape)
        new.set_weights(weights)
    return copy


def _input_rank(layer: Any) -> int | None:
    """Number of dimensions of the layer's input; None where calls differ."""
    ranks = {len(node.input_shapes) for node in layer._inbound_nodes}
    return ranks.pop() if len(ranks) == 1 else None


def _pointwise_convolution(dense: Any, window: tuple[int, ...]) -> Any:
    config = dense.get_config()
    config["filters"] = config.pop("units")
    config["kernel_size"] = window
    return {1: keras.layers.Conv1D, 2: keras.layers.Conv2D}[len(window)].from_config(config)


def _flat(structure: Any) -> list[Any]:
    if isinstance(structure, dict):
        return [leaf for value in structure.values() for leaf in _flat(value)]
    if isinstance(structure, (list, tuple)):
        return [leaf for value in structure for leaf in _flat(value)]
    return [structure]


def _mapped_arguments(node: Any, known: dict[str, Any]) -> tuple[Any, Any]:
    def mapped(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: mapped(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(mapped(v) for v in value)
        return known.get(str(id(value)), value)

    return mapped(node.call_args), mapped(node.call_kwargs)

"""What quantize_model needs to know about a Keras model's graph: checks, nesting, layer roles."""

from __future__ import annotations

from typing import Any

from tensorflow_model_optimization.python.core.quantization.keras import quantize_wrapper

from tf_signbin.train.legacy_keras import keras, tf
from tf_signbin.versions import release

_WEIGHTED = ("Conv1D", "Conv2D", "Dense", "SeparableConv1D", "SeparableConv2D", "Conv2DTranspose")
_DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")
# Layers that a residual shortcut may hold between its 1x1 convolution and the addition.
_POINTWISE = ("BatchNormalization", "SyncBatchNormalization", "ReLU", "PReLU", "Activation",
              "Dropout", "SpatialDropout2D")  # fmt: skip


def check_model(model: Any, function: str) -> None:
    """Raises unless `model` is a Keras 2 Sequential or Functional model with a known graph.

    Raises:
      TypeError: not a model, or a Keras 3 model.
      ValueError: a subclassed model, a Sequential model that is not built, or a quantized model.
    """
    if not isinstance(model, keras.Model):
        origins = {cls.__module__.split(".")[0] for cls in type(model).__mro__}
        if "keras" in origins:
            raise TypeError(
                f"{function}: this is a Keras 3 model ({type(model).__name__}), but "
                "tensorflow-model-optimization works on Keras 2. Set TF_USE_LEGACY_KERAS=1 before "
                "TensorFlow is imported and build the model with tf.keras (package tf_keras); "
                "weights carry over with new_model.set_weights(old_model.get_weights())."
            )
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
        if type(_annotated(layer)).__name__ == "Dense" and (rank := _input_rank(layer)) in (3, 4)
    }
    if not windows:
        return model

    def replace(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in windows:
            convolution = _pointwise_convolution(_annotated(layer), windows[layer.name])
            if layer is _annotated(layer):
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


def _edges(model: Any) -> tuple[dict[str, Any], dict[str, list[str]], dict[str, list[str]]]:
    """Layers by name, and the names of each layer's producers and consumers inside the model."""
    layers: dict[str, Any] = {layer.name: layer for layer in model.layers}
    producers: dict[str, list[str]] = {name: [] for name in layers}
    consumers: dict[str, list[str]] = {name: [] for name in layers}
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            layers.setdefault(node.layer.name, node.layer)
            for parent in node.parent_nodes:
                producers.setdefault(node.layer.name, []).append(parent.layer.name)
                consumers.setdefault(parent.layer.name, []).append(node.layer.name)
    return layers, producers, consumers


def default_keep_dense(model: Any) -> set[str]:
    """Names of the layers that quantize_model keeps full precision (or int8) by default.

    These are the first convolutions (no convolution or dense layer before them), the last dense
    layers or convolutions (none after them), the 1x1 convolutions of residual shortcuts, and
    depthwise convolutions: the paper's choice.

    Args:
      model: a flat Sequential or Functional model.
    """
    check_model(model, "default_keep_dense")
    layers, producers, consumers = _edges(model)
    inner = {n: _annotated(layer) for n, layer in layers.items()}
    weighted = {n for n, layer in inner.items() if type(layer).__name__ in _WEIGHTED + _DEPTHWISE}

    def reaches(start: str, edges: dict[str, list[str]]) -> bool:
        """Whether another weighted layer lies behind `start`."""
        stack, seen = list(edges.get(start, ())), set()
        while stack:
            name = stack.pop()
            if name in weighted:
                return True
            if name not in seen:
                seen.add(name)
                stack.extend(edges.get(name, ()))
        return False

    keep = set()
    for name in weighted:
        layer = inner[name]
        first_convolution = type(layer).__name__ != "Dense" and not reaches(name, producers)
        if (
            first_convolution
            or not reaches(name, consumers)
            or type(layer).__name__ in _DEPTHWISE
            or _is_shortcut(name, inner, producers, consumers)
        ):
            keep.add(layer.name)
    return keep


def followed_by_batch_norm(model: Any) -> set[str]:
    """Names of the layers whose only consumer is a BatchNormalization."""
    layers, _, consumers = _edges(model)
    norms = ("BatchNormalization", "SyncBatchNormalization")
    return {
        layer.name
        for layer in map(_annotated, model.layers)
        if len(consumers[layer.name]) == 1
        and type(_annotated(layers[consumers[layer.name][0]])).__name__ in norms
        and getattr(layer, "activation", None) in (None, keras.activations.linear)
    }


def _annotated(layer: Any) -> Any:
    """The layer inside a QuantizeAnnotate wrapper."""
    return layer.layer if type(layer).__name__ == "QuantizeAnnotate" else layer


def _is_shortcut(
    name: str,
    layers: dict[str, Any],
    producers: dict[str, list[str]],
    consumers: dict[str, list[str]],
) -> bool:
    """A 1x1 convolution of a tensor that others use too, which goes straight into an addition."""
    layer = layers[name]
    if type(layer).__name__ not in ("Conv1D", "Conv2D") or any(k != 1 for k in layer.kernel_size):
        return False
    if not _input_is_shared(name, layers, producers, consumers):
        return False
    following = consumers[name]
    while len(following) == 1 and type(layers[following[0]]).__name__ in _POINTWISE:
        following = consumers[following[0]]
    return len(following) == 1 and type(layers[following[0]]).__name__ == "Add"


def _input_is_shared(
    name: str,
    layers: dict[str, Any],
    producers: dict[str, list[str]],
    consumers: dict[str, list[str]],
) -> bool:
    """Whether other layers use the layer's input, before or after pooling and padding."""
    skipped = ("AveragePooling2D", "MaxPooling2D", "AveragePooling1D", "MaxPooling1D",
               "ZeroPadding2D", "ZeroPadding1D")  # fmt: skip
    parents = producers[name]
    while len(parents) == 1:
        if len(consumers[parents[0]]) > 1:
            return True
        if type(layers[parents[0]]).__name__ not in skipped:
            return False
        parents = producers[parents[0]]
    return False

"""Layers inside of layers and of subclassed models, quantized in place.

A layer or model whose `call` the user wrote keeps its class, its attributes and its methods: the
convolutions and dense layers in it become their quantized forms where they are. Keras writes the
constructor's arguments to a file, not the layers inside, so the outer object's class is replaced by
a subclass that also writes which layers were quantized, and how.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from tf_signbin.train.keras3.layers import (
    PACKAGE,
    QUANTIZED,
    deserialize_quantizer,
    serialize_quantizer,
)
from tf_signbin.train.rules.quantizers import WeightQuantizer

# Where a layer is: the position in its parent's layers, in that one's parent's, and so on.
Path = tuple[int, ...]
_NAME = "QuantizedInside"


def holds_layers(operation: Any) -> bool:
    """Whether this is a layer of the user's with layers inside. Keras's own, such as
    TimeDistributed, call what is in them in ways of their own."""
    if not isinstance(operation, keras.Layer) or not operation._layers:
        return False
    return type(operation).__module__.partition(".")[0] not in ("keras", PACKAGE)


def paths(outer: Any) -> Iterator[tuple[Path, Any]]:
    """The layers inside of a layer or model, at any depth, each once."""
    seen = set()

    def walk(layer: Any, path: Path) -> Iterator[tuple[Path, Any]]:
        for i, inner in enumerate(layer._layers):
            if id(inner) not in seen:
                seen.add(id(inner))
                yield (*path, i), inner
                yield from walk(inner, (*path, i))

    return walk(outer, ())


def quantize_inside(outer: Any, quantizers: Mapping[Path, WeightQuantizer]) -> None:
    """Quantizes layers inside of `outer`, in place."""
    found = dict(paths(outer))
    for path, quantizer in quantizers.items():
        _quantize(found[path], quantizer)
    float_class: Any = type(outer)
    outer.__class__ = _quantized_class(float_class)
    outer.quantizers_inside = {_text(path): quantizer for path, quantizer in quantizers.items()}
    for function in ("train_function", "test_function", "predict_function"):
        if hasattr(outer, function):  # of a compiled model: the float one
            setattr(outer, function, None)


def _quantize(layer: Any, quantizer: WeightQuantizer) -> None:
    layer.__class__ = QUANTIZED[type(layer).__name__]
    layer.weight_quantizer = quantizer
    layer.quantizer_variables = {}
    if layer.built:
        _add_variables(layer)
        return
    build = layer.build  # which the instance has from the class that it was made with

    @functools.wraps(build)
    def build_quantized(input_shape: Any) -> None:
        build(input_shape)
        _add_variables(layer)

    layer.build = build_quantized


def _add_variables(layer: Any) -> None:
    layer._tracker.unlock()
    layer.add_quantizer_variables()
    layer._tracker.lock()


def _text(path: Path) -> str:
    return ".".join(map(str, path))


class QuantizedInside:
    """Mixin for the class of a layer or model in which layers were quantized in place."""

    float_class: type
    quantizers_inside: Mapping[str, WeightQuantizer]

    def get_config(self: Any) -> dict[str, Any]:
        mine = type(self)
        self.__class__ = mine.float_class  # Keras derives a configuration from the class
        try:
            layer = keras.saving.serialize_keras_object(self)
        finally:
            self.__class__ = mine
        layer.pop("compile_config", None)
        quantizers = {p: serialize_quantizer(q) for p, q in self.quantizers_inside.items()}
        return {"layer": layer, "quantizers": quantizers}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        layer = keras.saving.deserialize_keras_object(config["layer"], custom_objects)
        quantizers = {}
        for path, quantizer in config["quantizers"].items():
            restored = deserialize_quantizer(quantizer)
            assert restored is not None
            quantizers[tuple(map(int, path.split(".")))] = restored
        quantize_inside(layer, quantizers)
        return layer


@functools.cache
def _quantized_class(float_class: Any) -> Any:
    cls = type(
        float_class.__name__,
        (QuantizedInside, float_class),
        {"float_class": float_class, "__module__": float_class.__module__},
    )
    # All of them have one name in files: from_config finds the float class.
    return keras.saving.register_keras_serializable(PACKAGE, _NAME)(cls)


# For files, before a class was made in this process.
keras.saving.register_keras_serializable(PACKAGE, _NAME)(QuantizedInside)

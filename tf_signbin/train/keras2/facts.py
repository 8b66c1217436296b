"""A Keras 2 model as the plain facts that the rules decide on."""

from __future__ import annotations

from typing import Any

from tf_signbin.train.keras2.legacy_keras import keras
from tf_signbin.train.rules.layers import LayerFacts


def annotated(layer: Any) -> Any:
    """The layer inside tfmot's QuantizeAnnotate wrapper, or the layer itself."""
    return layer.layer if is_annotation(layer) else layer


def is_annotation(layer: Any) -> bool:
    return type(layer).__name__ == "QuantizeAnnotate"


def facts_of(layer: Any, inputs: tuple[str, ...] = ()) -> LayerFacts:
    """Facts of one layer, perhaps inside an annotation; `inputs` are the names of its producers."""
    inner = annotated(layer)
    return LayerFacts(
        name=inner.name,
        kind=type(inner).__name__,
        inputs=inputs,
        kernel_size=tuple(getattr(inner, "kernel_size", ())),
        groups=getattr(inner, "groups", 1),
        linear=getattr(inner, "activation", None) in (None, keras.activations.linear),
        annotated=inner is not layer,
        layer=inner,
    )


def model_facts(model: Any) -> list[LayerFacts]:
    """Facts of the layers of a flat model, in their order."""
    names = {id(layer): annotated(layer).name for layer in model.layers}
    inputs: dict[str, list[str]] = {name: [] for name in names.values()}
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            if id(node.layer) in names:
                inputs[names[id(node.layer)]] += [
                    names[id(parent.layer)]
                    for parent in node.parent_nodes
                    if id(parent.layer) in names
                ]
    return [facts_of(layer, tuple(inputs[names[id(layer)]])) for layer in model.layers]


def read_kernel(layer: Any, attribute: str) -> Any:
    """The values of a layer's kernel."""
    return getattr(layer, attribute).numpy()

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


def is_operation(layer: Any) -> bool:
    """Whether Keras made the layer of an operator or a TensorFlow function, such as `x + y`."""
    return type(layer).__name__ in ("TFOpLambda", "SlicingOpLambda")


_SUMS = ("__operators__.add", "math.add")  # of `x + y`


def _function(operation: Any) -> str | None:
    """The name of the TensorFlow function that the layer calls; None for a slice."""
    return operation.get_config().get("function")


def facts_of(layer: Any, inputs: tuple[str, ...] = ()) -> LayerFacts:
    """Facts of one layer, perhaps inside an annotation; `inputs` are the names of its producers."""
    inner = annotated(layer)
    return LayerFacts(
        name=inner.name,
        kind="Add" if is_operation(inner) and _function(inner) in _SUMS else type(inner).__name__,
        inputs=inputs,
        kernel_size=tuple(getattr(inner, "kernel_size", ())),
        groups=getattr(inner, "groups", 1),
        linear=getattr(inner, "activation", None) in (None, keras.activations.linear),
        annotated=inner is not layer,
        layer=inner,
    )


def read_kernel(layer: Any, attribute: str) -> Any:
    """The values of a layer's kernel."""
    return getattr(layer, attribute).numpy()

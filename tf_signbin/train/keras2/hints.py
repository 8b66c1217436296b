"""Warnings of quantize_model about weights that will not be quantized or packed."""

from __future__ import annotations

import warnings
from typing import Any

from tf_signbin.train.keras2.blocks import describe_hidden
from tf_signbin.train.keras2.facts import facts_of
from tf_signbin.train.keras2.proof import warn_of_what_does_not_convert
from tf_signbin.train.keras2.trace import Trace
from tf_signbin.train.rules.layers import KERNELS

_HANDED_ON = ("Dropout",)


def check_what_stays(flat: Trace, chosen: dict[str, Any], activations: str) -> None:
    """Warns of kernels inside custom layers, of what the converter will fold into kernels, and of
    what it does not convert at all.

    Raises:
      ValueError: int8 activations and a custom layer whose inside they cannot reach.
    """
    for layer in flat.layers():
        if id(layer) in flat.closed:
            _tell_of_hidden_kernels(layer, flat.closed[id(layer)], activations)
    if activations == "float32":
        _warn_of_folding(flat, chosen)
    warn_of_what_does_not_convert(flat)


def _tell_of_hidden_kernels(layer: Any, reason: str, activations: str) -> None:
    what = f"layer {layer.name!r} is {describe_hidden(layer)} ({reason})"
    if activations == "int8":
        raise ValueError(f"{what}, or train with activations='float32', which leaves it float.")
    warnings.warn(f"{what}; as it is they stay float.", stacklevel=5)


def _warn_of_folding(flat: Trace, chosen: dict[str, Any]) -> None:
    writer = {ref: call for call in flat.calls for ref in call.results}
    readers: dict[Any, int] = {}
    for call in flat.calls:
        for ref in call.inputs:
            readers[ref] = readers.get(ref, 0) + 1
    for call in flat.calls:
        if flat.names[id(call.layer)] not in chosen or type(call.layer).__name__ != "Dense":
            continue
        before = writer.get(call.inputs[0])
        while before is not None and type(before.layer).__name__ in _HANDED_ON:
            before = writer.get(before.inputs[0])
        if before is None or type(before.layer).__name__ != "BatchNormalization":
            continue
        source = writer.get(before.inputs[0])
        if (
            source is not None
            and type(source.layer).__name__ in KERNELS
            and facts_of(source.layer).linear
        ):
            continue  # it is folded there
        warnings.warn(
            f"BatchNormalization {before.layer.name!r} stands directly before the dense layer "
            f"{call.layer.name!r}: with float activations the converter folds it into the layer's "
            "weights, which then are not two-valued and stay dense. Put an activation between "
            "them, move the BatchNormalization behind the layer, or use activations='int8'.",
            stacklevel=5,
        )

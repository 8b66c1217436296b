"""Which layers of a Keras model were trained to be packed."""

from __future__ import annotations

from typing import Any

# Not imported: conversion must not pull in the training package. Quantizers derive from its base.
_TRAINING_PACKAGE = "tf_signbin.train"


def requested_layers(source: Any) -> list[str]:
    """Names of the layers with one of our quantizers; empty for sources that do not tell."""
    if not hasattr(source, "_flatten_layers"):
        return []
    names = []
    for layer in source._flatten_layers():
        config = getattr(layer, "quantize_config", None)
        if config is None or not hasattr(layer, "layer"):
            continue
        quantizers = [quantizer for _, quantizer in config.get_weights_and_quantizers(layer.layer)]
        if any(_is_ours(quantizer) for quantizer in quantizers):
            names.append(str(layer.name))
    return names


def _is_ours(quantizer: Any) -> bool:
    modules = [kind.__module__ for kind in type(quantizer).__mro__]
    return any(f"{module}.".startswith(f"{_TRAINING_PACKAGE}.") for module in modules)

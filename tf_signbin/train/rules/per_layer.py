"""Arguments that may differ from layer to layer: one value, name patterns, or a function."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tf_signbin.train.rules.layers import LayerFacts


def check_names(
    argument: str, name_patterns: Iterable[str], layers: Iterable[LayerFacts], kind: str = "layer"
) -> None:
    """Raises ValueError, naming argument and layers, for a pattern that matches no layer."""
    names = [layer.name for layer in layers]
    for pattern in name_patterns:
        if not fnmatch.filter(names, pattern):
            raise ValueError(
                f"{argument}: no {kind}'s name matches {pattern!r}. {kind.capitalize()}s: "
                f"{', '.join(names)}."
            )


def rule_of(
    argument: str, value: Any, layers: Sequence[LayerFacts]
) -> Callable[[LayerFacts], Any | None]:
    """What `value` means for each layer.

    Args:
      argument: its name, for errors.
      value: the same for all layers; a function of the Keras layer; or a dictionary from name
        patterns, as in fnmatch, of which the first that matches counts.
      layers: those with quantized weights.

    Returns:
      A function from a layer to its value; None where no name pattern matches.

    Raises:
      ValueError: a name pattern matches no layer.
    """
    if callable(value):
        return lambda layer: value(layer.layer)
    if not isinstance(value, Mapping):
        return lambda layer: value
    check_names(argument, value, layers, "quantized layer")

    def of_first_match(layer: LayerFacts) -> Any | None:
        matches = (v for p, v in value.items() if fnmatch.fnmatchcase(layer.name, p))
        return next(matches, None)

    return of_first_match

"""Which quantizer each layer gets, by the arguments of quantize_model."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_signbin.train.rules import inputs, patterns
from tf_signbin.train.rules import layers as layer_rules
from tf_signbin.train.rules.auto_pattern import AutoPattern
from tf_signbin.train.rules.layers import LayerFacts
from tf_signbin.train.rules.per_layer import check_names, rule_of
from tf_signbin.train.rules.quantizers import SignedBinaryQuantizer, WeightQuantizer

QuantizerChoice = WeightQuantizer | Callable[[Any], WeightQuantizer | None] | None
KeepDense = str | Iterable[str] | Callable[[Any], bool] | None
PatternChoice = (
    patterns.Pattern
    | AutoPattern
    | str
    | Mapping[str, patterns.Pattern | None]
    | Callable[[Any], patterns.Pattern | None]
    | None
)
DEFAULT_BACKGROUND = "centered"
DEFAULT_DELTA = 0.05


def keep_rule(layers: Sequence[LayerFacts], keep_dense: KeepDense) -> Callable[[LayerFacts], bool]:
    """Whether a layer is kept dense.

    Raises:
      ValueError: a name pattern matches no layer.
    """
    if keep_dense is None:
        kept = layer_rules.default_keep_dense(layers)
        return lambda layer: layer.name in kept
    if callable(keep_dense):
        return lambda layer: bool(keep_dense(layer.layer))
    name_patterns = [keep_dense] if isinstance(keep_dense, str) else list(keep_dense)
    check_names("keep_dense", name_patterns, layers)
    return lambda layer: any(fnmatch.fnmatchcase(layer.name, p) for p in name_patterns)


def select(
    layers: Sequence[LayerFacts], quantizer: QuantizerChoice, keep_dense: KeepDense
) -> dict[str, WeightQuantizer]:
    """The quantizer of each layer that gets one, by name.

    Args:
      layers: of a flat model.
      quantizer: one for all layers, or a function from layer to quantizer (None keeps the layer
        dense); default SignedBinaryQuantizer().
      keep_dense: name patterns as in fnmatch, or a predicate of the layer; default
        `layers.default_keep_dense`.

    Raises:
      TypeError: the function's answer is not a quantizer.
      ValueError: a name pattern matches no layer.
    """
    is_kept = keep_rule(layers, keep_dense)
    if quantizer is None:
        quantizer = SignedBinaryQuantizer()
    chosen = {}
    for layer in layers:
        if _is_candidate(layer) and not is_kept(layer):
            choice = quantizer(layer.layer) if callable(quantizer) else quantizer
            if choice is not None:
                chosen[layer.name] = check_quantizer(choice)
    return chosen


def _is_candidate(layer: LayerFacts) -> bool:
    return not layer.annotated and layer_rules.why_unsupported(layer) is None


def check_quantizer(quantizer: Any) -> WeightQuantizer:
    """Raises TypeError unless it is a WeightQuantizer."""
    if not isinstance(quantizer, WeightQuantizer):
        raise TypeError(
            "quantizer must be a SignedBinaryQuantizer, BinaryQuantizer or TernaryQuantizer (or "
            f"derive from WeightQuantizer), not {quantizer!r}."
        )
    return quantizer


def none_left(layers: Sequence[LayerFacts], keep_dense: KeepDense, model_name: str) -> ValueError:
    """The error when `select` finds nothing and nothing is annotated."""
    is_kept = keep_rule(layers, keep_dense)
    return ValueError(
        f"No layer of {model_name!r} is left to quantize. Kept dense: "
        f"{', '.join(sorted(layer.name for layer in layers if is_kept(layer)))}. "
        "Narrow keep_dense, or annotate layers with quantize_annotate_layer."
    )


@dataclasses.dataclass(frozen=True)
class Request:
    """The arguments by which quantize_model's user says how each layer is quantized."""

    activations: str = "float32"
    pattern: PatternChoice = None
    background: str | None = None
    delta: float | None = None
    scale: str | None = None
    quantizer: QuantizerChoice = None
    keep_dense: KeepDense = None
    input_bits: inputs.InputBits = None

    def __post_init__(self) -> None:
        layer_rules.check_activations(self.activations)
        inputs.check_activations(self.input_bits, self.activations)
        belonging = ("pattern", "background", "delta", "scale")
        given = [name for name in belonging if getattr(self, name) is not None]
        if self.quantizer is not None and given:
            raise ValueError(
                f"quantize_model: {', '.join(given)} and quantizer exclude each other. Give "
                f"{'it' if len(given) == 1 else 'them'} to the quantizer itself."
            )

    def select(
        self, layers: Sequence[LayerFacts], read_kernel: Callable[[Any, str], np.ndarray]
    ) -> dict[str, WeightQuantizer]:
        """The quantizer of each layer that gets one, by name; see `select`.

        Args:
          layers: of a flat model.
          read_kernel: the values of a layer's kernel, from the Keras layer and the attribute's
            name.
        """
        quantizer = self.quantizer or self._rule(layers, read_kernel)
        return select(layers, quantizer, self.keep_dense)

    def _rule(
        self, layers: Sequence[LayerFacts], read_kernel: Callable[[Any, str], np.ndarray]
    ) -> Callable[[Any], WeightQuantizer]:
        base = SignedBinaryQuantizer(
            delta=DEFAULT_DELTA if self.delta is None else self.delta,
            background=DEFAULT_BACKGROUND if self.background is None else self.background,
            scale=self.scale or "none",
        )
        pattern_of = _pattern_rule(
            layers, read_kernel, self.activations, self.pattern, base, self.keep_dense
        )
        followed = layer_rules.followed_by_batch_norm(layers)
        names = {id(layer.layer): layer.name for layer in layers}

        def choose(layer: Any) -> WeightQuantizer:
            name = names[id(layer)]
            automatic = "none" if name in followed else "mean"
            return base.with_options(pattern=pattern_of(name), scale=self.scale or automatic)

        return choose


def _pattern_rule(
    layers: Sequence[LayerFacts],
    read_kernel: Callable[[Any, str], np.ndarray],
    activations: str,
    pattern: PatternChoice,
    quantizer: SignedBinaryQuantizer,
    keep_dense: KeepDense,
) -> Callable[[str], patterns.Pattern | None]:
    """The function from a layer's name to its pattern that the argument stands for."""
    if isinstance(pattern, str):
        if pattern != "auto":
            raise ValueError(
                f"pattern={pattern!r} must be (n, m), None, 'auto', an AutoPattern, a dictionary "
                "or a function of the layer."
            )
        pattern = AutoPattern()
    is_kept = keep_rule(layers, keep_dense)
    quantized = [layer for layer in layers if _is_candidate(layer) and not is_kept(layer)]
    chosen: Mapping[str, patterns.Pattern | None]
    if isinstance(pattern, AutoPattern):
        kernels = {
            layer.name: read_kernel(layer.layer, layer_rules.KERNELS[layer.kind])
            for layer in quantized
        }
        chosen = pattern.choose(kernels, quantizer, activations)
    else:
        rule = rule_of("pattern", pattern, quantized)
        chosen = {layer.name: patterns.check_pattern(rule(layer)) for layer in quantized}
    return lambda name: chosen[name]

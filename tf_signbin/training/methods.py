"""What a network's weights may be: the methods that runs and studies compare."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

import tf_signbin
from tf_signbin.benchmark.weights import WeightSpec
from tf_signbin.training.choices import WEIGHTS
from tf_signbin.training.keras import keras

_IN_LABEL = ("weights", "background", "pattern", "pattern_from", "int8_layers", "input_bits")


@dataclasses.dataclass(frozen=True)
class Method:
    """A kind of weights with its choices.

    Those after `weights` are quantizer arguments, `background`, `pattern`, `delta` and
    `positive_share` signed-binary's; see tf_signbin.SignedBinaryQuantizer. With int8 activations
    'full_precision' means dense int8 weights, one scale per filter.

    pattern_from: the pattern is for layers of so many input channels or more; 0: all.
    int8_layers: names of layers that keep dense int8 weights and 8-bit inputs.
    input_bits: of the int8 inputs of quantized layers; see quantize_model.
    target_density: share of effectual weights to which delta moves in the first half of the
      training; None keeps delta.
    """

    weights: str = "signed_binary"
    background: str = "centered"
    pattern: tuple[int, int] | None = None
    pattern_from: int = 0
    int8_layers: tuple[str, ...] = ()
    delta: float = 0.05
    positive_share: float = 0.5
    scale: str = "none"
    estimator: str = "ste"
    region_channels: int | None = None
    input_bits: int = 8
    target_density: float | None = None

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights={self.weights!r} is not one of {', '.join(WEIGHTS)}.")
        if self.target_density is not None and self.weights != "signed_binary":
            raise ValueError("target_density is for signed-binary weights.")
        if self.pattern_from and self.pattern is None:
            raise ValueError("pattern_from needs a pattern.")
        if self.input_bits != 8 and self.weights == "full_precision":
            raise ValueError("input_bits is for quantized weights.")

    @property
    def label(self) -> str:
        """Short name for tables."""
        bits = f", {self.input_bits}-bit inputs" if self.input_bits != 8 else ""
        if self.weights != "signed_binary":
            return self.weights.replace("_", " ") + bits
        form = {"none": "paper", "centered": "centered", "learned": "learned"}[self.background]
        pattern = " {} of {}".format(*self.pattern) if self.pattern else ""
        if self.pattern_from:
            pattern += f" from {self.pattern_from} channels"
        if self.int8_layers:
            pattern += f" but {' '.join(self.int8_layers)}"
        return f"signed-binary {form}{pattern}{bits}"

    @property
    def name(self) -> str:
        """The label and what decides the density."""
        if self.weights != "signed_binary":
            return self.label
        if self.target_density is not None:
            return f"{self.label}, density {self.target_density:g}"
        return f"{self.label}, Δ {self.delta:g}"

    @property
    def key(self) -> str:
        """The label and every choice that differs from the defaults, as a file name."""
        words = [self.label.replace(",", "").replace(" ", "-")]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in _IN_LABEL and value != field.default:
                words.append(f"{field.name}-{value}")
        return "-".join(words)

    def of_layer(self, channels: int) -> Method:
        """The method of a layer with so many input channels: with or without the pattern."""
        pattern = self.pattern if channels >= self.pattern_from else None
        return dataclasses.replace(self, pattern=pattern, pattern_from=0, int8_layers=())

    def weight_spec(self) -> WeightSpec:
        """Random filters that take as long to run; of_layer first where layers differ."""
        if self.weights == "full_precision":
            return WeightSpec("dense")
        if self.weights != "signed_binary":
            return WeightSpec(self.weights)
        # Trained filters leave some of a pattern's places empty: densities of docs/codesign.md.
        pattern = self.pattern or (0, 0)
        density = min(0.34, 0.94 * pattern[0] / pattern[1]) if self.pattern else 0.34
        return WeightSpec(density=density, pattern=pattern, background=self.background != "none")

    def quantizer(self) -> Any:
        """The quantizer of the 3x3 convolutions, or a function from layer to quantizer; None for
        full precision."""
        if self.int8_layers or self.pattern_from:
            return self._quantizer_of
        common: dict[str, Any] = {
            "estimator": self.estimator,
            "region_channels": self.region_channels,
        }
        if self.weights == "binary":
            return tf_signbin.BinaryQuantizer(scale=self.scale, **common)
        if self.weights == "ternary":
            # TWN: its scale belongs to the method.
            return tf_signbin.TernaryQuantizer(**common)
        if self.weights == "signed_binary":
            return tf_signbin.SignedBinaryQuantizer(
                delta=self.delta,
                positive_share=self.positive_share,
                background=self.background,
                pattern=self.pattern,
                scale=self.scale,
                **common,
            )
        return None

    def _quantizer_of(self, layer: Any) -> Any:
        if layer.name in self.int8_layers:
            return None
        return self.of_layer(layer.kernel.shape[-2]).quantizer()

    def apply(self, model: Any, activations: str) -> Any:
        """The model with quantized weights and activations 'float32' or 'int8'; weights are kept.

        Full precision with float activations returns `model` itself.
        """
        quantizer = self.quantizer()
        if quantizer is not None:
            return tf_signbin.quantize_model(
                model, activations=activations, quantizer=quantizer, input_bits=self.input_bits
            )
        if activations == "float32":
            return model
        return tf_signbin.quantize_model(
            model, activations=activations, quantizer=lambda layer: None
        )


def copy_weights(source: Any, target: Any) -> None:
    """Copies trained weights between forms of one network: plain, quantized, float or int8.

    Variables are matched by path: a quantized layer keeps its name. What only the target has
    (ranges of activations, learned or not) keeps its value.

    Raises:
      ValueError: a trained variable of the target has no counterpart.
    """
    have = {v.path: v for v in source.variables}
    for variable in target.variables:
        counterpart = have.get(variable.path)
        if counterpart is not None and counterpart.shape == variable.shape:
            variable.assign(counterpart)
    trained = {v.path for v in target.trainable_variables}
    inputs = tf_signbin.low_bit_inputs(target)
    ranges = {v.path for each in inputs for v in each.variables.values()}
    missing = sorted(trained - ranges - set(have))
    if missing:
        raise ValueError(f"{source.name} lacks {', '.join(missing)} of {target.name}.")


def quantized_weights(model: Any) -> dict[str, np.ndarray]:
    """Layer name -> quantized kernel [KH, KW, Ci, Co]; layers that stay dense are not listed."""
    return {
        k.name: k.ops.convert_to_numpy(k.quantized()) for k in tf_signbin.quantized_kernels(model)
    }


def effectual(model: Any) -> tuple[int, int]:
    """Effectual (non-zero, or with a background: masked) and total weights of quantized layers.

    All weights of a binary network count as effectual, and in a full-precision one all weights of
    the convolutions that would be quantized.
    """
    kernels = tf_signbin.quantized_kernels(model)
    if not kernels:
        layers = filter(is_quantizable, model.layers)
        total = sum(math.prod(layer.kernel.shape) for layer in layers)
        return total, total
    total = sum(math.prod(k.latent.shape) for k in kernels)
    if isinstance(kernels[0].quantizer, tf_signbin.BinaryQuantizer):
        return total, total
    return sum(int(k.ops.convert_to_numpy(k.mask()).sum()) for k in kernels), total


def is_quantizable(layer: Any) -> bool:
    """Whether the methods other than full precision quantize this layer of `resnet`."""
    kept = layer.name.startswith("stem") or "shortcut" in layer.name
    return isinstance(layer, keras.layers.Conv2D) and not kept


def schedules(method: Method, epochs: int) -> list[Any]:
    """The callbacks that the method needs while it trains."""
    found: list[Any] = []
    if method.estimator == "ede":
        found.append(tf_signbin.EDESchedule(epochs))
    if method.target_density is not None:
        found.append(tf_signbin.DensitySchedule(method.target_density, 0, max(1, epochs // 2)))
    return found

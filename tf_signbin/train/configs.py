"""The QuantizeConfig that puts a weight quantizer on a layer."""

from __future__ import annotations

from typing import Any

from tf_signbin.train.legacy_keras import keras, tfmot_keras
from tf_signbin.train.quantizers import QUANTIZERS, SignedBinaryQuantizer, WeightQuantizer

ACTIVATIONS = ("float32", "int8")

# The kernel that is quantized in each supported layer class. Its last axis is the output channel
# and the one before it the input channel.
KERNELS: dict[str, str] = {
    "Conv1D": "kernel",
    "Conv2D": "kernel",
    "Dense": "kernel",
    "SeparableConv1D": "pointwise_kernel",
    "SeparableConv2D": "pointwise_kernel",
}


def check_activations(activations: str) -> str:
    if activations not in ACTIVATIONS:
        raise ValueError(f"activations={activations!r} is not one of 'float32', 'int8'.")
    return activations


def why_unsupported(layer: Any) -> str | None:
    """Why `layer` cannot hold a weight quantizer, or None when it can."""
    kind = type(layer).__name__
    if kind == "Conv2DTranspose":
        return (
            f"layer {layer.name!r} is a Conv2DTranspose, which has no packed operator. Keep it "
            "dense, or use UpSampling2D followed by Conv2D"
        )
    if kind not in KERNELS:
        return (
            f"layer {layer.name!r} is a {kind}; weights are quantized in {', '.join(KERNELS)} only"
        )
    if getattr(layer, "groups", 1) != 1:
        return (
            f"layer {layer.name!r} has groups={layer.groups}; only groups=1 has a packed operator"
        )
    return None


class SignedBinaryQuantizeConfig(tfmot_keras.QuantizeConfig):
    """Quantizes the kernel of a convolution or dense layer with one of our quantizers.

    Args:
      quantizer: a WeightQuantizer; default SignedBinaryQuantizer(), the paper's form.
      activations: 'float32' leaves activations alone; 'int8' fake-quantizes them with tfmot's
        moving-average quantizer, where tfmot's 8-bit scheme does.
      quantize_activation: False where the layer's output is quantized later, because a ReLU that
        TFLite fuses follows it.
    """

    def __init__(
        self,
        quantizer: WeightQuantizer | None = None,
        activations: str = "float32",
        quantize_activation: bool = True,
    ):
        if quantizer is None:
            quantizer = SignedBinaryQuantizer()
        if not isinstance(quantizer, WeightQuantizer):
            raise TypeError(
                f"quantizer must be one of {', '.join(QUANTIZERS)} (or derive from "
                f"WeightQuantizer), not {quantizer!r}."
            )
        self.activations = check_activations(activations)
        self.quantizer = quantizer.with_options(int8_grid=activations == "int8")
        self.quantize_activation = quantize_activation
        self._activation_quantizer = tfmot_keras.quantizers.MovingAverageQuantizer(
            num_bits=8, per_axis=False, symmetric=False, narrow_range=False
        )

    def with_activations(self, activations: str) -> SignedBinaryQuantizeConfig:
        """The same configuration for other activations."""
        return type(self)(self.quantizer, activations, self.quantize_activation)

    def without_activation_quantizer(self) -> SignedBinaryQuantizeConfig:
        """The same configuration where another layer quantizes the output."""
        return type(self)(self.quantizer, self.activations, quantize_activation=False)

    @staticmethod
    def kernel_name(layer: Any) -> str:
        reason = why_unsupported(layer)
        if reason:
            raise ValueError(f"{reason}.")
        return KERNELS[type(layer).__name__]

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, WeightQuantizer]]:
        return [(getattr(layer, self.kernel_name(layer)), self.quantizer)]

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        setattr(layer, self.kernel_name(layer), quantize_weights[0])

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        if self.activations == "float32" or not self.quantize_activation:
            return []
        return [(layer.activation, self._activation_quantizer)]

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        if quantize_activations:
            layer.activation = quantize_activations[0]

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return []

    def get_config(self) -> dict[str, Any]:
        serialized = {
            "class_name": type(self.quantizer).__name__,
            "config": self.quantizer.get_config(),
        }
        return {
            "quantizer": serialized,
            "activations": self.activations,
            "quantize_activation": self.quantize_activation,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SignedBinaryQuantizeConfig:
        name = config["quantizer"]["class_name"]
        quantizer_class = keras.utils.get_registered_object(name, module_objects=QUANTIZERS)
        if quantizer_class is None:
            raise ValueError(f"Unknown quantizer {name!r}; pass its class to quantize_scope.")
        quantizer = quantizer_class.from_config(config["quantizer"]["config"])
        return cls(quantizer, config["activations"], config["quantize_activation"])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SignedBinaryQuantizeConfig)
            and self.get_config() == other.get_config()
        )

    def __hash__(self) -> int:
        return hash(repr(self.get_config()))

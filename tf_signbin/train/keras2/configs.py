"""The QuantizeConfig that puts a weight quantizer on a layer."""

from __future__ import annotations

from typing import Any

from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_registry as default_8bit,
)

from tf_signbin.train.keras2.facts import facts_of
from tf_signbin.train.keras2.legacy_keras import keras, tfmot_keras
from tf_signbin.train.keras2.weights import MovingRangeQuantizer, TfmotQuantizer
from tf_signbin.train.rules.layers import KERNELS, check_activations, why_unsupported
from tf_signbin.train.rules.quantizers import QUANTIZERS, SignedBinaryQuantizer, WeightQuantizer
from tf_signbin.train.rules.selection import check_quantizer


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
        self.activations = check_activations(activations)
        self.quantizer = check_quantizer(quantizer).with_options(int8_grid=activations == "int8")
        self.quantize_activation = quantize_activation
        self._activation_quantizer = MovingRangeQuantizer(
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
        reason = why_unsupported(facts_of(layer))
        if reason:
            raise ValueError(f"{reason}.")
        return KERNELS[type(layer).__name__]

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, TfmotQuantizer]]:
        return [(getattr(layer, self.kernel_name(layer)), TfmotQuantizer(self.quantizer))]

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


def weights_config(layer: Any) -> tfmot_keras.QuantizeConfig | None:
    """tfmot's 8-bit quantization of a layer's weights alone; None for a layer without a kernel."""
    return {
        "Conv2D": default_8bit.Default8BitConvQuantizeConfig(["kernel"], [], False),
        "DepthwiseConv2D": default_8bit.Default8BitConvQuantizeConfig(
            ["depthwise_kernel"], [], False
        ),
        "Conv2DTranspose": default_8bit.Default8BitConvTransposeQuantizeConfig(
            ["kernel"], [], False
        ),
        "Conv1D": default_8bit.Default8BitQuantizeConfig(["kernel"], [], False),
        "DepthwiseConv1D": default_8bit.Default8BitQuantizeConfig(["depthwise_kernel"], [], False),
        "Dense": default_8bit.Default8BitQuantizeConfig(["kernel"], [], False),
    }.get(type(layer).__name__)

"""Quantization schemes: tfmot's 8-bit scheme widened, and a weights-only scheme.

tfmot applies a scheme in two steps. Its layout transformer arranges where fake quantization goes
(between convolution, BatchNorm and activation there must be none, so that TFLite can fold them),
and its registry says how a layer without an explicit QuantizeConfig is quantized. tfmot's
transforms skip every layer that has an explicit config; ours are therefore set aside while they
run, and put back after.
"""

from __future__ import annotations

import copy
from typing import Any

from tensorflow_model_optimization.python.core.quantization.keras import (
    quantize_layout_transform,
    quantize_registry,
    quantize_scheme,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_configs,
    default_8bit_quantize_registry,
    default_8bit_transforms,
)
from tensorflow_model_optimization.python.core.quantization.keras.graph_transformations import (
    model_transformer,
    transforms,
)

from tf_signbin.train.keras2 import layers
from tf_signbin.train.keras2.configs import SignedBinaryQuantizeConfig
from tf_signbin.train.keras2.layers import ExpandAxis, SqueezeAxis
from tf_signbin.train.keras2.legacy_keras import keras
from tf_signbin.train.rules.layers import check_activations


def _wider(pattern: transforms.LayerPattern) -> transforms.LayerPattern:
    """The pattern, with Conv1D where it has Conv2D, relu6 where relu, SqueezeAxis where Lambda."""
    config = dict(pattern.config)
    if config.get("activation") == "relu":
        config["activation"] = "relu|relu6"
    class_name = pattern.class_name
    if "Conv2D" in class_name.split("|"):
        class_name = f"Conv1D|{class_name}"
    if class_name == "Lambda":
        class_name = SqueezeAxis.__name__
    return transforms.LayerPattern(class_name, config, [_wider(p) for p in pattern.inputs])


def _widened(transform: type) -> Any:
    """tfmot's transform for the wider pattern."""

    class Widened(transform):  # type: ignore[misc, valid-type]
        def pattern(self) -> transforms.LayerPattern:
            return _wider(super().pattern())

    # The transformer remembers matches by class name.
    Widened.__name__ = f"Wider{transform.__name__}"
    return Widened()


class _SplitSeparableConv(default_8bit_transforms.SeparableConvQuantize):
    """tfmot's split of a SeparableConv2D, with names derived from the layer's."""

    def replacement(self, match_layer: Any) -> Any:
        name = match_layer.layer["config"]["name"]
        pointwise = super().replacement(match_layer)
        if pointwise is not match_layer:
            for node, part in ((pointwise, "pointwise"), (pointwise.input_layers[0], "depthwise")):
                node.layer["config"]["name"] = node.layer["name"] = f"{name}_{part}"
        return pointwise


class _SeparableConv1DAs2D(default_8bit_transforms.SeparableConv1DQuantize):
    """tfmot's transform with layers in place of its Lambdas, which files cannot hold safely."""

    def replacement(self, match_layer: Any) -> Any:
        data_format = match_layer.layer["config"]["data_format"]
        squeeze = super().replacement(match_layer)
        if squeeze is not match_layer:
            expand = squeeze.input_layers[0].input_layers[0]
            for node, layer in ((squeeze, SqueezeAxis), (expand, ExpandAxis)):
                name = node.layer["config"]["name"]
                axis = 1 if data_format == "channels_last" else 2
                node.layer.update(class_name=layer.__name__, config={"name": name, "axis": axis})
        return squeeze

    def custom_objects(self) -> dict[str, Any]:
        return {**super().custom_objects(), **layers.CLASSES}


def _int8_transforms() -> list[Any]:
    """tfmot's default transforms in tfmot's order, widened where they name Conv2D."""
    tfm = default_8bit_transforms
    return [
        tfm.InputLayerQuantize(),
        _SeparableConv1DAs2D(),
        _SplitSeparableConv(),
        _widened(tfm.Conv2DReshapeBatchNormReLUQuantize),
        _widened(tfm.Conv2DReshapeBatchNormActivationQuantize),
        _widened(tfm.Conv2DBatchNormReLUQuantize),
        _widened(tfm.Conv2DBatchNormActivationQuantize),
        _widened(tfm.Conv2DReshapeBatchNormQuantize),
        _widened(tfm.Conv2DBatchNormQuantize),
        tfm.ConcatTransform6Inputs(),
        tfm.ConcatTransform5Inputs(),
        tfm.ConcatTransform4Inputs(),
        tfm.ConcatTransform3Inputs(),
        tfm.ConcatTransform(),
        tfm.DenseBatchNormQuantize(),
        tfm.DenseBatchNormReLUQuantize(),
        _widened(tfm.DenseBatchNormActivationQuantize),
        _widened(tfm.LayerReLUQuantize),
        _widened(tfm.LayerReluActivationQuantize),
    ]


def _part_with_weights(name: str, names: set[str]) -> str:
    """The layer that holds the quantized kernel after a separable convolution was split."""
    for candidate in (name, f"{name}_pointwise", f"{name}_QAT_SepConv2D_pointwise"):
        if candidate in names:
            return candidate
    raise RuntimeError(f"Layer {name!r} has vanished in the layout transforms.")


class Int8LayoutTransform(quantize_layout_transform.QuantizeLayoutTransform):
    """tfmot's 8-bit layout for models that also hold our QuantizeConfigs."""

    def apply(self, model: Any, layer_quantize_map: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        metadata = copy.copy(layer_quantize_map)
        ours = {}
        for name, entry in layer_quantize_map.items():
            config = entry.get("quantize_config")
            if isinstance(config, SignedBinaryQuantizeConfig):
                ours[name] = config.with_activations("int8")
                metadata[name] = {"quantize_config": None}
        model, metadata = model_transformer.ModelTransformer(
            model, _int8_transforms(), set(metadata), metadata
        ).transform()
        names = {layer.name for layer in model.layers}
        for name, config in ours.items():
            part = _part_with_weights(name, names)
            replaced = metadata.get(part, {}).get("quantize_config")
            metadata[part] = {"quantize_config": _without_output(config, replaced)}
        return model, metadata


def _without_output(
    config: SignedBinaryQuantizeConfig, replaced: Any
) -> SignedBinaryQuantizeConfig:
    """`config`, without activation quantizer where a transform decided that there is none.

    LayerReLUQuantize gives a convolution before a ReLU a config that quantizes nothing, because
    the ReLU's output is quantized instead.
    """
    no_op = isinstance(replaced, default_8bit_quantize_configs.NoOpQuantizeConfig)
    return config.without_activation_quantizer() if no_op else config


class FloatLayoutTransform(quantize_layout_transform.QuantizeLayoutTransform):
    """Leaves the model as it is; only kernels are quantized."""

    def apply(self, model: Any, layer_quantize_map: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        metadata = {}
        for name, entry in layer_quantize_map.items():
            config = entry.get("quantize_config")
            if isinstance(config, SignedBinaryQuantizeConfig):
                config = config.with_activations("float32")
            metadata[name] = {"quantize_config": config}
        return model, metadata


class Int8Registry(default_8bit_quantize_registry.Default8BitQuantizeRegistry):
    """tfmot's 8-bit registry with the layers that it lacks and TFLite runs in int8."""

    def __init__(self) -> None:
        super().__init__()
        info = default_8bit_quantize_registry._QuantizeInfo
        for layer, weights, activations, output in (
            (keras.layers.PReLU, [], [], True),
            (keras.layers.Conv1D, ["kernel"], ["activation"], False),
            (keras.layers.MaxPooling1D, [], [], False),
            (keras.layers.GaussianNoise, [], [], False),
            # Without a convolution before it there is nothing to fold into.
            (keras.layers.BatchNormalization, [], [], True),
        ):
            self._layer_quantize_map[layer] = info(layer, weights, activations, output)


class FloatRegistry(quantize_registry.QuantizeRegistry):
    """Knows no layer: with float activations only explicitly configured layers are quantized."""

    def supports(self, layer: Any) -> bool:
        return False

    def get_quantize_config(self, layer: Any) -> Any:
        raise ValueError(
            f"Layer {layer.name!r} has no QuantizeConfig. With activations='float32' annotate only "
            "layers whose weights are quantized (tf_signbin.quantize_annotate_layer)."
        )


class SignedBinaryQuantizeScheme(quantize_scheme.QuantizeScheme):
    """The scheme for tfmot's quantize_apply.

    Args:
      activations: 'float32': only the annotated kernels are quantized. 'int8': activations and
        all other layers are quantized as in tfmot's default 8-bit scheme.
    """

    def __init__(self, activations: str = "float32"):
        self.activations = check_activations(activations)

    def get_layout_transformer(self) -> Any:
        return Int8LayoutTransform() if self.activations == "int8" else FloatLayoutTransform()

    def get_quantize_registry(self) -> Any:
        return Int8Registry() if self.activations == "int8" else FloatRegistry()

"""Quantization of Keras 2 models; `tf_signbin.train.api` documents the functions."""

from __future__ import annotations

from typing import Any

from tf_signbin.train.keras2 import graph, layers, wrapper
from tf_signbin.train.keras2.configs import SignedBinaryQuantizeConfig
from tf_signbin.train.keras2.facts import facts_of, is_annotation, model_facts, read_kernel
from tf_signbin.train.keras2.legacy_keras import keras, tfmot_keras
from tf_signbin.train.keras2.scheme import SignedBinaryQuantizeScheme
from tf_signbin.train.rules import layers as layer_rules
from tf_signbin.train.rules import selection
from tf_signbin.train.rules.quantizers import QUANTIZERS, WeightQuantizer

PREFIX = "quant_"


def quantize_scope(*custom_objects: dict[str, Any]) -> Any:
    ours = {
        **QUANTIZERS,
        **wrapper.CLASSES,
        **layers.CLASSES,
        SignedBinaryQuantizeConfig.__name__: SignedBinaryQuantizeConfig,
    }
    return tfmot_keras.quantize_scope(ours, *custom_objects)


def default_keep_dense(model: Any) -> set[str]:
    graph.check_model(model, "default_keep_dense")
    return layer_rules.default_keep_dense(model_facts(model))


def quantize_annotate_layer(
    to_annotate: Any, quantize_config: tfmot_keras.QuantizeConfig | WeightQuantizer | None = None
) -> Any:
    if quantize_config is None or isinstance(quantize_config, WeightQuantizer):
        quantize_config = SignedBinaryQuantizeConfig(quantize_config)
    if not isinstance(quantize_config, tfmot_keras.QuantizeConfig):
        raise TypeError(
            "quantize_annotate_layer: quantize_config must be a QuantizeConfig, such as "
            "SignedBinaryQuantizeConfig(), or a quantizer, such as SignedBinaryQuantizer(), not "
            f"{quantize_config!r}."
        )
    if isinstance(quantize_config, SignedBinaryQuantizeConfig):
        reason = layer_rules.why_unsupported(facts_of(to_annotate))
        if reason:
            raise ValueError(f"quantize_annotate_layer: {reason}.")
    return tfmot_keras.quantize_annotate_layer(to_annotate, quantize_config)


def quantize_annotate_model(
    model: Any,
    quantizer: selection.QuantizerChoice = None,
    keep_dense: selection.KeepDense = None,
    activations: str = "float32",
) -> Any:
    graph.check_model(model, "quantize_annotate_model")
    layer_rules.check_activations(activations)
    if graph.is_nested(model):
        model = graph.flatten(model)
    facts = model_facts(model)
    chosen = selection.select(facts, quantizer, keep_dense)
    if not chosen and not any(layer.annotated for layer in facts):
        raise selection.none_left(facts, keep_dense, model.name)
    if activations == "int8":
        _check_int8_layers(model)

    def annotate(layer: Any) -> Any:
        if is_annotation(layer):
            return layer
        if layer.name in chosen:
            return quantize_annotate_layer(layer, chosen[layer.name])
        return layer if activations == "float32" else tfmot_keras.quantize_annotate_layer(layer)

    return keras.models.clone_model(model, clone_function=annotate)


def quantize_apply(
    model: Any, activations: str = "float32", quantized_layer_name_prefix: str = PREFIX
) -> Any:
    graph.check_model(model, "quantize_apply")
    scheme = SignedBinaryQuantizeScheme(activations)
    graph.check_precision(model, activations)
    with quantize_scope():
        model = graph.dense_as_convolutions(model)
        quantized = tfmot_keras.quantize_apply(model, scheme, quantized_layer_name_prefix)
        return wrapper.stabilize(quantized)


def quantize_model(
    model: Any,
    activations: str = "float32",
    pattern: selection.PatternChoice = None,
    background: str | None = None,
    delta: float | None = None,
    keep_dense: selection.KeepDense = None,
    quantizer: selection.QuantizerChoice = None,
    scale: str | None = None,
) -> Any:
    graph.check_model(model, "quantize_model")
    if graph.is_nested(model):
        model = graph.flatten(model)
    quantizer = selection.quantizer_rule(
        model_facts(model),
        read_kernel,
        activations=activations,
        pattern=pattern,
        background=background,
        delta=delta,
        scale=scale,
        quantizer=quantizer,
        keep_dense=keep_dense,
    )
    annotated = quantize_annotate_model(model, quantizer, keep_dense, activations)
    return quantize_apply(annotated, activations)


def _check_int8_layers(model: Any) -> None:
    """Raises for layers that the 8-bit scheme does not know; tfmot would name one, and late."""
    supports = SignedBinaryQuantizeScheme("int8").get_quantize_registry().supports
    known = ("InputLayer", "SeparableConv1D", "SeparableConv2D", "Lambda")
    unknown = [
        f"{layer.name!r} ({type(layer).__name__})"
        for layer in model.layers
        if not is_annotation(layer) and type(layer).__name__ not in known and not supports(layer)
    ]
    if unknown:
        raise ValueError(
            f"activations='int8' does not know these layers: {', '.join(unknown)}. Use standard "
            "layers (keras.layers.Add for +), wrap each with tfmot's quantize_annotate_layer and a "
            "QuantizeConfig of your own, or train with activations='float32'."
        )

"""Quantization of Keras 2 models; `tf_signbin.train.api` documents the functions."""

from __future__ import annotations

import dataclasses
from typing import Any

from tf_signbin.train.keras2 import expand, graph, layers, operators, wrapper
from tf_signbin.train.keras2.configs import SignedBinaryQuantizeConfig, weights_config
from tf_signbin.train.keras2.facts import (
    annotated,
    facts_of,
    is_annotation,
    is_operation,
    read_kernel,
)
from tf_signbin.train.keras2.hints import check_what_stays
from tf_signbin.train.keras2.legacy_keras import keras, tfmot_keras
from tf_signbin.train.keras2.parts import Parts
from tf_signbin.train.keras2.trace import (
    Call,
    Trace,
    build,
    copy_layer,
    copy_state,
    named_outputs,
    trace,
    trace_facts,
)
from tf_signbin.train.keras2.weights import (
    MovingRangeQuantizer,
    TfmotInputQuantizer,
    WholeRangeQuantizer,
)
from tf_signbin.train.keras2.wrapper import StableQuantizeWrapper
from tf_signbin.train.rules import layers as layer_rules
from tf_signbin.train.rules import selection
from tf_signbin.train.rules.inputs import InputBits, wanted_bits, warn_of_signed_inputs
from tf_signbin.train.rules.placement import warn_of_floats
from tf_signbin.train.rules.quantizers import QUANTIZERS, WeightQuantizer

PREFIX = "quant_"


def quantize_scope(*custom_objects: dict[str, Any]) -> Any:
    ours = {
        **QUANTIZERS,
        **wrapper.CLASSES,
        **layers.CLASSES,
        SignedBinaryQuantizeConfig.__name__: SignedBinaryQuantizeConfig,
        TfmotInputQuantizer.__name__: TfmotInputQuantizer,
        MovingRangeQuantizer.__name__: MovingRangeQuantizer,
        WholeRangeQuantizer.__name__: WholeRangeQuantizer,
    }
    return tfmot_keras.quantize_scope(ours, *custom_objects)


# Keras finds the classes without the scope, too: in copies, pickles and files of this process.
for _objects in quantize_scope().custom_objects:
    keras.utils.get_custom_objects().update(_objects)


def default_keep_dense(model: Any) -> set[str]:
    graph.check_model(model, "default_keep_dense")
    return layer_rules.default_keep_dense(trace_facts(_trace(model)))


def _trace(model: Any) -> Trace:
    return trace(model, lambda inner: graph.check_model(inner, "quantize_model"))


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
    flat = _trace(model)
    facts = trace_facts(flat)
    chosen = selection.select(facts, quantizer, keep_dense)
    chosen = _some(chosen, facts, keep_dense, flat.name)
    copies: dict[int, Any] = {}
    for layer in flat.layers():
        inner, name = annotated(layer), flat.names[id(layer)]
        copy = copy_layer(inner, name)
        if is_annotation(layer):
            copy = tfmot_keras.quantize_annotate_layer(copy, layer.quantize_config)
        elif name in chosen:
            copy = quantize_annotate_layer(copy, chosen[name])
        elif activations == "int8" and not is_operation(layer):
            copy = tfmot_keras.quantize_annotate_layer(copy)
        copies[id(layer)] = copy
    calls = [dataclasses.replace(call, layer=copies[id(call.layer)]) for call in flat.calls]
    result = build(flat, calls)
    for layer in flat.layers():
        copy_state(annotated(layer), annotated(copies[id(layer)]))
    return result


def quantize_apply(
    model: Any,
    activations: str = "float32",
    quantized_layer_name_prefix: str = PREFIX,
    input_bits: InputBits = None,
) -> Any:
    graph.check_model(model, "quantize_apply")
    flat = _trace(model)
    configs = _annotations(flat)
    return _apply(flat, configs, activations, quantized_layer_name_prefix, input_bits)


def quantize_model(model: Any, request: selection.Request) -> Any:
    graph.check_model(model, "quantize_model")
    if graph.is_nested(model):
        model = graph.flatten(model)
    flat = _trace(model)
    facts = trace_facts(flat)
    chosen = _some(request.select(facts, read_kernel), facts, request.keep_dense, flat.name)
    activations = request.activations
    check_what_stays(flat, chosen, activations)
    configs: dict[int, Any] = {}
    for layer in flat.layers():
        if flat.names[id(layer)] in chosen:
            configs[id(layer)] = SignedBinaryQuantizeConfig(chosen[flat.names[id(layer)]])
        elif activations == "int8":
            configs[id(layer)] = None
    configs.update(_annotations(flat))
    return _apply(flat, configs, activations, PREFIX, request.input_bits)


def _annotations(flat: Trace) -> dict[int, Any]:
    """The QuantizeConfig, or None for the default, of each annotated layer, by id."""
    return {id(layer): layer.quantize_config for layer in flat.layers() if is_annotation(layer)}


def _some(
    chosen: dict[str, WeightQuantizer],
    facts: list[layer_rules.LayerFacts],
    keep_dense: selection.KeepDense,
    name: str,
) -> dict[str, WeightQuantizer]:
    """What was chosen; raises when it is nothing and nothing is annotated."""
    if not chosen and not any(layer.annotated for layer in facts):
        raise selection.none_left(facts, keep_dense, name)
    return chosen


def _apply(
    flat: Trace, configs: dict[int, Any], activations: str, prefix: str, input_bits: InputBits
) -> Any:
    """The quantized model.

    Args:
      flat: the float model; layers may be annotated.
      configs: QuantizeConfig by id of the layers to quantize, None for the default of int8.
      activations, prefix, input_bits: see quantize_apply.
    """
    layer_rules.check_activations(activations)
    int8 = activations == "int8"
    graph.check_precision(flat, activations)
    if int8:
        graph.check_masks(flat)
    ours = {flat.names[i] for i, c in configs.items() if isinstance(c, SignedBinaryQuantizeConfig)}
    facts = [layer for layer in trace_facts(flat) if layer.name in ours]
    wanted = wanted_bits(input_bits, facts, activations)
    own_configs = {
        key
        for key, config in configs.items()
        if config is not None and not isinstance(config, SignedBinaryQuantizeConfig)
    }
    alone = expand.norms_alone(flat, configs.keys() - own_configs)
    taken = set(flat.names.values())
    expanded: dict[int, Parts] = {}
    wrapped: dict[int, Any] = {}  # by id of a part
    own: set[int] = set()
    quantized: set[int] = set()
    calls: list[Call] = []  # of the layers, and of what is wrapped around them
    outer: list[Call] = []
    for call in flat.calls:
        layer, key = annotated(call.layer), id(call.layer)
        config = configs.get(key)
        is_own = key in own_configs
        if key not in expanded:
            name = flat.names[key]
            if key in configs and config is None and not int8:
                raise ValueError(
                    f"Layer {name!r} has no QuantizeConfig. With activations='float32' annotate "
                    "only layers whose weights are quantized (tf_signbin.quantize_annotate_layer)."
                )
            if is_own:
                parts = expand.plain(layer, name)
            else:
                to_int8 = int8 and (key in configs or is_operation(layer))
                parts = expand.expand(layer, name, call, to_int8, key in alone)
            parts.take_names(name, taken)
            expanded[key] = parts
            for part in parts.layers:
                chosen = config if part is parts.main else None
                if chosen is not None and not is_own:
                    chosen = chosen.with_activations(activations).without_activation_quantizer()
                if chosen is None and int8 and key in configs:
                    chosen = weights_config(part)
                wrapped[id(part)] = (
                    part
                    if chosen is None
                    else StableQuantizeWrapper(part, chosen, name_prefix=prefix)
                )
                if is_own:
                    own.add(id(part))
                if key in configs or is_operation(layer):
                    quantized.add(id(part))
        inner = expanded[key].calls(call, flat.new)
        calls += inner
        outer += [dataclasses.replace(c, layer=wrapped[id(c.layer)]) for c in inner]
    if int8:
        described = dataclasses.replace(flat, calls=calls)
        mains = {flat.names[i]: parts.main.name for i, parts in expanded.items()}
        low_bits = {mains[name]: bits for name, bits in wanted.items()}
        plan, inputs = operators.plan(described, quantized, own, low_bits)
        warn_of_signed_inputs(inputs.signed)
        in_float = operators.floats(described, quantized - own)
        if in_float:
            warn_of_floats(flat.name, in_float)
        skip = operators.unquantized(described, quantized, own, wrapped)
        names = {id(wrapped[id(call.layer)]): call.layer.name for call in calls}
        outer = operators.fake_quantized(flat, outer, plan, inputs, names, skip)
    model = build(flat, named_outputs(flat, outer, prefix))
    for parts in expanded.values():
        parts.load()
    return model

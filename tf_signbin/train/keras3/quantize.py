"""Quantization of Keras 3 models; `tf_signbin.train.api` documents the functions."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from tf_signbin.train.keras3 import graph, inside
from tf_signbin.train.keras3.facts import all_layers
from tf_signbin.train.keras3.fake_quantization import FakeQuantization
from tf_signbin.train.keras3.layers import FakeQuantize, QuantizeAnnotate, QuantizedWeights
from tf_signbin.train.keras3.lowering import Lowering
from tf_signbin.train.rules import layers as layer_rules
from tf_signbin.train.rules import selection
from tf_signbin.train.rules.inputs import InputBits, wanted_bits, warn_of_signed_inputs
from tf_signbin.train.rules.layers import LayerFacts
from tf_signbin.train.rules.placement import warn_of_floats
from tf_signbin.train.rules.quantizers import QUANTIZERS, SignedBinaryQuantizer, WeightQuantizer


def quantize_scope(*custom_objects: dict[str, Any]) -> Any:
    merged = dict(QUANTIZERS)
    for objects in custom_objects:
        merged.update(objects)
    return keras.saving.custom_object_scope(merged)


def default_keep_dense(model: Any) -> set[str]:
    _check_model(model, "default_keep_dense")
    return layer_rules.default_keep_dense(_facts(graph.trace(model)))


def quantize_annotate_layer(to_annotate: Any, quantize_config: Any = None) -> Any:
    if quantize_config is None:
        quantize_config = SignedBinaryQuantizer()
    selection.check_quantizer(quantize_config)
    reason = layer_rules.why_unsupported(graph.facts_of(to_annotate))
    if reason:
        raise ValueError(f"quantize_annotate_layer: {reason}.")
    return QuantizeAnnotate(to_annotate, quantize_config)


def quantize_annotate_model(
    model: Any,
    quantizer: selection.QuantizerChoice = None,
    keep_dense: selection.KeepDense = None,
    activations: str = "float32",
) -> Any:
    _check_model(model, "quantize_annotate_model")
    layer_rules.check_activations(activations)
    model = graph.flatten(model)
    facts = _facts(graph.trace(model))
    chosen = selection.select(facts, quantizer, keep_dense)
    _check_some(chosen, facts, keep_dense, model.name, activations)

    def annotate(layer: Any) -> Any:
        copy = graph.clone_layer(layer, layer.name)
        return quantize_annotate_layer(copy, chosen[layer.name]) if layer.name in chosen else copy

    result = keras.models.clone_model(model, clone_function=annotate)
    result.set_weights(model.get_weights())
    return result


def quantize_apply(
    model: Any,
    activations: str = "float32",
    quantized_layer_name_prefix: str = "",
    input_bits: InputBits = None,
) -> Any:
    del quantized_layer_name_prefix  # layers are replaced, not wrapped: they keep their names
    _check_model(model, "quantize_apply")
    layer_rules.check_activations(activations)
    flat = graph.trace(model)
    quantizers = _annotations(flat)
    _check_some(quantizers, _facts(flat), None, model.name, activations)
    request = selection.Request(activations, input_bits=input_bits)
    return _quantize(flat, quantizers, request, {}, _own_class(model))


def quantize_model(model: Any, request: selection.Request) -> Any:
    _check_model(model, "quantize_model", subclassed=True)
    int8 = request.activations == "int8"
    if graph.functional_of(model) is None and not int8:
        return _quantize_in_place(model, request)
    model_class = _own_class(model)
    try:
        if graph.functional_of(model) is None:
            model = _functional_form(model, replacing=True)
        elif graph.is_nested(model):
            model = graph.flatten(model)
        # int8 activations lie between the layers that the user's layers hold.
        flat = graph.trace(model, inside.holds_layers, True) if int8 else graph.trace(model)
    except graph.TracingError as error:
        raise ValueError(
            f"quantize_model: {error}. Write it with layers and keras.ops alone, or train with "
            "activations='float32', which quantizes the layers in it where they are."
        ) from error
    facts = _facts(flat) if int8 else _all_facts(model, request)
    chosen = _choose(model, facts, request)
    return _quantize(flat, _annotations(flat), request, chosen, model_class)


def _quantize_in_place(model: Any, request: selection.Request) -> Any:
    chosen = _choose(model, _all_facts(model, request), request)
    inside.quantize_inside(model, _by_path(model, chosen))
    return model


def _choose(
    model: Any, facts: list[LayerFacts], request: selection.Request
) -> dict[int, WeightQuantizer]:
    """The quantizers by the layers' ids."""
    chosen = request.select(facts, _read_kernel)
    _check_some(chosen, facts, request.keep_dense, model.name, request.activations)
    return {id(layer.layer): chosen[layer.name] for layer in facts if layer.name in chosen}


def _functional_form(model: Any, replacing: bool) -> Any:
    """The Functional model that a subclassed one's call makes; `replacing` as in graph.trace.

    Raises:
      TracingError: there is none.
    """
    shapes = (model.get_build_config() or {}).get("input_shape")
    if shapes is None:
        raise graph.TracingError(f"{model.name!r} takes several arguments")
    inputs = keras.tree.map_shape_structure(lambda s: keras.KerasTensor((None, *s[1:])), shapes)

    def call(tensors: list[Any], **arguments: Any) -> Any:
        return model.call(keras.tree.pack_sequence_as(inputs, tensors), **arguments)

    functional = graph.symbolic(model, keras.tree.flatten(inputs), call, replacing)
    functional.name = model.name
    return functional


def _all_facts(model: Any, request: selection.Request) -> list[LayerFacts]:
    """Facts of a model's layers and of those that the user's layers hold."""
    try:
        traced = model if graph.functional_of(model) else _functional_form(model, False)
        return _facts(graph.trace(traced, inside.holds_layers))
    except graph.TracingError as error:
        if request.keep_dense is None:
            raise ValueError(
                f"quantize_model: {error}. So the order of the layers is not known, nor which stay "
                "dense by default: say it with keep_dense, for example keep_dense=['stem', "
                "'classifier'] or a function of the layer."
            ) from error
    facts: dict[str, LayerFacts] = {}
    for _, layer in inside.paths(model):
        name = layer.name if layer.name not in facts else f"{layer.name}_{len(facts)}"
        facts[name] = dataclasses.replace(graph.facts_of(layer), name=name)
    return list(facts.values())


def _by_path(outer: Any, by_layer: dict[int, WeightQuantizer]) -> dict[Any, WeightQuantizer]:
    return {
        path: by_layer[id(layer)] for path, layer in inside.paths(outer) if id(layer) in by_layer
    }


_STEPS = ("train_step", "test_step", "predict_step", "compute_loss", "compute_metrics")


def _own_class(model: Any) -> Any:
    """The class of a Functional model that has training steps of its own, else None.

    Raises:
      ValueError: the model is subclassed, and the functional one in its place would lose them.
    """
    steps = [
        step for step in _STEPS if getattr(type(model), step) is not getattr(keras.Model, step)
    ]
    if steps and graph.functional_of(model) is None:
        raise ValueError(
            f"quantize_model: {model.name!r} ({type(model).__name__}) becomes a functional model "
            f"with int8 activations, and would lose the steps that it overrides "
            f"({', '.join(steps)}). Quantize the network that it trains before it is put in, or "
            "train with activations='float32'."
        )
    return type(model) if steps else None


def _read_kernel(layer: Any, attribute: str) -> Any:
    return keras.ops.convert_to_numpy(getattr(layer, attribute))


def _annotations(flat: graph.Trace) -> dict[str, WeightQuantizer]:
    return {
        call.name: call.operation.weight_quantizer
        for call in flat.calls
        if isinstance(call.operation, QuantizeAnnotate)
    }


def _quantize(
    flat: graph.Trace,
    quantizers: dict[str, WeightQuantizer],
    request: selection.Request,
    by_layer: dict[int, WeightQuantizer],
    model_class: Any = None,
) -> Any:
    """The quantized model.

    Args:
      flat: the float model.
      quantizers: of annotated layers, by name.
      request: how activations are quantized.
      by_layer: of other layers and of layers inside of layers, by id.
      model_class: of the result.
    """
    activations = request.activations
    if activations == "int8":
        _check_types(flat)
    within = {}
    for call in flat.calls:
        if id(call.operation) in by_layer:
            quantizers = {**quantizers, call.name: by_layer[id(call.operation)]}
        elif inside.holds_layers(call.operation):
            within[call.name] = _by_path(call.operation, by_layer)
    lowered = Lowering(flat, quantizers, activations, within)
    calls, find = lowered.calls, lowered.resolve
    outputs = keras.tree.map_structure(find, flat.outputs)
    if lowered.floats:
        warn_of_floats(flat.name, lowered.floats)
    if activations == "int8":
        layers = [layer for layer in _facts(flat) if layer.name in quantizers]
        wanted = wanted_bits(request.input_bits, layers, activations)
        wanted = {lowered.weighted[name]: bits for name, bits in wanted.items()}
        added = FakeQuantization(flat, calls, keras.tree.flatten(outputs), wanted)
        warn_of_signed_inputs(added.signed)
        calls, outputs = added.calls, keras.tree.map_structure(added.resolve, outputs)
    result = graph.build(flat.with_outputs(outputs), calls, flat.name, model_class)
    lowered.copy_weights()
    return result


def _facts(flat: graph.Trace) -> list[LayerFacts]:
    writers = {ref: call.name for call in flat.calls for ref in call.outputs}
    inputs: dict[str, list[str]] = {call.name: [] for call in flat.calls}
    for call in flat.calls:
        inputs[call.name] += [writers[ref] for ref in call.tensors() if ref in writers]
    operations = {call.name: call.operation for call in flat.calls}
    facts = []
    for name, operation in operations.items():
        annotated = isinstance(operation, QuantizeAnnotate)
        layer = operation.layer if annotated else operation
        found = graph.facts_of(layer, tuple(inputs[name]), annotated)
        facts.append(dataclasses.replace(found, name=name))
    return facts


def _check_some(
    chosen: dict[str, Any], facts: list[LayerFacts], keep_dense: Any, name: str, activations: str
) -> None:
    """Raises when nothing is quantized. With int8 activations dense weights are quantized too."""
    if not chosen and not any(layer.annotated for layer in facts) and activations == "float32":
        raise selection.none_left(facts, keep_dense, name)


def _check_types(flat: graph.Trace) -> None:
    names = [graph.input_name(x) for x in keras.tree.flatten(flat.inputs_struct)]
    inputs = dict(zip(flat.inputs, names, strict=True))
    for call in flat.calls:
        if getattr(call.operation, "compute_dtype", None) == "float64":
            raise ValueError(
                f"activations='int8' needs training in float32 or mixed precision, but layer "
                f"{call.name!r} computes in float64."
            )
        if type(call.operation).__name__ == "Embedding":
            continue
        for ref in flat.not_float.intersection(call.tensors()) & inputs.keys():
            if flat.not_float.isdisjoint(call.outputs):
                raise ValueError(
                    f"activations='int8' needs float32 inputs, but layer {call.name!r} reads "
                    f"integers of input {inputs[ref]!r}. Declare it as keras.Input(..., "
                    "dtype='float32'); the converted model can take uint8 or int8 all the same "
                    "(convert(..., input_type='uint8'))."
                )


def _check_model(model: Any, function: str, subclassed: bool = False) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"{function} needs a Keras model, not {type(model).__name__}. For one layer use "
            "quantize_annotate_layer."
        )
    if any(isinstance(layer, (QuantizedWeights, FakeQuantize)) for layer in all_layers(model)):
        raise ValueError(f"{function}: {model.name!r} is quantized already.")
    if graph.functional_of(model) is not None:
        return
    if isinstance(model, keras.Sequential):
        raise ValueError(
            f"{function}: the Sequential model {model.name!r} has no known input shape. Begin it "
            "with keras.Input(shape), or call model.build(input_shape) first."
        )
    if not subclassed:
        raise ValueError(
            f"{function}: {model.name!r} is a subclassed model ({type(model).__name__}), which "
            "quantize_model takes as it is. To annotate layers, make it functional: inputs = "
            "keras.Input(shape); model = keras.Model(inputs, model.call(inputs))."
        )
    if not model.built:
        raise ValueError(
            f"{function}: {model.name!r} ({type(model).__name__}) is not built. Call it once on a "
            "batch, or model.build(input_shape), so that its layers have weights."
        )

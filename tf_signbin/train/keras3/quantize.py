"""Quantization of Keras 3 models; `tf_signbin.train.api` documents the functions."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from tf_signbin.train.keras3 import graph
from tf_signbin.train.keras3.facts import all_layers
from tf_signbin.train.keras3.layers import (
    FakeQuantize,
    QuantizeAnnotate,
    QuantizedWeights,
)
from tf_signbin.train.keras3.lowering import Lowering
from tf_signbin.train.rules import layers as layer_rules
from tf_signbin.train.rules import selection
from tf_signbin.train.rules.layers import LayerFacts
from tf_signbin.train.rules.placement import Operator, Range, place
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
    model: Any, activations: str = "float32", quantized_layer_name_prefix: str = ""
) -> Any:
    del quantized_layer_name_prefix  # layers are replaced, not wrapped: they keep their names
    _check_model(model, "quantize_apply")
    layer_rules.check_activations(activations)
    flat = graph.trace(model)
    quantizers = _annotations(flat)
    _check_some(quantizers, _facts(flat), None, model.name, activations)
    return _quantize(flat, quantizers, activations)


def quantize_model(model: Any, request: selection.Request) -> Any:
    _check_model(model, "quantize_model")
    if graph.is_nested(model):
        model = graph.flatten(model)
    flat = graph.trace(model)
    facts = _facts(flat)
    chosen = request.select(facts, _read_kernel) | _annotations(flat)
    _check_some(chosen, facts, request.keep_dense, model.name, request.activations)
    return _quantize(flat, chosen, request.activations)


def _read_kernel(layer: Any, attribute: str) -> Any:
    return keras.ops.convert_to_numpy(getattr(layer, attribute))


def _annotations(flat: graph.Trace) -> dict[str, WeightQuantizer]:
    return {
        call.name: call.operation.weight_quantizer
        for call in flat.calls
        if isinstance(call.operation, QuantizeAnnotate)
    }


def _quantize(flat: graph.Trace, quantizers: dict[str, WeightQuantizer], activations: str) -> Any:
    if activations == "int8":
        _check_float32(flat)
    lowered = Lowering(flat, quantizers, activations)
    calls, find = lowered.calls, lowered.resolve
    outputs = keras.tree.map_structure(find, flat.outputs)
    if activations == "int8":
        calls, find = _with_fake_quantization(flat, calls, keras.tree.flatten(outputs))
        outputs = keras.tree.map_structure(find, outputs)
    result = graph.build(flat.with_outputs(outputs), calls, flat.name)
    lowered.copy_weights()
    return result


def _with_fake_quantization(
    flat: graph.Trace, calls: list[graph.Call], outputs: list[graph.Ref]
) -> Any:
    """The calls with fake quantizations between them, and the function to the quantized tensors."""
    operators = [
        Operator(call.name, call.kind, tuple(call.tensors()), tuple(call.outputs)) for call in calls
    ]
    plan = place(operators, flat.inputs, outputs)
    quantizers: dict[Range, FakeQuantize] = {}
    uses: dict[str, int] = {}
    quantized: dict[graph.Ref, graph.Ref] = {}
    result: list[graph.Call] = []
    count = 1 + max(ref.index for call in calls for ref in [*call.tensors(), *call.outputs])

    def quantize(tensor: graph.Ref, name: str) -> None:
        nonlocal count
        range_ = plan.ranges.get(tensor)
        if range_ is None:
            return
        if range_ not in quantizers:
            # A layer that is called again, and one with several outputs, has several ranges.
            uses[name] = uses.get(name, 0) + 1
            number = f"_{uses[name] - 1}" if uses[name] > 1 else ""
            name = f"{name}_quantize{number}"
            quantizers[range_] = FakeQuantize(range_.limits, name=name)
        kwargs = {} if range_.tensor == tensor else {"observe": False}
        out = graph.Ref(count)
        count += 1
        layer = quantizers[range_]
        result.append(graph.Call(layer.name, layer, (tensor,), kwargs, [out]))
        quantized[tensor] = out

    def find(tensor: graph.Ref) -> graph.Ref:
        return quantized.get(tensor, tensor)

    inputs = keras.tree.flatten(flat.inputs_struct)
    for tensor, x in zip(flat.inputs, inputs, strict=True):
        quantize(tensor, graph.input_name(x))
    for call in calls:
        args, kwargs = call.replaced(find)
        result.append(graph.Call(call.name, call.operation, args, kwargs, call.outputs))
        for tensor in call.outputs:
            quantize(tensor, call.name)
    return result, find


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


def _check_float32(flat: graph.Trace) -> None:
    for x in keras.tree.flatten(flat.inputs_struct):
        if x.dtype != "float32":
            raise ValueError(
                f"activations='int8' needs float32 inputs, but input {x.name!r} is {x.dtype}. "
                "Declare it as keras.Input(..., dtype='float32'); the converted model can take "
                "uint8 or int8 all the same (convert(..., input_type='uint8'))."
            )
    for call in flat.calls:
        if getattr(call.operation, "compute_dtype", None) not in ("float32", None):
            raise ValueError(
                f"activations='int8' needs float32 training, but layer {call.name!r} computes in "
                f"{call.operation.compute_dtype}. Build the model under the float32 policy, or "
                "train with activations='float32'."
            )


def _check_model(model: Any, function: str) -> None:
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
    raise ValueError(
        f"{function}: {model.name!r} is a subclassed model ({type(model).__name__}), whose layers "
        "cannot be traced. Make it functional: inputs = keras.Input(shape); model = "
        "keras.Model(inputs, model.call(inputs)), which keeps its layers and weights."
    )

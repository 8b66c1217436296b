"""A Keras 2 model as a flat list of calls, and back.

tfmot rewrites models as JSON by patterns of layers, which loses call arguments, the order of inputs
and names. Here a model is read call by call and built again from the calls; whatever was passed to
a layer is passed again.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tf_signbin.train.keras2.blocks import ClosedError, Graph, Opener, hidden_kernels
from tf_signbin.train.keras2.facts import annotated, facts_of, is_annotation
from tf_signbin.train.keras2.legacy_keras import keras, tf
from tf_signbin.train.rules.layers import LayerFacts


@dataclasses.dataclass(frozen=True)
class Ref:
    """A tensor of a trace, in the place of a KerasTensor."""

    index: int


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
      layer: what is called.
      args, kwargs: all of its arguments, with Ref where tensors are.
      outputs: the structure that it returns, of Ref.
      specs: of its input tensors, in the order of `inputs`.
      masked: whether one of them carries a Keras mask.
    """

    layer: Any
    args: Any
    kwargs: Any
    outputs: Any
    specs: tuple[Any, ...] = ()
    masked: bool = False

    @property
    def inputs(self) -> list[Ref]:
        return _refs((self.args, self.kwargs))

    @property
    def results(self) -> list[Ref]:
        return _refs(self.outputs)


@dataclasses.dataclass
class Trace:
    """A model without nesting.

    Attributes:
      name: of the model.
      inputs: its input structure, of KerasTensors.
      tensors: the inputs, flat, as Ref.
      calls: in an order in which they can run.
      outputs: its output structure, of Ref.
      names: of each layer, by id; unique.
      output_names: name of each output, flat.
      integers: tensors that hold no floating-point numbers.
      closed: why a layer that holds quantizable layers is a call of its own, by the layer's id.
      count: of the tensors.
    """

    name: str
    inputs: Any
    tensors: list[Ref]
    calls: list[Call]
    outputs: Any
    names: dict[int, str]
    output_names: list[str]
    integers: set[Ref] = dataclasses.field(default_factory=set)
    closed: dict[int, str] = dataclasses.field(default_factory=dict)
    count: int = 0

    def new(self) -> Ref:
        self.count += 1
        return Ref(self.count - 1)

    def layers(self) -> list[Any]:
        """The layers in the order of their first calls."""
        return list({id(call.layer): call.layer for call in self.calls}.values())


def _refs(structure: Any) -> list[Ref]:
    return [x for x in tf.nest.flatten(structure) if isinstance(x, Ref)]


def trace(model: Any, check: Any) -> Trace:
    """Reads a model; nested ones, and blocks that hold layers (blocks.py), are read in place of
    their calls, with the call's `training`.

    Layers keep their names where these are unique, else they are prefixed by their model's name;
    those of blocks are prefixed by the block's name.

    Args:
      model: Sequential or Functional.
      check: called on each nested model; raises when it has no graph.
    """
    flat = Trace(model.name, model._nested_inputs, [], [], None, {}, [])
    flat.tensors = [flat.new() for _ in model.inputs]
    _note_integers(flat, model.inputs, flat.tensors)
    taken = {layer.name for layer in model._input_layers}
    outputs = _Walk(flat, taken, check).read(Graph.of(model), flat.tensors, None)
    flat.outputs = tf.nest.pack_sequence_as(model._nested_outputs, outputs)
    inner = {layer.name: annotated(layer).name for layer in model.layers}
    flat.output_names = [inner.get(name, name) for name in model.output_names]
    return flat


class _Walk:
    """Reads the calls of a model into a trace."""

    def __init__(self, flat: Trace, taken: set[str], check: Any) -> None:
        self.flat, self.taken, self.check = flat, taken, check
        self.opener = Opener()

    def read(self, graph: Graph, inputs: list[Ref], training: Any) -> list[Ref]:
        """The results of a graph; `training` is the argument of the call that it stands for."""
        known = {id(t): ref for t, ref in zip(graph.inputs, inputs, strict=True)}
        for node in graph.nodes:
            args, kwargs = tf.nest.map_structure(
                lambda x: known.get(id(x), x), (node.call_args, node.call_kwargs)
            )
            results = self._call(graph, node, args, kwargs, training)
            known.update(
                (id(old), new)
                for old, new in zip(tf.nest.flatten(node.outputs), results, strict=True)
            )
        return [known[id(t)] for t in graph.outputs]

    def _call(self, graph: Graph, node: Any, args: Any, kwargs: Any, training: Any) -> list[Ref]:
        layer, passed = node.layer, kwargs.get("training")
        if isinstance(layer, keras.Model):
            self.check(layer)
            inputs = layer._flatten_to_reference_inputs(args[0] if args else kwargs["inputs"])
            return self.read(Graph.of(layer), inputs, training if passed is None else passed)
        flat = self.flat
        if id(layer) not in flat.names:
            name = graph.names.get(id(layer), annotated(layer).name)
            flat.names[id(layer)] = _unique(name, graph.name, self.taken)
        if not is_annotation(layer) and hidden_kernels(layer):
            try:
                name = flat.names[id(layer)]
                block = self.opener.open(layer, name, node.call_args, node.call_kwargs)
            except ClosedError as error:
                flat.closed[id(layer)] = str(error)
            else:
                inputs = _refs((args, kwargs))
                return self.read(block, inputs, training if passed is None else passed)
        if training is not None and passed is None and layer._expects_training_arg:
            kwargs = {**kwargs, "training": training}
        outputs = tf.nest.map_structure(lambda _: flat.new(), node.outputs)
        tensors = node.keras_inputs
        flat.calls.append(
            Call(
                layer, args, kwargs, outputs,
                tuple(tf.TensorSpec(t.shape, t.dtype) for t in tensors),
                any(getattr(t, "_keras_mask", None) is not None for t in tensors),
            )
        )  # fmt: skip
        results = _refs(outputs)
        _note_integers(flat, tf.nest.flatten(node.outputs), results)
        return results


def _note_integers(flat: Trace, tensors: list[Any], refs: list[Ref]) -> None:
    flat.integers.update(
        ref for t, ref in zip(tensors, refs, strict=True) if not t.dtype.is_floating
    )


def _unique(name: str, model_name: str, taken: set[str]) -> str:
    if name in taken:
        name = f"{model_name}_{name}"
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def trace_facts(flat: Trace) -> list[LayerFacts]:
    """Facts of the layers, in the order of their first calls."""
    writer = {ref: id(call.layer) for call in flat.calls for ref in call.results}
    inputs: dict[int, list[str]] = {id(layer): [] for layer in flat.layers()}
    for call in flat.calls:
        inputs[id(call.layer)] += [flat.names[writer[t]] for t in call.inputs if t in writer]
    return [
        dataclasses.replace(facts_of(layer, tuple(inputs[id(layer)])), name=flat.names[id(layer)])
        for layer in flat.layers()
    ]


def build(flat: Trace, calls: list[Call], outputs: Any = None) -> Any:
    """A Functional model that makes the calls on inputs like the trace's."""

    def new_input(x: Any) -> Any:
        name = x._keras_history.layer.name
        return keras.Input(batch_shape=tuple(x.shape), dtype=x.dtype, name=name)

    inputs = tf.nest.map_structure(new_input, flat.inputs)
    tensors = dict(zip(flat.tensors, tf.nest.flatten(inputs), strict=True))

    def find(x: Any) -> Any:
        return tensors[x] if isinstance(x, Ref) else x

    for call in calls:
        args, kwargs = tf.nest.map_structure(find, (call.args, call.kwargs))
        results = tf.nest.flatten(call.layer(*args, **kwargs))
        tensors.update(zip(call.results, results, strict=True))
    outputs = tf.nest.map_structure(find, flat.outputs if outputs is None else outputs)
    return keras.Model(inputs, outputs, name=flat.name)


def named_outputs(flat: Trace, calls: list[Call], prefix: str = "quant_") -> list[Call]:
    """The calls, with the model's outputs named as before.

    Keras names an output after the layer that writes it, and losses, metrics and signatures follow
    it. An identity of the old name is put behind a layer that is called otherwise.
    """
    writer = {tensor: call for call in calls for tensor in call.results}
    by_name = {call.layer.name: call.layer for call in calls}
    outputs, result = [], list(calls)
    for tensor, name in zip(tf.nest.flatten(flat.outputs), flat.output_names, strict=True):
        call = writer.get(tensor)
        if call is None or call.layer.name == name or not _may_be_named(name, flat):
            outputs.append(tensor)
            continue
        occupant = by_name.pop(name, None)
        if occupant is not None:
            occupant._name = f"{prefix}{name}"
        named = flat.new()
        result.append(Call(keras.layers.Activation("linear", name=name), (tensor,), {}, named))
        outputs.append(named)
    flat.outputs = tf.nest.pack_sequence_as(flat.outputs, outputs)
    return result


def _may_be_named(name: str, flat: Trace) -> bool:
    """Two outputs of one layer share a name, to which Keras appends a number itself."""
    return flat.output_names.count(name) == 1


def copy_layer(layer: Any, name: str) -> Any:
    """An unbuilt copy of a layer."""
    config = layer.get_config()
    if "name" in config:
        config["name"] = name
    # A function of the user's needs no registered name: it is handed on as it is.
    function = vars(layer).get("activation")
    by_hand = (
        "activation" in config
        and callable(function)
        and not isinstance(function, keras.layers.Layer)
    )
    if by_hand:
        config["activation"] = "linear"
    copy = type(layer).from_config(config)
    if by_hand:
        copy.activation = function
    # Operators such as `x + y` and slices have no name in their configuration.
    copy._name = name
    return copy


def copy_state(old: Any, new: Any) -> None:
    """Weights and trainable flags of a layer, also of the layers inside it."""
    for source, target in zip(old._flatten_layers(), new._flatten_layers(), strict=True):
        target._trainable = source._trainable
    new.set_weights(old.get_weights())

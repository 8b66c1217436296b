"""A Keras 3 model as a flat list of calls, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import tree

from tf_signbin.train.rules.layers import LayerFacts


@dataclasses.dataclass(frozen=True)
class Ref:
    """A tensor of a trace, in the place of a KerasTensor."""

    index: int


@dataclasses.dataclass
class Call:
    """One call of a layer, or of an operation such as `x + y`.

    Attributes:
      name: unique in the trace for each operation.
      operation: what is called.
      args, kwargs: structures with Ref where tensors are.
      outputs: the tensors that come back, flat.
      kind: LiteRT operator, where it is known.
    """

    name: str
    operation: Any
    args: Any
    kwargs: Any
    outputs: list[Ref]
    kind: str = ""

    def tensors(self) -> list[Ref]:
        return [x for x in tree.flatten((self.args, self.kwargs)) if isinstance(x, Ref)]

    def replaced(self, find: Callable[[Ref], Any]) -> tuple[Any, Any]:
        """args and kwargs with what `find` gives for each tensor."""
        return tree.map_structure(
            lambda x: find(x) if isinstance(x, Ref) else x, (self.args, self.kwargs)
        )


@dataclasses.dataclass
class Trace:
    """A model without nesting. `outputs` is the model's output structure with Ref leaves."""

    name: str
    inputs_struct: Any
    inputs: list[Ref]
    calls: list[Call]
    outputs: Any
    count: int
    shapes: dict[Ref, tuple[int | None, ...]]
    not_float: frozenset[Ref]  # tensors of integers and booleans
    masked: frozenset[Ref]  # those with a mask

    def with_outputs(self, outputs: Any) -> Trace:
        return dataclasses.replace(self, outputs=outputs)


def functional_of(model: Any) -> Any:
    """The Functional model behind a Sequential or Functional one, or None."""
    if isinstance(model, keras.Sequential):
        return model._functional
    return model if hasattr(model, "_nodes_by_depth") else None


def trace(
    model: Any, opened: Callable[[Any], bool] = lambda layer: False, replacing: bool = False
) -> Trace:
    """Flattens a built Functional or Sequential model.

    Layers keep their names where these are unique, else they are prefixed by their model's name.

    Args:
      model: with a known graph.
      opened: which layers to open, so that the calls that they make are traced in place of theirs.
        The names of layers inside begin with the outer layer's.
      replacing: whether a network is made of the calls, so that the opened layers must do nothing
        else.

    Raises:
      TracingError: a layer cannot be opened.
    """
    functional = functional_of(model)
    tracer = _Tracer(opened, replacing)
    inputs = [tracer.new() for _ in functional.inputs]
    tracer.note(inputs, functional.inputs)
    outputs = tracer.walk(functional, inputs, "", None)
    return Trace(
        model.name,
        functional._inputs_struct,
        inputs,
        tracer.calls,
        tree.pack_sequence_as(functional._outputs_struct, outputs),
        tracer.count,
        tracer.shapes,
        frozenset(tracer.not_float),
        frozenset(tracer.masked),
    )


class TracingError(ValueError):
    """A `call` of the user's cannot be traced; the message says which and why."""


def symbolic(
    layer: Any, inputs: Sequence[Any], call: Callable[..., Any], replacing: bool = False
) -> Any:
    """The Functional model of the calls that a layer or subclassed model makes.

    Args:
      layer: whose `call` is run with symbolic tensors.
      inputs: a KerasTensor for each tensor that it takes.
      call: calls it with such tensors, and perhaps training=True.
      replacing: see `trace`.

    Raises:
      TracingError: `call` does what has no symbolic form or, for `replacing`, what its layers and
        operations do not do by themselves.
    """
    name = f"{layer.name!r} ({type(layer).__name__})"

    def functional(**arguments: Any) -> Any:
        fresh = [keras.Input(batch_shape=x.shape, dtype=x.dtype) for x in inputs]
        try:
            return keras.Model(fresh, call(fresh, **arguments))
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise TracingError(f"the call of {name} cannot be traced: {lines[0]}") from error

    result = functional()
    if replacing:
        own = [variable.name for variable in layer._trainable_variables]
        if own:
            raise TracingError(f"{name} has variables of its own: {', '.join(own)}")
        if layer._call_has_training_arg:
            trained = functional(training=True)
            kinds = [[type(x) for x in model.operations] for model in (result, trained)]
            if kinds[0] != kinds[1]:
                raise TracingError(f"the call of {name} does something else in training")
    return result


class _Tracer:
    def __init__(self, opened: Callable[[Any], bool], replacing: bool) -> None:
        self.opened, self.replacing = opened, replacing
        self.calls: list[Call] = []
        self.names: dict[int, str] = {}
        self.shapes: dict[Ref, tuple[int | None, ...]] = {}
        self.dtypes: dict[Ref, str] = {}
        self.not_float: set[Ref] = set()
        self.masked: set[Ref] = set()
        self.always_prefixed = False
        self.count = 0

    def new(self) -> Ref:
        self.count += 1
        return Ref(self.count - 1)

    def note(self, refs: list[Ref], tensors: list[Any]) -> None:
        for ref, tensor in zip(refs, tensors, strict=True):
            self.shapes[ref], self.dtypes[ref] = tuple(tensor.shape), tensor.dtype
            if "float" not in tensor.dtype:
                self.not_float.add(ref)
            if getattr(tensor, "_keras_mask", None) is not None:
                self.masked.add(ref)

    def walk(self, model: Any, inputs: list[Ref], prefix: str, training: Any) -> list[Ref]:
        known = dict(zip(map(id, model.inputs), inputs, strict=True))

        def find(x: Any) -> Any:
            return known[id(x)] if isinstance(x, keras.KerasTensor) else x

        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if node.is_input or any(id(x) not in known for x in node.input_tensors):
                    continue
                args, kwargs = node.arguments.convert(find)
                outputs = self.call(node.operation, args, kwargs, node.outputs, prefix, training)
                known.update(zip(map(id, node.outputs), outputs, strict=True))
        return [known[id(x)] for x in model.outputs]

    def call(
        self, operation: Any, args: Any, kwargs: Any, results: Any, prefix: str, training: Any
    ) -> list[Ref]:
        inner = functional_of(operation) if isinstance(operation, keras.Model) else None
        if inner is not None:
            tensors = [x for x in tree.flatten((args, kwargs)) if isinstance(x, Ref)]
            return self.walk(inner, tensors, operation.name, kwargs.get("training", training))
        if self.opened(operation):
            return self.open(operation, args, kwargs, prefix, training)
        if training is not None and getattr(operation, "_call_has_training_arg", False):
            kwargs = {"training": training, **kwargs}
        outputs = [self.new() for _ in results]
        self.note(outputs, results)
        name = self.unique_name(operation, prefix)
        self.calls.append(Call(name, operation, args, kwargs, outputs))
        return outputs

    def open(self, layer: Any, args: Any, kwargs: Any, prefix: str, training: Any) -> list[Ref]:
        """Traces what the layer calls."""
        refs = [x for x in tree.flatten((args, kwargs)) if isinstance(x, Ref)]
        inputs = [keras.KerasTensor(self.shapes[r], self.dtypes[r]) for r in refs]

        def call(tensors: list[Any], **arguments: Any) -> Any:
            known = dict(zip(refs, tensors, strict=True))
            a, k = tree.map_structure(
                lambda x: known[x] if isinstance(x, Ref) else x, (args, kwargs)
            )
            return layer.call(*a, **{**k, **arguments})

        inner = symbolic(layer, inputs, call, self.replacing)
        name = f"{prefix}_{layer.name}" if prefix else layer.name
        before, self.always_prefixed = self.always_prefixed, True
        try:
            return self.walk(inner, refs, name, kwargs.get("training", training))
        finally:
            self.always_prefixed = before

    def unique_name(self, operation: Any, prefix: str) -> str:
        if id(operation) not in self.names:
            # An annotation stands for the layer in it.
            name = getattr(operation, "annotated_name", operation.name)
            taken = set(self.names.values())
            if name in taken or self.always_prefixed:
                name = f"{prefix}_{name}" if prefix else name
            base, number = name, 1
            while name in taken:
                name, number = f"{base}_{number}", number + 1
            self.names[id(operation)] = name
        return self.names[id(operation)]


def input_name(x: Any) -> str:
    """Name of the InputLayer that a tensor of `Trace.inputs_struct` comes from."""
    return x._keras_history.operation.name


def build(trace: Trace, calls: list[Call], name: str, model_class: Any = None) -> Any:
    """A Functional model, perhaps of a class of the user's, that makes the calls on new inputs."""

    def new_input(x: Any) -> Any:
        return keras.Input(batch_shape=x.shape, dtype=x.dtype, name=input_name(x))

    inputs = tree.map_structure(new_input, trace.inputs_struct)
    tensors = dict(zip(trace.inputs, tree.flatten(inputs), strict=True))
    for call in calls:
        args, kwargs = call.replaced(tensors.__getitem__)
        results = tree.flatten(call.operation(*args, **kwargs))
        tensors.update(zip(call.outputs, results, strict=True))
    outputs = tree.map_structure(tensors.__getitem__, trace.outputs)
    return (model_class or keras.Model)(inputs, outputs, name=name)


def clone_layer(layer: Any, name: str) -> Any:
    """An unbuilt copy of a layer; operations without state stand for themselves."""
    if not isinstance(layer, keras.Layer):
        return layer
    try:
        config = layer.get_config()
    except NotImplementedError as error:
        raise ValueError(
            f"layer {layer.name!r} ({type(layer).__name__}) cannot be copied: it has no "
            "get_config, which saving needs, too. Write one that returns the arguments of __init__."
        ) from error
    copy = type(layer).from_config({**config, "name": name})
    copy.trainable = layer.trainable
    return copy


def is_nested(model: Any) -> bool:
    return any(isinstance(layer, keras.Model) and functional_of(layer) for layer in model.layers)


def flatten(model: Any) -> Any:
    """A Functional model without nested ones, with copies of all layers and their weights."""
    flat = trace(model)
    copies: dict[int, Any] = {}
    for call in flat.calls:
        if id(call.operation) not in copies:
            copies[id(call.operation)] = clone_layer(call.operation, call.name)
    calls = [dataclasses.replace(c, operation=copies[id(c.operation)]) for c in flat.calls]
    result = build(flat, calls, model.name)
    for old, new in zip(flat.calls, calls, strict=True):
        if isinstance(new.operation, keras.Layer):
            new.operation.set_weights(old.operation.get_weights())
    return result


def facts_of(layer: Any, inputs: tuple[str, ...] = (), annotated: bool = False) -> LayerFacts:
    """Facts of one layer for the rules."""
    return LayerFacts(
        name=layer.name,
        kind=type(layer).__name__,
        inputs=inputs,
        kernel_size=tuple(getattr(layer, "kernel_size", ())),
        groups=getattr(layer, "groups", 1),
        linear=getattr(layer, "activation", None) in (None, keras.activations.linear),
        annotated=annotated,
        layer=layer,
    )

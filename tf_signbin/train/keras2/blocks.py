"""Layers of the user's that hold layers, opened like nested models.

A block written as a subclass of Layer hides its layers from the graph of the model. Called on
symbolic tensors, its `call` shows them, as Keras's Functional models show theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from tf_signbin.train.keras2.facts import annotated
from tf_signbin.train.keras2.legacy_keras import keras, tf
from tf_signbin.train.rules.layers import KERNELS

# Wrappers of quantization, and Keras's own layers around layers: everyone knows that what is inside
# of these stays as it is.
_KNOWN = ("tf_keras", "tf_signbin", "tensorflow_model_optimization")


@dataclasses.dataclass(frozen=True)
class Graph:
    """The graph of a model, or of one call of a block.

    Attributes:
      name: of the model or block.
      inputs, outputs: symbolic tensors, flat; of a block in the order of its call's.
      nodes: Keras's records of the calls in between, in an order in which they can run.
      names: of a block's layers by id, to be known by.
    """

    name: str
    inputs: list[Any]
    outputs: list[Any]
    nodes: list[Any]
    names: dict[int, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, model: Any) -> Graph:
        """The graph of a Functional or Sequential model."""
        nodes = [
            node
            for depth in sorted(model._nodes_by_depth, reverse=True)
            for node in model._nodes_by_depth[depth]
            if not node.is_input
        ]
        return cls(model.name, list(model.inputs), list(model.outputs), nodes)


class ClosedError(Exception):
    """Why a block cannot be opened."""


def hidden_kernels(layer: Any) -> list[Any]:
    """The built layers with quantizable kernels inside of a layer that is not Keras's own."""
    inner = annotated(layer)
    if type(inner).__module__.split(".")[0] in _KNOWN or isinstance(inner, keras.Model):
        return []
    return [
        part
        for part in inner._flatten_layers(include_self=False)
        if type(part).__name__ in KERNELS and part.built
    ]


def describe_hidden(layer: Any) -> str:
    """How many layers and weights a layer hides from quantization, and what to do about it."""
    hidden = hidden_kernels(layer)
    weights = sum(part.count_params() for part in hidden)
    return (
        f"a {type(annotated(layer)).__name__} with {len(hidden)} layers and {weights:,} weights "
        "inside, which quantize_model cannot reach. Write the block as a function that calls the "
        "layers, or as a keras.Model"
    )


def calls_inside(node: Any) -> list[tuple[Any, tuple[Any, Any]]]:
    """The layers with kernels that a layer of the user's calls, with the shapes of their inputs and
    outputs; they are found by calling it in a graph of its own."""
    parts = hidden_kernels(node.layer)
    found: list[tuple[Any, tuple[Any, Any]]] = []

    def recorded(part: Any) -> Any:
        call = part.call

        def run(x: Any, *args: Any, **kwargs: Any) -> Any:
            result = call(x, *args, **kwargs)
            found.append((part, (tuple(x.shape), tuple(result.shape))))
            return result

        return run

    @tf.function
    def run(*tensors: Any) -> None:
        of_node = dict(zip(map(id, node.keras_inputs), tensors, strict=True))
        args, kwargs = tf.nest.map_structure(
            lambda x: of_node.get(id(x), x), (node.call_args, node.call_kwargs)
        )
        node.layer(*args, **kwargs)

    try:
        for part in parts:
            part.call = recorded(part)
        if parts:
            run.get_concrete_function(*(x.type_spec for x in node.keras_inputs))
    finally:
        for part in parts:
            del part.call
    return found


class Opener:
    """Opens the blocks of one model, each of them once: calls of one block share its layers."""

    def __init__(self) -> None:
        self._copies: dict[int, Any] = {}

    def open(self, layer: Any, name: str, args: Any, kwargs: Any) -> Graph:
        """The graph of a call of `layer`, known as `name`, with these arguments, on copies of the
        layers inside.

        Raises:
          ClosedError: there is none that computes the same.
        """
        of_inside = {id(v) for part in _parts(layer) for v in part.variables}
        own = [v.name for v in layer.variables if id(v) not in of_inside]
        if own:
            raise ClosedError(f"it has variables of its own ({', '.join(own)})")
        if not layer._expects_training_arg or "training" in kwargs:
            return self._trace(layer, name, args, kwargs)
        # What the block decides in Python by this argument would be decided once and for all;
        # where it only hands it on to its layers, each of these finds out.
        graph, *others = (
            self._trace(layer, name, args, {**kwargs, "training": training})
            for training in (None, False, True)
        )
        if any(_shape(other) != _shape(graph) for other in others):
            raise ClosedError("what it calls depends on its argument `training`")
        if any(node.call_kwargs.get("training") is not None for node in graph.nodes):
            raise ClosedError("it decides on its layers' argument `training`")
        return graph

    def _trace(self, layer: Any, name: str, args: Any, kwargs: Any) -> Graph:
        inputs: list[Any] = []

        def new_input(x: Any) -> Any:
            if not hasattr(x, "_keras_history"):
                return x
            inputs.append(keras.Input(type_spec=x.type_spec))
            return inputs[-1]

        args, kwargs = tf.nest.map_structure(new_input, (args, kwargs))
        try:
            copy = self._copy(layer, args, kwargs)
            outputs = tf.nest.flatten(copy.call(*args, **kwargs))
            model = keras.Model(inputs, outputs)
        except Exception as error:  # whatever the user's code raises
            raise ClosedError(str(error).strip().split("\n")[0][:200]) from error
        names = {
            id(part): f"{name}_{named.name}"
            for part, named in zip(_parts(copy), _parts(layer), strict=True)
        }
        graph = Graph.of(model)
        if not {id(node.layer) for node in graph.nodes} & names.keys():
            raise ClosedError("its call does not call its layers")
        return Graph(name, inputs, outputs, graph.nodes, names)

    def _copy(self, layer: Any, args: Any, kwargs: Any) -> Any:
        copy = self._copies.get(id(layer))
        if copy is None:
            copy = type(layer).from_config(layer.get_config())
            copy(*args, **kwargs)  # which builds all
            for source, target in zip(_parts(layer), _parts(copy), strict=True):
                target._trainable = source._trainable
            copy.set_weights(layer.get_weights())
            self._copies[id(layer)] = copy
        return copy


def _parts(layer: Any) -> Iterator[Any]:
    return iter(layer._flatten_layers(include_self=False))


def _shape(graph: Graph) -> list[Any]:
    """What is called, by layer or by TensorFlow function, and with how many tensors."""
    return [
        (
            graph.names.get(id(node.layer)) or node.layer.get_config().get("function"),
            len(node.keras_inputs),
        )
        for node in graph.nodes
    ]

"""What replaces a layer: other layers, and how they are wired."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tf_signbin.train.keras2.legacy_keras import tf
from tf_signbin.train.keras2.trace import Call, Ref


@dataclasses.dataclass
class Step:
    """A call of a new layer.

    Attributes:
      layer: what is called.
      reads: its first argument, a structure of numbers: n >= 0 for the result of the n-th step, -1
        for the first tensor of the replaced call, -2 for its second. None: all of its arguments.
    """

    layer: Any
    reads: Any = None


@dataclasses.dataclass
class Parts:
    """What replaces a layer.

    Attributes:
      steps: in an order in which they can run; the last one's result is the layer's.
      main: the layer that holds the quantizable kernel, or what else is the layer's own.
      load: copies the weights once all are built.
    """

    steps: list[Step]
    main: Any
    load: Callable[[], None]

    @property
    def layers(self) -> list[Any]:
        return [step.layer for step in self.steps]

    def take_names(self, name: str, taken: set[str]) -> None:
        """Makes the names of the new layers unique; `name` is the replaced one's."""
        for layer in self.layers:
            while layer.name != name and layer.name in taken:
                layer._name = f"{layer.name}_"
            taken.add(layer.name)

    def calls(self, call: Call, new: Callable[[], Ref]) -> list[Call]:
        """The steps in place of a call; `new` makes tensors."""
        wanted = -min((n for step in self.steps for n in _numbers(step.reads)), default=0)
        if wanted > 0 and len(call.inputs) != wanted:
            raise ValueError(
                f"layer {self.main.name!r} is called with {wanted} tensors and with "
                f"{len(call.inputs)}: use a layer of its own for each."
            )
        results: list[Any] = []
        calls = []
        # Arguments such as `training` are for the layer itself.
        options = {
            key: value
            for key, value in call.kwargs.items()
            if value is not None and not _holds_tensors(value)
        }
        for step in self.steps:
            args, kwargs = call.args, call.kwargs
            if step.reads is not None:
                known = [*results, *reversed(call.inputs)]  # so that -1 is the first
                args = (tf.nest.map_structure(known.__getitem__, step.reads),)
                kwargs = options if step.layer is self.main else {}
            outputs = call.outputs if step is self.steps[-1] else new()
            results.append(outputs)
            calls.append(Call(step.layer, args, kwargs, outputs, masked=call.masked))
        return calls


def _numbers(reads: Any) -> list[int]:
    return [] if reads is None else tf.nest.flatten(reads)


def _holds_tensors(structure: Any) -> bool:
    return any(isinstance(x, Ref) for x in tf.nest.flatten(structure))


class Chain:
    """Collects steps, perhaps behind others; names of layers begin with the replaced one's."""

    def __init__(self, name: str, steps: list[Step] | None = None) -> None:
        self.name = name
        self.steps: list[Step] = [] if steps is None else steps

    def add(self, layer: Any, reads: Any = None) -> int:
        """Adds a step; returns its number."""
        self.steps.append(Step(layer, reads))
        return len(self.steps) - 1

    def part(self, part: str) -> str:
        return f"{self.name}_{part}" if part else self.name

    def parts(self) -> Parts:
        """What replaces a layer without weights."""
        return Parts(self.steps, self.steps[-1].layer, lambda: None)

"""Fake quantization between the calls of a lowered Keras 3 model, where the rules want it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tf_signbin.train.keras3.graph import Call, Ref, Trace, input_name
from tf_signbin.train.keras3.layers import FakeQuantize, FakeQuantizeInput, ReluAgain
from tf_signbin.train.rules.input_placement import InputPlan, LowBitTensor, place_inputs
from tf_signbin.train.rules.inputs import InputQuantizer
from tf_signbin.train.rules.placement import Operator, Range, place


class FakeQuantization:
    """Adds the fake quantizations; `calls` are the result, `resolve` finds a tensor behind them.

    Args:
      flat: trace of the float model.
      calls: of the lowered model.
      outputs: its output tensors.
      wanted: bits of the inputs of calls, by name; others keep 8.
    """

    def __init__(
        self, flat: Trace, calls: Sequence[Call], outputs: list[Ref], wanted: Mapping[str, int]
    ) -> None:

        def floats(tensors: list[Ref]) -> tuple[Ref, ...]:
            return tuple(tensor for tensor in tensors if tensor not in flat.not_float)

        operators = [
            Operator(call.name, call.kind, floats(call.tensors()), floats(call.outputs))
            for call in calls
            if floats(call.outputs)
        ]
        self._plan = place(operators, floats(flat.inputs), floats(outputs))
        self._inputs: InputPlan = place_inputs(operators, self._plan, floats(outputs), wanted)
        self.calls: list[Call] = []
        self._quantizers: dict[Range, Any] = {}
        self._uses: dict[str, int] = {}
        self._quantized: dict[Ref, Ref] = {}
        self._low: dict[Ref, Ref] = {}
        self._count = 1 + max(r.index for call in calls for r in [*call.tensors(), *call.outputs])
        sources = keras.tree.flatten(flat.inputs_struct)
        for tensor, source in zip(flat.inputs, sources, strict=True):
            self._quantize(tensor, input_name(source))
        for call in calls:
            self._add(call)

    @property
    def signed(self) -> Sequence[str]:
        """Layers that keep 8-bit inputs although few were wanted."""
        return self._inputs.signed

    def resolve(self, tensor: Ref) -> Ref:
        return self._quantized.get(tensor, tensor)

    def _add(self, call: Call) -> None:
        def find(tensor: Ref) -> Ref:
            low = self._inputs.behind_relu.get(tensor)
            if low is None or call.name not in low.readers:
                return self.resolve(tensor)
            return self._low_bits(tensor, low)

        args, kwargs = call.replaced(find)
        self.calls.append(Call(call.name, call.operation, args, kwargs, call.outputs))
        for tensor in call.outputs:
            self._quantize(tensor, call.name)

    def _emit(self, layer: Any, tensor: Ref, **kwargs: Any) -> Ref:
        out = Ref(self._count)
        self._count += 1
        self.calls.append(Call(layer.name, layer, (tensor,), kwargs, [out]))
        return out

    def _quantize(self, tensor: Ref, name: str) -> None:
        range_ = self._plan.ranges.get(tensor)
        if range_ is None:
            return
        if range_ not in self._quantizers:
            # A layer that is called again, and one with several outputs, has several ranges.
            self._uses[name] = self._uses.get(name, 0) + 1
            number = f"_{self._uses[name] - 1}" if self._uses[name] > 1 else ""
            name = f"{name}_quantize{number}"
            low = self._inputs.coarse.get(range_)
            self._quantizers[range_] = (
                FakeQuantize(range_.limits, name=name, dtype="float32")
                if low is None
                else _low_layer(low, name)
            )
        kwargs = {} if range_.tensor == tensor else {"observe": False}
        self._quantized[tensor] = self._emit(self._quantizers[range_], tensor, **kwargs)

    def _low_bits(self, tensor: Ref, low: LowBitTensor) -> Ref:
        """The tensor behind a ReLU of its own and a coarse fake quantization."""
        if tensor not in self._low:
            name = f"{low.readers[0]}_input"
            self._uses[name] = self._uses.get(name, 0) + 1
            number = f"_{self._uses[name] - 1}" if self._uses[name] > 1 else ""
            relu = ReluAgain(name=f"{name}_relu{number}", dtype="float32")
            clamped = self._emit(relu, self.resolve(tensor))
            self._low[tensor] = self._emit(_low_layer(low, f"{name}_quantize{number}"), clamped)
        return self._low[tensor]


def _low_layer(low: LowBitTensor, name: str) -> FakeQuantizeInput:
    return FakeQuantizeInput(InputQuantizer(low.bits, low.readers), name=name, dtype="float32")

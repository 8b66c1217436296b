"""Where inputs of few bits go in a network whose fake quantization is placed (`placement`).

A tensor may have few bits where it is the output of a ReLU, perhaps pooled, padded, joined or
reshaped since: the negative half of its int8 range is then free to be given up. Two cases:

* All that reads it wants few bits: its own fake quantization becomes the coarse one.
* Others read it, too (the residual stream, a layer that stays dense): they keep 8 bits. A second
  ReLU, which changes no value, and the coarse fake quantization stand before those that want few:
  the converter makes an operator that requantizes of them. (Without the ReLU two fake
  quantizations would follow each other, of which the converter drops one.)

The rules for what is a ReLU's output are those of `tf_signbin.format.low_bits`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from tf_signbin.train.rules.placement import KINDS, Operator, Plan, Range, Tensor

_CLAMPS = ("relu", "relu6")
_KEEP_SIGN = ("max_pool", "average_pool", "pad", "concat", "reshape", "transpose", "slice",
              "identity")  # fmt: skip
_CARRIES = ("moves", "averages", "joins")


@dataclasses.dataclass(frozen=True)
class LowBitTensor:
    """A tensor with a coarse fake quantization.

    Attributes:
      bits: the most that a reader wants.
      readers: names of the operators that read it, without others between.
    """

    bits: int
    readers: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class InputPlan:
    """What `place_inputs` decided.

    Attributes:
      coarse: ranges of the plan whose fake quantization becomes a coarse one.
      behind_relu: tensors that keep their range, and behind which a ReLU with a coarse fake
        quantization serves `readers`.
      signed: names of operators that keep 8 bits because their input is not a ReLU's output.
    """

    coarse: dict[Range, LowBitTensor]
    behind_relu: dict[Tensor, LowBitTensor]
    signed: tuple[str, ...]


def place_inputs(
    operators: Sequence[Operator],
    plan: Plan,
    outputs: Iterable[Tensor],
    wanted: Mapping[str, int],
) -> InputPlan:
    """Places the coarse fake quantizations.

    Args:
      operators, outputs: as for `placement.place`, whose answer is `plan`.
      wanted: bits of the inputs of operators, by their names; others keep 8.
    """
    writers = {tensor: operator for operator in operators for tensor in operator.outputs}
    low = [operator for operator in operators if operator.name in wanted]
    # What a range's values reach: tensors on its grid, and the operators that compute from them.
    members: dict[Range, list[Tensor]] = {}
    for tensor, range_ in plan.grids.items():
        members.setdefault(range_, []).append(tensor)
    returned, signed = set(outputs), []
    wanting: dict[Range, list[Operator]] = {}
    for operator in low:
        grid = plan.grids.get(operator.inputs[0])
        if grid is not None and _is_clamped(operator.inputs[0], writers):
            wanting.setdefault(grid, []).append(operator)
        else:
            signed.append(operator.name)
    coarse: dict[Range, LowBitTensor] = {}
    behind_relu: dict[Tensor, LowBitTensor] = {}
    for range_, readers in wanting.items():
        tensors = set(members[range_])
        all_want = tensors.isdisjoint(returned) and all(
            operator.name in wanted or _carries(operator, plan, range_)
            for operator in operators
            if not tensors.isdisjoint(operator.inputs)
        )
        if all_want:
            coarse[range_] = _low(readers, wanted)
            continue
        for tensor in dict.fromkeys(operator.inputs[0] for operator in readers):
            of_it = [operator for operator in readers if operator.inputs[0] == tensor]
            behind_relu[tensor] = _low(of_it, wanted)
    return InputPlan(coarse, behind_relu, tuple(dict.fromkeys(signed)))


def _low(readers: Sequence[Operator], wanted: Mapping[str, int]) -> LowBitTensor:
    names = tuple(dict.fromkeys(operator.name for operator in readers))
    return LowBitTensor(max(wanted[name] for name in names), names)


def _carries(operator: Operator, plan: Plan, range_: Range) -> bool:
    """Whether the operator hands the grid on, to tensors whose readers are looked at themselves."""
    return KINDS[operator.kind].rule in _CARRIES and all(
        plan.grids.get(tensor) == range_ for tensor in operator.outputs
    )


def _is_clamped(tensor: Tensor, writers: Mapping[Tensor, Operator]) -> bool:
    """Whether the tensor's values are a ReLU's, moved about at most."""
    pending, seen = [tensor], set()
    while pending:
        tensor = pending.pop()
        if tensor in seen:
            continue
        seen.add(tensor)
        operator = writers.get(tensor)
        if operator is None:
            return False
        if operator.kind in _CLAMPS:
            continue
        if operator.kind not in _KEEP_SIGN:
            return False
        pending += operator.inputs
    return True

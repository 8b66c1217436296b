"""Where int8 fake quantization goes in a network, in terms of LiteRT's operators.

A front end describes its model as a graph of `Operator`s; `place` says which tensors are followed
by a fake quantization and which of them share one range. The rules are those by which the stock
converter turns a fake-quantized graph into int8 operators (tests/keras3/test_conversion.py converts
one graph per kind):

* A tensor that an operator computes is quantized once, with a range of its own ('computed'), or
  with the range that the integer kernel has built in ('fixed': softmax, sigmoid, tanh).
* Between a convolution and the BatchNorm and ReLU that are folded into it, and between an addition
  and its ReLU, nothing is quantized: the integer kernel rounds once, after all of them.
* Operators that only move values ('moves': maximum pooling, padding, reshaping, slicing) need
  nothing: values on a grid stay on it. Those that average neighbours ('averages': average pooling,
  bilinear resizing) round their results on the grid of their input, so that range is used again.
  So it is where a moved tensor goes into a join and to other readers: without a range of its own
  the converter gives it the join's, and then finds two scales where the kernel has one.
* Operators that join tensors ('joins': concatenation, maximum) bring all of them to one scale. A
  tensor that goes nowhere else is therefore not quantized before it: of two fake quantizations of
  which one is as good as the other, the converter keeps one, but training saw both. A tensor that
  has other consumers keeps its range, and the runtime requantizes it for the join. Of joins of
  joins only the last is quantized, too, unless one has an input with a range.

Two fake quantizations never follow each other without a computation between them.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence

Tensor = Hashable
# Narrowest range that is observed: LiteRT's softmax ends the process for a scale below 2^-26.
MIN_WIDTH = 1e-5


@dataclasses.dataclass(frozen=True)
class Operator:
    """One operator of a network.

    Attributes:
      name: of the layer, for messages.
      kind: a key of KINDS, or any other string for an operator without an int8 kernel.
      inputs: the tensors that it reads; constants and weights are left out.
      outputs: the tensors that it writes.
    """

    name: str
    kind: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclasses.dataclass(frozen=True)
class Kind:
    """How LiteRT runs an operator in int8.

    Attributes:
      rule: 'computes', 'moves', 'averages', 'joins' or 'activates' (a ReLU, which the operator
        before it may absorb); 'normalizes' is a BatchNorm, which only exists folded.
      limits: the range of the output where the integer kernel has it built in.
      absorbs: what is folded into the operator when it follows immediately.
    """

    rule: str
    limits: tuple[float, float] | None = None
    absorbs: tuple[str, ...] = ()


_RELUS = ("relu", "relu6", "relu_n1_to_1")
_FOLDS = ("batch_norm", *_RELUS)

KINDS: dict[str, Kind] = {
    **dict.fromkeys(("conv", "depthwise_conv", "dense"), Kind("computes", absorbs=_FOLDS)),
    **dict.fromkeys(("add", "sub", "mul"), Kind("computes", absorbs=_RELUS)),
    **dict.fromkeys(
        ("transpose_conv", "mean", "leaky_relu", "prelu", "hard_swish", "gelu", "exp", "abs",
         "rsqrt", "matmul", "sqrt", "log", "sum", "div", "embedding"),
        Kind("computes"),
    ),
    # What has no int8 kernel runs in float32 between a dequantization and a quantization.
    "float": Kind("computes"),
    "batch_norm": Kind("normalizes", absorbs=_RELUS),
    **dict.fromkeys(_RELUS, Kind("activates")),
    # Integer kernels write these with scale 1/256 or 1/128, log-softmax with 1/16.
    **dict.fromkeys(("sigmoid", "softmax"), Kind("computes", limits=(0.0, 255 / 256))),
    **dict.fromkeys(("tanh", "l2_normalization"), Kind("computes", limits=(-1.0, 127 / 128))),
    "log_softmax": Kind("computes", limits=(-255 / 16, 0.0)),
    **dict.fromkeys(
        ("max_pool", "reduce_max", "pad", "reshape", "transpose", "slice", "split", "gather",
         "resize_nearest", "identity", "reduce_min"),
        Kind("moves"),
    ),
    # The converter does not follow a grid through a reversal, which the second rule tells it.
    **dict.fromkeys(("average_pool", "resize_bilinear", "reverse"), Kind("averages")),
    **dict.fromkeys(("concat", "stack", "maximum", "minimum"), Kind("joins")),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Range:
    """The range of one fake quantization, 8 bits, asymmetric.

    Attributes:
      tensor: whose values are observed (moving averages of their minimum and maximum).
      limits: (minimum, maximum) instead, where the range is fixed.
    """

    tensor: Tensor
    limits: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What `place` decided.

    Attributes:
      ranges: the tensors that are fake-quantized right where they are written, before any of their
        consumers. Tensors with an equal Range share it; only `Range.tensor` is observed.
      folded: names of the BatchNorms and activations that the operator before them absorbs.
      grids: the range on whose grid a tensor's values lie, also where they were only moved.
    """

    ranges: dict[Tensor, Range]
    folded: frozenset[str]
    grids: dict[Tensor, Range]


class PlacementError(ValueError):
    """Operators that cannot run in int8. `operators` are those."""

    def __init__(self, message: str, operators: Sequence[Operator]) -> None:
        self.operators = list(operators)
        super().__init__(message)


def warn_of_floats(model: str, floats: Mapping[str, str]) -> None:
    """Warns the caller's caller's caller's caller of layers, {name: kind}, that have no int8
    operator."""
    listing = ", ".join(f"{name!r} ({kind})" for name, kind in floats.items())
    warnings.warn(
        f"{model!r}: LiteRT has no int8 operator for these layers: {listing}. They run in float32, "
        "between a DEQUANTIZE and a QUANTIZE; everything else runs in int8.",
        stacklevel=5,
    )


def place(
    operators: Sequence[Operator], inputs: Iterable[Tensor], outputs: Iterable[Tensor]
) -> Plan:
    """Places the fake quantizations of a network.

    Args:
      operators: in an order in which they can run.
      inputs: the network's input tensors; each is quantized.
      outputs: the tensors that the network returns.

    Raises:
      PlacementError: an operator has no int8 kernel, or a BatchNorm cannot be folded into the
        operator before it.
      ValueError: an operator reads a tensor that nothing has written.
    """
    unknown = [operator for operator in operators if operator.kind not in KINDS]
    if unknown:
        listing = ", ".join(f"{o.name!r} ({o.kind})" for o in unknown)
        raise PlacementError(
            f"no int8 operator is known for these layers: {listing}. Use what LiteRT runs in "
            "int8 (documentation, page Training), give these a QuantizeConfig of your own "
            "(quantize_annotate_layer), or train with activations='float32'.",
            unknown,
        )
    return _Placer(operators, list(inputs), list(outputs)).plan()


class _Placer:
    def __init__(
        self, operators: Sequence[Operator], inputs: list[Tensor], outputs: list[Tensor]
    ) -> None:
        self.operators, self.inputs = operators, inputs
        self.writer = {tensor: operator for operator in operators for tensor in operator.outputs}
        self.readers: dict[Tensor, list[Operator]] = {}
        for operator in operators:
            for tensor in operator.inputs:
                if tensor not in self.writer and tensor not in inputs:
                    raise ValueError(f"layer {operator.name!r} reads {tensor!r}: nothing writes it")
                self.readers.setdefault(tensor, []).append(operator)
        self.returned = set(outputs)
        # The grid on which a tensor's values lie, once it is known.
        self.grids: dict[Tensor, Range] = {}
        self.ranges: dict[Tensor, Range] = {}
        self.folded: set[str] = set()

    def plan(self) -> Plan:
        for tensor in self.inputs:
            self._quantize(tensor, Range(tensor))
        for operator in self.operators:
            self._visit(operator)
        return Plan(self.ranges, frozenset(self.folded), self.grids)

    def _quantize(self, tensor: Tensor, range_: Range) -> None:
        self.ranges[tensor] = self.grids[tensor] = range_

    def _visit(self, operator: Operator) -> None:
        kind = KINDS[operator.kind]
        if kind.rule == "normalizes" and not self._absorbed(operator):
            raise PlacementError(
                f"the BatchNormalization {operator.name!r} does not follow a convolution or dense "
                "layer that it can be folded into; describe it as a depthwise convolution.",
                [operator],
            )
        if kind.rule in ("normalizes", "activates") and self._absorbed(operator):
            self.folded.add(operator.name)
        grids = [self.grids.get(tensor) for tensor in operator.inputs]
        first = grids[0] if grids else None
        # The converter would join on the grid of one input, where the others have no room.
        joins_grids = kind.rule == "joins" and any(grids)
        on_one_grid = first is not None and all(grid == first for grid in grids)
        for tensor in operator.outputs:
            if kind.rule in ("moves", "joins") and on_one_grid:
                assert first is not None
                self.grids[tensor] = first
                if self._only_reader(tensor) is None and self._reaches_a_join(tensor):
                    self._quantize(tensor, first)
            elif kind.rule == "averages":
                assert first is not None, "a tensor that is averaged is on a grid"
                self._quantize(tensor, first)
            elif kind.rule == "moves" or (self._waits(tensor) and not joins_grids):
                pass
            else:
                self._quantize(tensor, Range(tensor, kind.limits))

    def _absorbed(self, operator: Operator) -> bool:
        """Whether the operator before this one, which nothing else reads, takes it along."""
        tensor = operator.inputs[0]
        before = self.writer.get(tensor)
        if before is None or self._only_reader(tensor) is not operator:
            return False
        if operator.kind not in KINDS[before.kind].absorbs:
            return False
        # What follows a folded BatchNorm is absorbed by the operator before both.
        return KINDS[before.kind].rule != "normalizes" or self._absorbed(before)

    def _waits(self, tensor: Tensor) -> bool:
        """Whether the tensor is quantized later: its only reader is folded in, or joins it."""
        reader = self._only_reader(tensor)
        if reader is not None and KINDS[reader.kind].rule in ("normalizes", "activates"):
            return self._absorbed(reader)
        return KINDS[self.writer[tensor].kind].limits is None and self._joins_next(tensor)

    def _joins_next(self, tensor: Tensor) -> bool:
        """Whether the tensor, maybe moved about, goes into a join and nowhere else."""
        reader = self._only_reader(tensor)
        if reader is None:
            return False
        if KINDS[reader.kind].rule == "moves" and len(reader.outputs) == 1:
            return self._joins_next(reader.outputs[0])
        return KINDS[reader.kind].rule == "joins"

    def _reaches_a_join(self, tensor: Tensor) -> bool:
        """Whether one of the tensor's readers joins it, maybe after others have moved it about."""
        return any(
            KINDS[reader.kind].rule == "joins"
            or (
                KINDS[reader.kind].rule == "moves"
                and any(map(self._reaches_a_join, reader.outputs))
            )
            for reader in self.readers.get(tensor, [])
        )

    def _only_reader(self, tensor: Tensor) -> Operator | None:
        readers = self.readers.get(tensor, [])
        return readers[0] if len(readers) == 1 and tensor not in self.returned else None

"""Inputs of few bits: their fake quantization, and which layers get one.

A k-bit input is an ordinary int8 tensor with the zero point 127 - L, L = 2^k - 1 (docs/format.md):
behind a ReLU its values are 0, s, 2s, ..., L s. In training that is an 8-bit fake quantization of
the range [-(255 - L) s, L s].
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tf_signbin.train.rules.layers import LayerFacts
from tf_signbin.train.rules.namespace import ArrayNamespace
from tf_signbin.train.rules.per_layer import rule_of
from tf_signbin.train.rules.quantizers import Variables, VariableSpec

InputBits = int | str | Mapping[str, int] | Callable[[Any], int | None] | None
BITS = (3, 4, 5, 6)
FULL_BITS = 8
AUTO = "auto"


class InputQuantizer:
    """Fake quantization of a tensor behind a ReLU to 2^bits values.

    The step is s = (1 + c) clip / L, where clip = (2.1 + bits / 2) r and r is the root mean square
    of the tensor, a moving average over training batches: within 3% this is the clip of least
    squared error for a ReLU of normally distributed values, at 3 to 8 bits. The correction c starts
    at 0, where weight decay pulls it, and is learned as the step of LSQ (Esser et al., ICLR 2020,
    eq. 3):

        dy/ds = round(x/s) - x/s  where x <= L s,  else L;      dy/dx = 1 where x <= L s, else 0,

    scaled by LSQ's 1 / sqrt(N L), N the values of one sample (section 2.2 there). The gradient goes
    to c divided by the starting step, so that gradient descent moves s as it does in LSQ, while
    Adam moves it by a share of itself.

    Args:
      bits: at the start; a variable, so that `lower_input_bits` can change it. 3 to 6, or 8.
      readers: names of the layers that read the tensor.
      momentum: of the moving average, which is the plain mean until 1 - 1/n reaches it.
    """

    def __init__(self, bits: int = 4, readers: Sequence[str] = (), momentum: float = 0.99) -> None:
        self.bits, self.readers = check_bits(bits), tuple(readers)
        self.momentum = float(momentum)

    def variables(self) -> list[VariableSpec]:
        # The mean square at first: a clip near 6, as tfmot's ranges have it.
        return [
            VariableSpec("bits", (), float(self.bits), False),
            VariableSpec("mean_square", (), 2.0, False),
            VariableSpec("batches", (), 0.0, False),
            VariableSpec("correction", (), 0.0, True),
        ]

    def limits(self, ops: ArrayNamespace, variables: Variables) -> tuple[Any, Any]:
        """(minimum, maximum) of the 8-bit fake quantization."""
        levels, step = self._levels(ops, variables), self.step(ops, variables)
        return (levels - 255.0) * step, levels * step

    def step(self, ops: ArrayNamespace, variables: Variables) -> Any:
        """s, the distance of two values."""
        return self._start(ops, variables) * self._gain(ops, variables)

    def observed(self, ops: ArrayNamespace, x: Any, variables: Variables) -> dict[str, Any]:
        """The values of variables after a training batch x, by name. An empty one moves nothing."""
        x = ops.stop_gradient(x)
        some, count = one_if_any(ops, x), variables["batches"]
        weight = ops.maximum(1.0 - self.momentum, 1.0 / (count + 1.0))
        mean_square = variables["mean_square"]
        seen = ops.mean(ops.square(x), axis=None, keepdims=False)
        seen = ops.where(some > 0.0, seen, mean_square)
        return {
            "mean_square": mean_square + weight * (seen - mean_square),
            "batches": count + some,
        }

    def with_gradient(
        self, ops: ArrayNamespace, x: Any, quantized: Any, variables: Variables
    ) -> Any:
        """`quantized` with LSQ's gradients for x and the correction.

        Args:
          ops: array namespace.
          x: what was quantized, at least 0, [batch, ...].
          quantized: the framework's fake quantization of x to `limits`.
          variables: as they were for `limits`.
        """
        levels = ops.stop_gradient(self._levels(ops, variables))
        start = ops.stop_gradient(self._start(ops, variables))
        gain = self._gain(ops, variables)
        position = ops.stop_gradient(x) / (start * ops.stop_gradient(gain))
        inside = 1.0 - ops.relu(ops.sign(position - levels))
        slope = inside * (ops.round(position) - position) + (1.0 - inside) * levels
        # Counted, not read from the shape: its sizes may be open.
        values = ops.sum(ops.ones_like(ops.stop_gradient(x)[:1]), axis=None, keepdims=False)
        factor = ops.rsqrt(ops.maximum(values, 1.0) * levels) / start
        # Both added terms are 0, and their derivatives are the ones wanted.
        return (
            ops.stop_gradient(quantized)
            + (x - ops.stop_gradient(x)) * inside
            + (gain - ops.stop_gradient(gain)) * (slope * factor)
        )

    def _levels(self, ops: ArrayNamespace, variables: Variables) -> Any:
        """L: the largest multiple of the step."""
        return ops.round(2.0 ** variables["bits"]) - 1.0

    def _start(self, ops: ArrayNamespace, variables: Variables) -> Any:
        """The step without a correction."""
        # A tensor of zeros has no scale.
        square = ops.maximum(variables["mean_square"], 1e-12)
        clip = (2.1 + 0.5 * variables["bits"]) * square * ops.rsqrt(square)
        return clip / self._levels(ops, variables)

    def _gain(self, ops: ArrayNamespace, variables: Variables) -> Any:
        return ops.maximum(1.0 + variables["correction"], 0.01)

    def get_config(self) -> dict[str, Any]:
        return {"bits": self.bits, "readers": list(self.readers), "momentum": self.momentum}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> InputQuantizer:
        return cls(**config)


@dataclasses.dataclass(frozen=True)
class LowBitInput:
    """A coarse fake quantization of a model: what summaries and `lower_input_bits` see of it.

    Attributes:
      name: of the layer that does it.
      quantizer: its configuration; `quantizer.readers` are the layers that read the tensor.
      variables: by name, with `assign`.
      ops: the array namespace of the model's framework.
    """

    name: str
    quantizer: InputQuantizer
    variables: Mapping[str, Any]
    ops: ArrayNamespace = dataclasses.field(repr=False)

    @property
    def bits(self) -> int:
        return round(float(self.ops.convert_to_numpy(self.variables["bits"])))

    def set_bits(self, bits: int) -> None:
        self.variables["bits"].assign(float(check_bits(bits)))


def one_if_any(ops: ArrayNamespace, x: Any) -> Any:
    """1.0, or 0.0 for a tensor without elements: what a replica gets of too small a last batch."""
    first = ops.reshape(ops.stop_gradient(x), (-1,))[:1]
    return ops.sum(ops.ones_like(first), axis=None, keepdims=False)


def check_bits(bits: Any, argument: str = "input_bits") -> int:
    """Raises ValueError, naming the argument, unless inputs can have so many bits."""
    if isinstance(bits, bool) or bits not in (*BITS, FULL_BITS):
        raise ValueError(f"{argument}={bits!r} must be 3, 4, 5, 6 or 8.")
    return int(bits)


def wanted_bits(
    input_bits: InputBits, layers: Iterable[LayerFacts], activations: str
) -> dict[str, int]:
    """What the argument `input_bits` means: bits by layer name, without the layers that keep 8.

    Args:
      input_bits: see quantize_model.
      layers: those with quantized weights.
      activations: 'float32' or 'int8'.

    Returns:
      3 to 6 for each layer that gets so many; with 'auto' every layer has 8, to be lowered later.

    Raises:
      ValueError: numbers that do not exist, names that match no layer, float activations.
    """
    check_activations(input_bits, activations)
    if input_bits is None:
        return {}
    layers = list(layers)
    if isinstance(input_bits, str):
        if input_bits != AUTO:
            raise ValueError(
                f"input_bits={input_bits!r} must be a number of bits, 'auto', a dictionary or a "
                "function of the layer."
            )
        found = dict.fromkeys((layer.name for layer in layers), FULL_BITS)
    else:
        rule = rule_of("input_bits", input_bits, layers)
        wanted = {layer.name: rule(layer) for layer in layers}
        bits = {name: check_bits(b) for name, b in wanted.items() if b is not None}
        found = {name: b for name, b in bits.items() if b < FULL_BITS}
    return found


def check_activations(input_bits: InputBits, activations: str) -> None:
    """Raises ValueError for few bits with float activations."""
    if input_bits not in (None, FULL_BITS) and activations != "int8":
        raise ValueError(
            f"input_bits={input_bits!r} needs activations='int8', not {activations!r}."
        )


def warn_of_signed_inputs(names: Sequence[str]) -> None:
    """Tells the user which layers keep 8 bits although few were asked for."""
    if names:
        warnings.warn(
            f"input_bits: these layers keep 8-bit inputs, because what they read is not the output "
            f"of a ReLU (perhaps pooled, padded or reshaped): {', '.join(names)}. Put a ReLU "
            "before them, or leave them out of input_bits.",
            stacklevel=5,
        )

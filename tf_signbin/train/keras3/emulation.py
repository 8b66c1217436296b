"""A quantized model as its file computes it: with the roundings of integer kernels.

Between fake quantizations Keras computes in float, so single values come out a step apart from what
an integer kernel gives. Three of the kernels' roundings do it, all before a fake quantization:

* A bias, with the BatchNorm that is folded into it, is a multiple of the product of the scales of
  inputs and weights.
* LiteRT's reference kernels, and ours, round a scaled sum twice: to n fractional bits, then to a
  step of the output's scale, each time half away from zero. n is -e where the factor is q * 2^e
  with 0.5 <= q < 1 (`QuantizeMultiplier`). XNNPACK rounds once.
* A mean of pixels divides that factor by their number, which leaves n small.

Other operators (additions, products, activations) round as a fake quantization does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tf_signbin.train.keras3 import graph
from tf_signbin.train.keras3.facts import has_fake_quantized_activations
from tf_signbin.train.keras3.graph import Call, Ref
from tf_signbin.train.keras3.layers import (
    ChannelScale,
    FakeQuantize,
    FakeQuantizeInput,
    QuantizedWeights,
    ReluAgain,
)

_Quantize = FakeQuantize | FakeQuantizeInput
# Layers between a kernel and the fake quantization that its integer form has built in.
_CLAMPS = ("ReLU", "Activation", "Relu", "Relu6")
_PRODUCTS = (QuantizedWeights, ChannelScale, ReluAgain)
_MEANS = ("GlobalAveragePooling1D", "GlobalAveragePooling2D")
_POOLS = ("AveragePooling1D", "AveragePooling2D")


def emulate(model: Any, rounds_twice: Callable[[str], bool]) -> Any:
    """A model of the same layers, rounding as integer kernels do when it is not training.

    Args:
      model: quantized, functional, with int8 activations.
      rounds_twice: whether the kernel that writes the output of the layer of that name does.

    Raises:
      ValueError: nothing in the model is fake-quantized.
    """
    if not has_fake_quantized_activations(model):
        raise ValueError(
            f"emulate: {model.name!r} has no int8 activations; only these are rounded by integer "
            "kernels. Make it by quantize_model(..., activations='int8')."
        )
    flat = graph.trace(model)
    writers = {ref: call for call in flat.calls for ref in call.outputs}
    calls = []
    for call in flat.calls:
        if isinstance(call.operation, _Quantize):
            kernel = _kernel_before(call, writers, flat)
            if kernel is not None:
                (source,) = call.tensors()
                twice = rounds_twice(writers[source].name)
                # A fake quantization may be called on several tensors.
                name = f"{call.name}_as_integers_{call.outputs[0].index}"
                layer = Requantize(call.operation, kernel, twice, name)
                call = dataclasses.replace(call, operation=layer)
        calls.append(call)
    return graph.build(flat, calls, model.name)


def _range_of(quantize: _Quantize) -> tuple[Any, Any]:
    """The scale of a fake quantization, and the value of its zero point, 0 to 255."""
    low, high = quantize.limits_now()
    scale = (high - low) / 255.0
    return scale, ops.round(-low / scale)


class Kernel:
    """What an integer kernel sums up before it rounds."""

    def requantized(self, x: Any, scale: Any, twice: bool) -> Any:
        """The kernel's real-valued outputs in steps of `scale` from zero, rounded, not clipped."""
        raise NotImplementedError


@dataclasses.dataclass
class _Product(Kernel):
    """A convolution or a dense layer.

    Attributes:
      layer: with weights on a grid of 127 steps a channel.
      norm: the BatchNormalization that is folded into it, if any.
      source: the fake quantization on whose grid its inputs lie.
    """

    layer: Any
    norm: Any
    source: _Quantize

    def requantized(self, x: Any, scale: Any, twice: bool) -> Any:
        factor, bias = self._folded()
        largest = _largest_weights(self.layer) * ops.abs(factor)
        # A filter of zeros has no scale; its output is the bias.
        largest = ops.where(largest > 0, largest, 127.0 * scale)
        step = _range_of(self.source)[0] * largest / 127.0
        total = ops.round((x - bias) / step) + ops.round(bias / step)
        factor = step / scale
        # XNNPACK leaves transposed convolutions to LiteRT's own kernels.
        twice = twice or isinstance(self.layer, keras.layers.Conv2DTranspose)
        return _rounded(total * factor, _fraction_bits(factor) if twice else None)

    def _folded(self) -> tuple[Any, Any]:
        """Factors and biases a channel, with the BatchNorm's."""
        bias = _bias(self.layer)
        if self.norm is None:
            return ops.ones(()), bias
        norm = self.norm
        factor = ops.rsqrt(ops.convert_to_tensor(norm.moving_variance) + norm.epsilon)
        if norm.scale:
            factor = factor * ops.convert_to_tensor(norm.gamma)
        shift = ops.convert_to_tensor(norm.beta) if norm.center else 0.0
        return factor, (bias - ops.convert_to_tensor(norm.moving_mean)) * factor + shift


def _largest_weights(layer: Any) -> Any:
    """The largest magnitude of each channel's weights, [Co] or one for all."""
    if isinstance(layer, ReluAgain):
        return ops.ones(())
    if isinstance(layer, ChannelScale):
        return ops.abs(ops.convert_to_tensor(layer.scale))
    kernel = ops.cast(layer.quantized_kernel(), "float32")
    axes = layer.channel_axes or tuple(range(len(kernel.shape) - 1))
    return ops.reshape(ops.max(ops.abs(kernel), axis=axes), (-1,))


def _bias(layer: Any) -> Any:
    if isinstance(layer, ReluAgain):
        return 0.0
    if isinstance(layer, ChannelScale):
        return ops.convert_to_tensor(layer.shift) if layer.use_shift else 0.0
    return ops.convert_to_tensor(layer.bias) if layer.use_bias else 0.0


@dataclasses.dataclass
class _Mean(Kernel):
    """The mean of `count` pixels on the grid of `source`."""

    count: int
    source: _Quantize

    def requantized(self, x: Any, scale: Any, twice: bool) -> Any:
        step = _range_of(self.source)[0]
        total = ops.round(x * (self.count / step))
        factor = step / scale
        # The kernel shifts the factor to the left by floor(log2(count)) before it divides it.
        bits = _fraction_bits(factor / 2 ** math.floor(math.log2(self.count)))
        return _rounded(total * (factor / self.count), bits if twice else None)


@dataclasses.dataclass
class _Pool(Kernel):
    """Means of `count` pixels on the grid that they have, half away from int8's zero. XNNPACK has
    no int8 operator for it."""

    count: int
    source: _Quantize

    def requantized(self, x: Any, scale: Any, twice: bool) -> Any:
        del twice
        total = ops.round(x * (self.count / scale))
        from_zero = self.count * (_range_of(self.source)[1] - 128.0)
        mean = _away_from_zero((total + from_zero) / self.count)
        return mean - from_zero / self.count


class Requantize(keras.layers.Layer):
    """In the place of a fake quantization; the same while training.

    Args:
      quantize: the fake quantization.
      kernel: what is computed before it.
      twice: whether the kernel rounds twice.
      name: of this layer.
    """

    emulates_a_kernel = True

    def __init__(self, quantize: _Quantize, kernel: Kernel, twice: bool, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        self.quantize, self.kernel, self.twice = quantize, kernel, twice
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, training: bool | None = None, observe: bool = True) -> Any:
        if training:
            return self.quantize(inputs, training=True, observe=observe)
        scale, zero = _range_of(self.quantize)
        steps = self.kernel.requantized(ops.cast(inputs, "float32"), scale, self.twice)
        return scale * ops.clip(steps, -zero, 255.0 - zero)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            "an emulated model is for predict and evaluate: save and convert the model that it "
            "was made from, which has the same weights."
        )


def _fraction_bits(factor: Any) -> Any:
    """n of a factor of q * 2^-n, 0.5 <= q < 1; at least 0."""
    return ops.maximum(-1.0 - ops.floor(ops.log2(factor)), 0.0)


def _rounded(values: Any, bits: Any) -> Any:
    """Rounded once, or to so many fractional bits first."""
    if bits is None:
        return ops.round(values)
    unit = 2.0**bits
    return _away_from_zero(_away_from_zero(values * unit) / unit)


def _away_from_zero(values: Any) -> Any:
    """Halves go away from zero, as in the reference kernels' divisions."""
    return ops.sign(values) * ops.floor(ops.abs(values) + 0.5)


def _kernel_before(call: Call, writers: dict[Ref, Call], flat: graph.Trace) -> Kernel | None:
    """The kernel whose outputs a fake quantization rounds; None where both round alike."""
    (tensor,) = call.tensors()
    writer = writers.get(tensor)
    if writer is not None and type(writer.operation).__name__ in _CLAMPS:
        (tensor,) = writer.tensors()
        writer = writers.get(tensor)
    norm = None
    if writer is not None and isinstance(writer.operation, keras.layers.BatchNormalization):
        norm = writer.operation
        (tensor,) = writer.tensors()
        writer = writers.get(tensor)
    if writer is None:
        return None
    source = _grid(writer, writers)
    if source is None:
        return None
    if isinstance(writer.operation, _PRODUCTS):
        return _Product(writer.operation, norm, source)
    kind = type(writer.operation).__name__
    if kind in _MEANS:
        count = _count(flat.shapes[writer.tensors()[0]][1:-1])
        return None if count is None else _Mean(count, source)
    if kind in _POOLS and _is_whole(writer, flat):
        return _Pool(math.prod(writer.operation.pool_size), source)
    return None


def _grid(call: Call, writers: dict[Ref, Call]) -> _Quantize | None:
    """The fake quantization on whose grid the call's input lies, maybe moved about."""
    before = writers.get(call.tensors()[0]) if call.tensors() else None
    if before is None or isinstance(before.operation, _PRODUCTS):
        return None
    return before.operation if isinstance(before.operation, _Quantize) else _grid(before, writers)


def _count(sizes: Any) -> int | None:
    return None if any(size is None for size in sizes) else math.prod(sizes)


def _is_whole(call: Call, flat: graph.Trace) -> bool:
    """Whether no window of a pooling reaches over the border."""
    layer = call.operation
    if layer.padding == "valid":
        return True
    sizes = flat.shapes[call.tensors()[0]][1:-1]
    return layer.pool_size == layer.strides and all(
        size is not None and size % window == 0
        for size, window in zip(sizes, layer.pool_size, strict=True)
    )

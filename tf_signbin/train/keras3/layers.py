"""Layers of quantized Keras 3 models. All are registered, so files load without custom scopes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from tf_signbin.train.constant_weights import constant_or_traced
from tf_signbin.train.rules.dense import on_channel_grid
from tf_signbin.train.rules.inputs import InputQuantizer, one_if_any
from tf_signbin.train.rules.placement import MIN_WIDTH
from tf_signbin.train.rules.quantizers import QUANTIZERS, VariableSpec, WeightQuantizer

PACKAGE = "tf_signbin"
_register = keras.saving.register_keras_serializable(package=PACKAGE)


def serialize_quantizer(quantizer: WeightQuantizer | None) -> dict[str, Any] | None:
    if quantizer is None:
        return None
    return {"class_name": type(quantizer).__name__, "config": quantizer.get_config()}


def deserialize_quantizer(value: Any) -> WeightQuantizer | None:
    if value is None or isinstance(value, WeightQuantizer):
        return value
    name = value["class_name"]
    cls = QUANTIZERS.get(name) or keras.saving.get_registered_object(name)
    if cls is None:
        raise ValueError(f"Unknown quantizer {name!r}; pass its class to quantize_scope.")
    return cls.from_config(value["config"])


def _add_variables(layer: Any, specs: Iterable[VariableSpec], **options: Any) -> dict[str, Any]:
    """A quantizer's variables by name, as weights of the layer in float32."""
    return {
        spec.name: layer.add_weight(
            name=spec.name,
            shape=spec.shape,
            initializer=keras.initializers.Constant(spec.initial),
            dtype="float32",
            trainable=spec.trainable,
            autocast=False,
            **options,
        )
        for spec in specs
    }


class QuantizedWeights:
    """Mixin: the layer computes with a quantized form of its kernel.

    The latent kernel stays the layer's variable, in float32 even under mixed precision, so that
    training and conversion find equal masks.

    Args:
      weight_quantizer: a WeightQuantizer; None for dense int8 weights, one scale per output
        channel.
    """

    # Attribute that holds the variable, and the axes that one output channel spans.
    latent_name = "_kernel"
    channel_axes: tuple[int, ...] | None = None

    def __init__(self, *args: Any, weight_quantizer: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weight_quantizer = deserialize_quantizer(weight_quantizer)
        self.quantizer_variables: dict[str, Any] = {}

    def build(self: Any, input_shape: Any) -> None:
        super().build(input_shape)  # type: ignore[misc]
        self.add_quantizer_variables()

    def add_quantizer_variables(self: Any) -> None:
        """Part of `build`."""
        self.latent_kernel._autocast = False
        if self.weight_quantizer is not None:
            specs = self.weight_quantizer.variables(tuple(self.latent_kernel.shape))
            self.quantizer_variables.update(_add_variables(self, specs))

    @property
    def latent_kernel(self) -> Any:
        """The full-precision variable, [..., Ci, Co]."""
        return getattr(self, self.latent_name)

    def quantized_kernel(self: Any) -> Any:
        """The weights that the layer computes with, in its compute dtype."""
        return ops.cast(constant_or_traced(self._quantize), self.compute_dtype)

    def _quantize(self: Any) -> Any:
        kernel = ops.cast(ops.convert_to_tensor(self.latent_kernel), "float32")
        if self.weight_quantizer is None:
            axes = self.channel_axes or tuple(range(len(kernel.shape) - 1))
            return on_channel_grid(ops, kernel, axes)
        values = {n: ops.convert_to_tensor(v) for n, v in self.quantizer_variables.items()}
        return self.weight_quantizer.quantize(ops, kernel, values)

    # The layers' own versions would store the quantized kernel.
    def save_own_variables(self: Any, store: Any) -> None:
        keras.Layer.save_own_variables(self, store)

    def load_own_variables(self: Any, store: Any) -> None:
        keras.Layer.load_own_variables(self, store)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()  # type: ignore[misc]
        return {**config, "weight_quantizer": serialize_quantizer(self.weight_quantizer)}


class _QuantizedKernelProperty(QuantizedWeights):
    @property
    def kernel(self) -> Any:
        """What the layer computes with; `latent_kernel` is the variable."""
        return self.quantized_kernel()


@_register
class QuantizedConv1D(_QuantizedKernelProperty, keras.layers.Conv1D):
    """Conv1D with quantized weights."""


@_register
class QuantizedConv2D(_QuantizedKernelProperty, keras.layers.Conv2D):
    """Conv2D with quantized weights."""


@_register
class QuantizedDense(_QuantizedKernelProperty, keras.layers.Dense):
    """Dense with quantized weights."""


class _Convolving(QuantizedWeights):
    latent_name = "kernel"

    def _convolve(self: Any, inputs: Any) -> Any:
        raise NotImplementedError

    def call(self: Any, inputs: Any) -> Any:
        outputs = self._convolve(inputs)
        if self.use_bias:
            bias = ops.convert_to_tensor(self.bias)
            if self.data_format == "channels_first":
                bias = ops.reshape(bias, (-1, *(1 for _ in self.kernel_size)))
            outputs = outputs + bias
        return outputs if self.activation is None else self.activation(outputs)


class _DepthwiseConv(_Convolving):
    def _convolve(self: Any, inputs: Any) -> Any:
        strides = self.strides if len(set(self.strides)) > 1 else self.strides[0]
        return ops.depthwise_conv(
            inputs,
            self.quantized_kernel(),
            strides=strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )


@_register
class QuantizedDepthwiseConv1D(_DepthwiseConv, keras.layers.DepthwiseConv1D):
    """DepthwiseConv1D with dense int8 weights."""

    channel_axes = (0,)


@_register
class QuantizedDepthwiseConv2D(_DepthwiseConv, keras.layers.DepthwiseConv2D):
    """DepthwiseConv2D with dense int8 weights."""

    channel_axes = (0, 1)


class _SeparableConv(_Convolving):
    latent_name = "pointwise_kernel"

    def _convolve(self: Any, inputs: Any) -> Any:
        return ops.separable_conv(
            inputs,
            self.depthwise_kernel,
            self.quantized_kernel(),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )


@_register
class QuantizedSeparableConv1D(_SeparableConv, keras.layers.SeparableConv1D):
    """SeparableConv1D with quantized pointwise weights, inside of a layer of the user's."""


@_register
class QuantizedSeparableConv2D(_SeparableConv, keras.layers.SeparableConv2D):
    """SeparableConv2D with quantized pointwise weights, inside of a layer of the user's."""


@_register
class QuantizedConv2DTranspose(_Convolving, keras.layers.Conv2DTranspose):
    """Conv2DTranspose with dense int8 weights."""

    channel_axes = (0, 1, 3)

    def _convolve(self: Any, inputs: Any) -> Any:
        return ops.conv_transpose(
            inputs,
            self.quantized_kernel(),
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )


@_register
class FakeQuantize(keras.layers.Layer):
    """8-bit asymmetric fake quantization of a tensor; give it dtype="float32" in mixed precision:
    a grid of 255 steps has no exact bfloat16 values.

    The range is the moving average of each training batch's minimum and maximum: the plain mean of
    the first batches until 1 - 1/n reaches `momentum`. It always holds 0, which padding needs.

    Args:
      limits: (minimum, maximum) of a fixed range, instead.
      momentum: of the moving average.
    """

    def __init__(
        self, limits: tuple[float, float] | None = None, momentum: float = 0.99, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.limits = None if limits is None else (float(limits[0]), float(limits[1]))
        self.momentum = float(momentum)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        if self.limits is None:
            # Before the first batch: tfmot's range.
            self.minimum = self._variable("minimum", -6.0)
            self.maximum = self._variable("maximum", 6.0)
            self.batches = self._variable("batches", 0.0)
        self.built = True

    def _variable(self, name: str, value: float) -> Any:
        return self.add_weight(
            name=name,
            shape=(),
            initializer=keras.initializers.Constant(value),
            dtype="float32",
            trainable=False,
            autocast=False,
            aggregation="mean",
        )

    def call(self, inputs: Any, training: bool | None = None, observe: bool = True) -> Any:
        """`observe=False`: the tensor shares the range of another one and does not move it."""
        if self.limits is None and training and observe and self.trainable:
            self._observe(ops.cast(inputs, "float32"))
        low, high = self.limits_now()
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, low, high, num_bits=8)

    def limits_now(self) -> tuple[Any, Any]:
        """(minimum, maximum) of the range."""
        if self.limits is not None:
            return self.limits
        low = ops.minimum(ops.convert_to_tensor(self.minimum), 0.0)
        # A range of no width has no scale.
        high = ops.maximum(ops.convert_to_tensor(self.maximum), low + MIN_WIDTH)
        return low, ops.maximum(high, 0.0)

    def _observe(self, values: Any) -> None:
        values = ops.stop_gradient(values)
        some, count = one_if_any(ops, values), ops.convert_to_tensor(self.batches)
        keep = ops.minimum(self.momentum, count / (count + 1.0))
        # With 0 inside, as tfmot's ranges; also of nothing.
        low, high = ops.min(values, initial=0.0), ops.max(values, initial=0.0)
        for variable, seen in ((self.minimum, low), (self.maximum, high)):
            before = ops.convert_to_tensor(variable)
            variable.assign(keep * before + (1.0 - keep) * ops.where(some > 0.0, seen, before))
        self.batches.assign(count + some)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "limits": self.limits, "momentum": self.momentum}


@_register
class ReluAgain(keras.layers.Layer):
    """A ReLU of what is at least 0 already, between two fake quantizations.

    When the model runs it is a depthwise convolution by 1 with a ReLU, whose integer kernel brings
    the tensor to the second scale. TFLite's RELU would, too, but takes 15 times as long, and rounds
    twice: 6% of the values between two of the coarse grid go to the wrong one.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training:
            return ops.relu(inputs)
        return _depthwise(inputs, ops.ones(inputs.shape[-1:], inputs.dtype), relu=True)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def _depthwise(inputs: Any, scale: Any, shift: Any = None, relu: bool = False) -> Any:
    """scale * x + shift per channel, as one convolution; [C] each."""
    image, inner, channels = inputs, inputs.shape[1:-1], inputs.shape[-1]
    static = None not in inner
    if len(inputs.shape) != 4:
        # Of unknown length: each step becomes an image of one pixel.
        image = ops.reshape(inputs, (-1, 1, math.prod(inner) if static else 1, channels))
    kernel = ops.reshape(scale, (1, 1, channels, 1))
    outputs = ops.depthwise_conv(image, kernel, padding="valid")
    if shift is not None:
        outputs = outputs + shift
    if relu:
        outputs = ops.relu(outputs)
    if len(inputs.shape) == 4:
        return outputs
    return ops.reshape(outputs, (-1, *inner, channels) if static else ops.shape(inputs))


@_register
class FakeQuantizeInput(keras.layers.Layer):
    """Fake quantization of a ReLU's output to few bits; `input_quantizer` says how.

    Args:
      input_quantizer: an InputQuantizer, or its configuration.
    """

    def __init__(self, input_quantizer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(input_quantizer, InputQuantizer):
            input_quantizer = InputQuantizer.from_config(input_quantizer)
        self.input_quantizer: InputQuantizer = input_quantizer
        self.input_variables: dict[str, Any] = {}
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        specs = self.input_quantizer.variables()
        self.input_variables.update(_add_variables(self, specs, aggregation="mean"))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None, observe: bool = True) -> Any:
        """`observe=False`: the tensor shares the range of another one and does not move it."""
        quantizer = self.input_quantizer
        if training and observe and self.trainable:
            seen = quantizer.observed(ops, inputs, self._values())
            for name, value in seen.items():
                self.input_variables[name].assign(value)
        low, high = self.limits_now()
        outputs = keras.quantizers.fake_quant_with_min_max_vars(inputs, low, high, num_bits=8)
        if not training:
            return outputs
        return quantizer.with_gradient(ops, inputs, outputs, self._values())

    def limits_now(self) -> tuple[Any, Any]:
        """(minimum, maximum) of the range."""
        return self.input_quantizer.limits(ops, self._values())

    def _values(self) -> dict[str, Any]:
        return {n: ops.convert_to_tensor(v) for n, v in self.input_variables.items()}

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "input_quantizer": self.input_quantizer.get_config()}


@_register
class ChannelScale(keras.layers.Layer):
    """scale * x + shift per channel, as a depthwise 1x1 convolution when the model runs.

    A convolution has a scale per channel and a 32-bit bias: unlike int8 multiplication and addition
    of constants it is exact up to one rounding, and what follows can be folded into it.

    Args:
      trainable_scale: whether the optimizer moves `scale` and `shift`.
    """

    def __init__(self, trainable_scale: bool = False, use_shift: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.trainable_scale, self.use_shift = bool(trainable_scale), bool(use_shift)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        channels = (input_shape[-1],)
        self.scale = self.add_weight(
            name="scale", shape=channels, initializer="ones", trainable=self.trainable_scale
        )
        if self.use_shift:
            self.shift = self.add_weight(
                name="shift",
                shape=channels,
                initializer="zeros",
                trainable=self.trainable_scale,
            )
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        scale = ops.convert_to_tensor(self.scale)
        shift = ops.convert_to_tensor(self.shift) if self.use_shift else None
        if not training:
            return _depthwise(inputs, scale, shift)
        outputs = inputs * scale
        return outputs if shift is None else outputs + shift

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "trainable_scale": self.trainable_scale,
            "use_shift": self.use_shift,
        }


class _WithValue(keras.layers.Layer):
    def __init__(self, value: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = float(value)
        self.supports_masking = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "value": self.value}


@_register
class Offset(_WithValue):
    """x + value."""

    def call(self, inputs: Any) -> Any:
        return inputs + self.value


@_register
class Factor(_WithValue):
    """x * value."""

    def call(self, inputs: Any) -> Any:
        return inputs * self.value


@_register
class NearestUpSampling2D(keras.layers.UpSampling2D):
    """UpSampling2D by repetition, as one operator that LiteRT has in int8 (TILE is not)."""

    def call(self, inputs: Any) -> Any:
        height, width = (s * f for s, f in zip(inputs.shape[1:3], self.size, strict=True))
        return ops.image.resize(inputs, (height, width), interpolation="nearest")


@_register
class QuantizeAnnotate(keras.layers.Wrapper):
    """Marks a layer for quantize_apply; computes what the layer computes."""

    weight_quantizer: WeightQuantizer

    def __init__(self, layer: Any, weight_quantizer: Any, **kwargs: Any) -> None:
        kwargs.setdefault("name", f"annotated_{layer.name}")
        super().__init__(layer, **kwargs)
        quantizer = deserialize_quantizer(weight_quantizer)
        assert quantizer is not None
        self.weight_quantizer = quantizer

    @property
    def annotated_name(self) -> str:
        return self.layer.name

    def call(self, inputs: Any, **kwargs: Any) -> Any:
        return self.layer(inputs, **kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "weight_quantizer": serialize_quantizer(self.weight_quantizer)}


QUANTIZED: dict[str, type] = {
    "Conv1D": QuantizedConv1D,
    "Conv2D": QuantizedConv2D,
    "Dense": QuantizedDense,
    "DepthwiseConv1D": QuantizedDepthwiseConv1D,
    "DepthwiseConv2D": QuantizedDepthwiseConv2D,
    "Conv2DTranspose": QuantizedConv2DTranspose,
    "SeparableConv1D": QuantizedSeparableConv1D,
    "SeparableConv2D": QuantizedSeparableConv2D,
}

"""Keras layers turned into calls that are one LiteRT operator each, with quantized weights.

What a layer does in several operators (swish, separable convolutions, sums of three tensors)
becomes several layers, so that `rules.placement` can quantize between them. Their names begin with
the layer's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import tree

from tf_signbin.train.keras3 import layers as ours
from tf_signbin.train.keras3.graph import Call, Ref, Trace, clone_layer
from tf_signbin.train.rules.quantizers import WeightQuantizer

_WEIGHTED = {
    "Conv1D": "conv",
    "Conv2D": "conv",
    "Dense": "dense",
    "DepthwiseConv1D": "depthwise_conv",
    "DepthwiseConv2D": "depthwise_conv",
    "Conv2DTranspose": "transpose_conv",
}
# Layers and operations that are one operator as they are.
_KINDS = {
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D", "MaxPool"), "max_pool"),
    **dict.fromkeys(("AveragePooling1D", "AveragePooling2D", "AveragePool"), "average_pool"),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalAveragePooling2D", "Mean"), "mean"),
    **dict.fromkeys(("GlobalMaxPooling1D", "GlobalMaxPooling2D", "Max"), "reduce_max"),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "ExpandDims"), "reshape"),
    **dict.fromkeys(("Permute", "Transpose", "Swapaxes", "Moveaxis"), "transpose"),
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), "pad"),
    **dict.fromkeys(("Cropping1D", "Cropping2D", "GetItem"), "slice"),
    **dict.fromkeys(("Concatenate",), "concat"),
    "Split": "split",
    "Stack": "stack",
    "PReLU": "prelu",
    "LeakyReLU": "leaky_relu",
    "LeakyRelu": "leaky_relu",
    "Softmax": "softmax",
    "Exp": "exp",
    "Absolute": "abs",
    "Abs": "abs",
    "Square": "mul",
    "Matmul": "matmul",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Gelu": "gelu",
    "LogSoftmax": "log_softmax",
    "HardSilu": "hard_swish",
    **dict.fromkeys(
        ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "AlphaDropout", "GaussianDropout",
         "GaussianNoise", "ActivityRegularization", "Identity", "StochasticDepth"),
        "identity",
    ),
}  # fmt: skip
_ACTIVATIONS = {
    "relu": "relu",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "gelu": "gelu",
    "hard_silu": "hard_swish",
    "hard_swish": "hard_swish",
    "leaky_relu": "leaky_relu",
    "exponential": "exp",
    "hard_tanh": "relu_n1_to_1",
}
_SUMS = {"Add": "add", "Multiply": "mul", "Subtract": "sub"}


class Lowering:
    """Lowers a trace; `calls` are the result, `resolve` finds a tensor of the trace in it.

    Args:
      trace: of the float model.
      quantizers: of the layers that get one, by name.
      activations: with 'float32' only the weights of those layers change.
    """

    def __init__(
        self, trace: Trace, quantizers: dict[str, WeightQuantizer], activations: str
    ) -> None:
        self.trace, self.quantizers = trace, quantizers
        self.int8 = activations == "int8"
        self.calls: list[Call] = []
        self._count = trace.count
        self._aliases: dict[Ref, Ref] = {}
        self._made: dict[tuple[int, str], Any] = {}
        self._copies: list[Callable[[], None]] = []
        self._writers: dict[Ref, Call] = {}
        self._shapes = trace.all_shapes()
        self._readers: dict[Ref, int] = {}
        for ref in [r for call in trace.calls for r in call.tensors()] + tree.flatten(
            trace.outputs
        ):
            self._readers[ref] = self._readers.get(ref, 0) + 1
        for call in trace.calls:
            self._lower(call)

    def resolve(self, ref: Ref) -> Ref:
        return self._aliases.get(ref, ref)

    def copy_weights(self) -> None:
        """Gives the new layers, built by now, the weights of the old ones."""
        for copy in self._copies:
            copy()

    def _lower(self, call: Call) -> None:
        args, kwargs = call.replaced(self.resolve)
        self.call = Call(call.name, _unannotated(call.operation), args, kwargs, call.outputs)
        operation = self.call.operation
        kind = type(operation).__name__
        quantizer = self.quantizers.get(call.name)
        if kind.startswith("SeparableConv") and (self.int8 or quantizer is not None):
            self._separable(operation, quantizer)
        elif kind in _WEIGHTED and (self.int8 or quantizer is not None):
            layer = self._make("", lambda name: self._quantized(operation, quantizer, name))
            out = self._emit(_WEIGHTED[kind], layer, *args, **kwargs)
            self._finish(self._activate(out, operation.activation) if self.int8 else out)
        elif not self.int8:
            self._keep("")
        elif isinstance(operation, keras.Layer) and hasattr(self, f"_lower_{kind}"):
            getattr(self, f"_lower_{kind}")(operation)
        elif kind in _SUMS or kind in ("TrueDivide", "Divide"):
            self._arithmetic(kind)
        elif kind in ("Silu", "HardSigmoid"):
            self._finish(self._activate_named(self._input(), kind))
        else:
            self._keep(_KINDS.get(kind, kind))

    # Building blocks.

    def _input(self) -> Ref:
        return self.call.tensors()[0]

    def _make(self, part: str, factory: Callable[[str], Any]) -> Any:
        """The new layer for a part of the current one, made once however often it is called."""
        key = (id(self.call.operation), part)
        if key not in self._made:
            name = f"{self.call.name}_{part}" if part else self.call.name
            self._made[key] = factory(name)
        return self._made[key]

    def _emit(self, kind: str, operation: Any, *args: Any, **kwargs: Any) -> Ref:
        self._count += 1
        out = Ref(self._count - 1)
        name = getattr(operation, "name", self.call.name)
        self._append(Call(name, operation, args, kwargs, [out], kind))
        return out

    def _append(self, call: Call) -> None:
        self.calls.append(call)
        self._writers.update(dict.fromkeys(call.outputs, call))

    def _finish(self, ref: Ref) -> None:
        self._aliases[self.call.outputs[0]] = ref

    def _keep(self, kind: str) -> None:
        """The layer as it is."""
        layer = self._make("", self._clone)
        call = self.call
        self._append(Call(call.name, layer, call.args, call.kwargs, call.outputs, kind))

    def _clone(self, name: str) -> Any:
        old = self.call.operation
        new = clone_layer(old, name)
        if isinstance(new, keras.Layer):
            self._copies.append(lambda: new.set_weights(old.get_weights()))
        return new

    def _rank(self, ref: Ref) -> int:
        return len(self._shapes[ref])

    # Layers with weights.

    def _quantized(self, layer: Any, quantizer: WeightQuantizer | None, name: str) -> Any:
        config = {**layer.get_config(), "name": name}
        if self.int8:
            config["activation"] = "linear"
        new = self._new_weighted(type(layer).__name__, config, quantizer)
        latent = getattr(layer, "_kernel", None)
        latent = layer.kernel if latent is None else latent
        self._copy_kernel(new, latent, layer.bias)
        return new

    def _new_weighted(self, kind: str, config: Any, quantizer: WeightQuantizer | None) -> Any:
        if quantizer is not None:
            quantizer = quantizer.with_options(int8_grid=self.int8)
        new = ours.QUANTIZED[kind].from_config({**config, "weight_quantizer": quantizer})  # type: ignore[attr-defined]
        new.trainable = self.call.operation.trainable
        return new

    def _copy_kernel(self, new: Any, kernel: Any, bias: Any) -> None:
        def copy() -> None:
            new.latent_kernel.assign(kernel)
            if bias is not None:
                new.bias.assign(bias)

        self._copies.append(copy)

    def _separable(self, layer: Any, quantizer: WeightQuantizer | None) -> None:
        rank, config = layer.rank, layer.get_config()
        shared = {key: config[key] for key in ("dtype", "data_format")}

        def depthwise(name: str) -> Any:
            keys = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier",
                    "depthwise_initializer", "depthwise_regularizer",
                    "depthwise_constraint")  # fmt: skip
            kind = f"DepthwiseConv{rank}D"
            arguments = {**shared, **{k: config[k] for k in keys}, "name": name, "use_bias": False}
            if self.int8:
                new = self._new_weighted(kind, arguments, None)
            else:
                new = getattr(keras.layers, kind).from_config(arguments)
                new.trainable = layer.trainable
            kernel = layer.depthwise_kernel
            self._copies.append(lambda: new.kernel.assign(kernel))
            return new

        def pointwise(name: str) -> Any:
            keys = ("filters", "use_bias", "bias_initializer", "bias_regularizer",
                    "bias_constraint", "activity_regularizer")  # fmt: skip
            kernel = {f"kernel_{k}": config[f"pointwise_{k}"]
                      for k in ("initializer", "regularizer", "constraint")}  # fmt: skip
            arguments = {**shared, **{k: config[k] for k in keys}, **kernel, "kernel_size": 1,
                         "name": name}  # fmt: skip
            if not self.int8:
                arguments["activation"] = config["activation"]
            new = self._new_weighted(f"Conv{rank}D", arguments, quantizer)
            self._copy_kernel(new, layer.pointwise_kernel, layer.bias)
            return new

        middle = self._emit("depthwise_conv", self._make("depthwise", depthwise), *self.call.args)
        out = self._emit("conv", self._make("pointwise", pointwise), middle)
        self._finish(self._activate(out, layer.activation) if self.int8 else out)

    # Activations.

    def _activate(self, ref: Ref, function: Any) -> Ref:
        if function in (None, keras.activations.linear):
            return ref
        if isinstance(function, keras.Layer):
            copy = self._make(function.name, lambda name: clone_layer(function, name))
            self._copies.append(lambda: copy.set_weights(function.get_weights()))
            return self._emit(
                _KINDS.get(type(function).__name__, type(function).__name__), copy, ref
            )
        return self._activate_named(ref, getattr(function, "__name__", repr(function)), function)

    def _activate_named(self, ref: Ref, name: str, function: Any = None) -> Ref:
        if name in ("silu", "swish", "Silu"):
            gate = self._emit("sigmoid", self._activation("sigmoid"), ref)
            product = self._make("product", lambda n: keras.layers.Multiply(name=n))
            return self._emit("mul", product, [ref, gate])
        if name in ("hard_sigmoid", "HardSigmoid"):
            shifted = self._emit(
                "add", self._make("shift", lambda n: ours.Offset(3.0, name=n)), ref
            )
            clipped = self._emit("relu6", self._activation("relu6"), shifted)
            factor = self._make("factor", lambda n: ours.Factor(1.0 / 6.0, name=n))
            return self._emit("mul", factor, clipped)
        kind = _ACTIVATIONS.get(name, name)
        return self._emit(kind, self._activation(function or name), ref)

    def _activation(self, function: Any) -> Any:
        part = function if isinstance(function, str) else function.__name__
        # An Activation layer of one operator keeps its own name.
        if type(self.call.operation).__name__ == "Activation" and not isinstance(function, str):
            part = ""
        return self._make(part, lambda name: keras.layers.Activation(function, name=name))

    def _lower_Activation(self, layer: Any) -> None:  # noqa: N802 (the layer's name)
        if layer.activation is keras.activations.linear:
            self._keep("identity")
        else:
            self._finish(self._activate(self._input(), layer.activation))

    def _lower_ReLU(self, layer: Any) -> None:  # noqa: N802
        plain = not layer.negative_slope and not layer.threshold
        if plain and layer.max_value in (None, 6):
            self._keep("relu" if layer.max_value is None else "relu6")
        elif layer.max_value is None and not layer.threshold:
            self._keep("leaky_relu")
        else:
            self._keep(f"ReLU with max_value={layer.max_value}, threshold={layer.threshold}")

    # Normalization.

    def _lower_BatchNormalization(self, layer: Any) -> None:  # noqa: N802
        ref = self._input()
        writer = self._writers.get(ref)
        source = next(iter(c for c in self.trace.calls if self.call.outputs == c.outputs)).tensors()
        last = layer.axis in (-1, self._rank(source[0]) - 1)
        if not last:
            self._keep(f"BatchNormalization of axis {layer.axis}")
            return
        folds = writer is not None and (
            writer.kind in ("conv", "depthwise_conv")
            or (writer.kind == "dense" and self._rank(source[0]) == 2)
        )
        if not (folds and self._readers[source[0]] == 1):
            scale = self._make("scale", lambda n: ours.ChannelScale(use_shift=False, name=n))
            ref = self._emit("depthwise_conv", scale, ref)
        copy = self._make("", self._clone)
        out = self._emit("batch_norm", copy, ref, **self.call.kwargs)
        self._finish(out)

    def _scale(self, scale: Any, shift: Any, trainable: bool = False) -> None:
        layer = self._make(
            "", lambda n: ours.ChannelScale(trainable, use_shift=shift is not None, name=n)
        )
        shape = (int(self._shapes[self.call.outputs[0]][-1] or 0),)

        def copy() -> None:
            layer.scale.assign(np.broadcast_to(np.asarray(scale, np.float32).ravel(), shape))
            if shift is not None:
                layer.shift.assign(np.broadcast_to(np.asarray(shift, np.float32).ravel(), shape))

        self._copies.append(copy)
        self._finish(self._emit("depthwise_conv", layer, self._input()))

    def _lower_Rescaling(self, layer: Any) -> None:  # noqa: N802
        self._scale(layer.scale, layer.offset)

    def _lower_Normalization(self, layer: Any) -> None:  # noqa: N802
        mean = keras.ops.convert_to_numpy(layer.mean)
        spread = np.maximum(np.sqrt(keras.ops.convert_to_numpy(layer.variance)), 1e-7)
        channels = self._shapes[self.call.outputs[0]][-1]
        if layer.invert or mean.size not in (1, channels):
            self._keep("Normalization of other axes than the last, or inverted")
        else:
            self._scale(1.0 / spread, -mean / spread)

    def _lower_LayerScale(self, layer: Any) -> None:  # noqa: N802
        self._scale(keras.ops.convert_to_numpy(layer.gamma), None, trainable=layer.trainable)

    # Arithmetic.

    def _arithmetic(self, kind: str) -> None:
        """Sums and products, of two operands each."""
        operation, args = self.call.operation, self.call.args
        if isinstance(operation, keras.Layer):
            tensors = list(args[0])
            if len(tensors) == 2:
                self._keep(_SUMS[kind])
                return
            out = tensors[0]
            for i, tensor in enumerate(tensors[1:]):
                part = "" if i == len(tensors) - 2 else str(i + 1)
                layer = self._make(part, lambda n: type(operation)(name=n))
                out = self._emit(_SUMS[kind], layer, [out, tensor])
            self._finish(out)
            return
        if kind in ("TrueDivide", "Divide"):
            # A constant divisor becomes a factor in the converter.
            kind = "Multiply" if not isinstance(args[1], Ref) else "division by a tensor"
        self.call.args = tuple(a if isinstance(a, Ref) else _on_grid(a) for a in args)
        self._keep(_SUMS.get(kind, kind))

    def _lower_Average(self, layer: Any) -> None:  # noqa: N802
        tensors = list(self.call.args[0])
        out = tensors[0]
        for i, tensor in enumerate(tensors[1:]):
            total = self._make(f"sum_{i}", lambda n: keras.layers.Add(name=n))
            out = self._emit("add", total, [out, tensor])
        factor = self._make("", lambda n: ours.Factor(1.0 / len(tensors), name=n))
        self._finish(self._emit("mul", factor, out))

    def _lower_UpSampling2D(self, layer: Any) -> None:  # noqa: N802
        if layer.interpolation == "nearest" and layer.data_format == "channels_last":
            config = layer.get_config()
            new = self._make(
                "", lambda n: ours.NearestUpSampling2D.from_config({**config, "name": n})
            )
            self._finish(self._emit("resize_nearest", new, self._input()))
        else:
            self._keep({"bilinear": "resize_bilinear"}.get(layer.interpolation, "UpSampling2D"))


def _unannotated(operation: Any) -> Any:
    return operation.layer if isinstance(operation, ours.QuantizeAnnotate) else operation


def _on_grid(constant: Any) -> Any:
    """A constant operand as the converter stores it: int8 with one scale."""
    values = np.asarray(keras.ops.convert_to_numpy(constant), np.float32)
    largest = np.abs(values).max(initial=0.0)
    if values.ndim == 0 or largest == 0.0:
        return constant
    return np.round(values * 127.0 / largest) * (largest / np.float32(127.0))

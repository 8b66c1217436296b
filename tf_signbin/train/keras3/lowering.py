"""Keras layers turned into calls that are one LiteRT operator each, with quantized weights.

What a layer does in several operators (swish, separable convolutions, sums of three tensors)
becomes several layers, so that `rules.placement` can quantize between them. Their names begin with
the layer's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import tree

from tf_signbin.train.keras3 import decompose
from tf_signbin.train.keras3 import layers as ours
from tf_signbin.train.keras3.graph import Call, Ref, Trace, clone_layer
from tf_signbin.train.keras3.inside import Path, quantize_inside
from tf_signbin.train.rules.placement import KINDS
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
    **dict.fromkeys(("Flip",), "reverse"),
    **dict.fromkeys(("Pad",), "pad"),
    "Min": "reduce_min",
    "Sum": "sum",
    "Sqrt": "sqrt",
    "Rsqrt": "rsqrt",
    "Log": "log",
    "Embedding": "embedding",
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
# Arguments of a convolution that Dense has too, or that follow from its own.
_OF_CONVOLUTIONS = (
    "name", "dtype", "filters", "kernel_size", "data_format", "activation", "use_bias",
    *(f"{part}_{what}" for part in ("kernel", "bias") for what in ("initializer", "regularizer",
                                                                  "constraint")),
    "activity_regularizer",
)  # fmt: skip


class Lowering:
    """Lowers a trace; `calls` are the result, `resolve` finds a tensor of the trace in it.

    Args:
      trace: of the float model.
      quantizers: of the layers that get one, by name.
      activations: with 'float32' only the weights of those layers change.
      within: of layers inside of layers, by the outer one's name.
    """

    def __init__(
        self,
        trace: Trace,
        quantizers: dict[str, WeightQuantizer],
        activations: str,
        within: Mapping[str, Mapping[Path, WeightQuantizer]],
    ) -> None:
        self.trace, self.quantizers, self.within = trace, quantizers, within
        self.int8 = activations == "int8"
        self.calls: list[Call] = []
        # The call that holds a layer's quantized weights, by the layer's name.
        self.weighted: dict[str, str] = {}
        # What has no int8 operator, by the name of its layer.
        self.floats: dict[str, str] = {}
        self._count = trace.count
        self._aliases: dict[Ref, Ref] = {}
        self._made: dict[tuple[int, str], Any] = {}
        self._copies: list[Callable[[], None]] = []
        self._writers: dict[Ref, Call] = {}
        self._shapes = trace.shapes
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
        self._original = call
        args, kwargs = call.replaced(self.resolve)
        self.call = Call(call.name, _unannotated(call.operation), args, kwargs, call.outputs)
        operation = self.call.operation
        kind = type(operation).__name__
        quantizer = self.quantizers.get(call.name)
        if kind.startswith("SeparableConv") and (self.int8 or quantizer is not None):
            self._separable(operation, quantizer)
        elif self.int8 and self._is_depthwise(operation, kind):
            self._grouped_as_depthwise(operation)
        elif kind in _WEIGHTED and (self.int8 or quantizer is not None):
            if kind == "Dense":
                kind = self._kind_of_dense()
            layer = self.make("", lambda name: self._quantized(operation, kind, quantizer, name))
            self.weighted[call.name] = layer.name
            out = self.emit(_WEIGHTED[kind], layer, *args, **kwargs)
            self.finish(self._activate(out, operation.activation) if self.int8 else out)
        elif not self.int8:
            self.keep("")
        elif kind == "Activation":
            self._activation_layer(operation)
        else:
            rules = decompose.LAYERS if isinstance(operation, keras.Layer) else decompose.OPERATIONS
            rule = rules.get(kind)
            if rule is not None:
                rule(self, operation)
            else:
                self.keep(_KINDS.get(kind, kind))

    # Building blocks.

    def input(self) -> Ref:
        """The current call's first tensor."""
        return self.call.tensors()[0]

    def source(self) -> Ref:
        """The same as the trace has it, before what reads it now was lowered."""
        return self._original.tensors()[0]

    def rank(self, ref: Ref) -> int:
        return len(self._shapes[ref])

    def channels(self) -> int:
        """Size of the last axis of what the current call writes."""
        return int(self._shapes[self.call.outputs[0]][-1] or 0)

    def readers(self, ref: Ref) -> int:
        """How often a tensor of the trace is read or returned."""
        return self._readers[ref]

    def writer(self, ref: Ref) -> Call | None:
        """The lowered call that writes a tensor."""
        return self._writers.get(ref)

    def copy_later(self, copy: Callable[[], None]) -> None:
        """Does this when the new layers are built."""
        self._copies.append(copy)

    def make(self, part: str, factory: Callable[[str], Any]) -> Any:
        """The new layer for a part of the current one, made once however often it is called."""
        operation = self.call.operation
        key = (id(operation), part)
        if key not in self._made:
            name = f"{self.call.name}_{part}" if part else self.call.name
            layer = self._made[key] = factory(name)
            if isinstance(layer, keras.Layer) and layer is not operation:
                layer.dtype_policy = getattr(operation, "dtype_policy", "float32")
        return self._made[key]

    def emit(self, kind: str, operation: Any, *args: Any, **kwargs: Any) -> Ref:
        self._count += 1
        out = Ref(self._count - 1)
        name = getattr(operation, "name", self.call.name)
        self._append(Call(name, operation, args, kwargs, [out], kind))
        return out

    def _append(self, call: Call) -> None:
        self.calls.append(call)
        self._writers.update(dict.fromkeys(call.outputs, call))

    def finish(self, ref: Ref) -> None:
        self._aliases[self.call.outputs[0]] = ref

    def keep(self, kind: str) -> None:
        """The layer as it is."""
        layer = self.make("", self.clone)
        call = self.call
        kind = self._known(kind) if self.int8 else kind
        self._append(Call(call.name, layer, call.args, call.kwargs, call.outputs, kind))

    def _known(self, kind: str) -> str:
        """The kind, or 'float' for what has no int8 operator, which is noted."""
        if kind in KINDS:
            return kind
        self.floats[self.call.name] = kind
        return "float"

    def clone(self, name: str) -> Any:
        old = self.call.operation
        new = clone_layer(old, name)
        if isinstance(new, keras.Layer):
            self._copies.append(lambda: new.set_weights(old.get_weights()))
        inner = self.within.get(self.call.name)
        if inner:
            self._copies.append(lambda: quantize_inside(new, inner))
        return new

    # Layers with weights.

    def _kind_of_dense(self) -> str:
        """A Dense on sequences or images is a convolution of size 1: as a product between reshapes,
        the converter folds neither a bias nor a BatchNorm into it."""
        source = self.source()
        kinds = {3: "Conv1D", 4: "Conv2D"}
        return "Dense" if source in self.trace.masked else kinds.get(self.rank(source), "Dense")

    def _quantized(
        self, layer: Any, kind: str, quantizer: WeightQuantizer | None, name: str
    ) -> Any:
        config = {**layer.get_config(), "name": name}
        latent = getattr(layer, "_kernel", None)
        latent = layer.kernel if latent is None else latent
        if kind != type(layer).__name__:
            window = (1,) * (self.rank(self.source()) - 2)
            latent = keras.ops.reshape(latent, (*window, *latent.shape))
            config |= {"filters": config["units"], "kernel_size": window,
                       "data_format": "channels_last"}  # fmt: skip
            config = {key: config[key] for key in _OF_CONVOLUTIONS if key in config}
        if self.int8:
            config["activation"] = "linear"
        new = self._new_weighted(kind, config, quantizer)
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

    def _is_depthwise(self, layer: Any, kind: str) -> bool:
        """Whether this convolution has one group a channel, as a depthwise one, but is slow."""
        if kind not in ("Conv1D", "Conv2D") or layer.data_format != "channels_last":
            return False
        channels = self._shapes[self.source()][-1]
        return layer.padding != "causal" and 1 < layer.groups == channels

    def _grouped_as_depthwise(self, layer: Any) -> None:
        config = layer.get_config()
        shared = ("dtype", "kernel_size", "strides", "padding", "dilation_rate", "data_format",
                  "use_bias", "bias_initializer", "bias_regularizer", "bias_constraint",
                  "activity_regularizer")  # fmt: skip
        kernel = {f"depthwise_{key}": config[f"kernel_{key}"]
                  for key in ("initializer", "regularizer", "constraint")}  # fmt: skip
        multiplier = layer.filters // layer.groups

        def depthwise(name: str) -> Any:
            arguments = {**{key: config[key] for key in shared if key in config}, **kernel}
            arguments |= {"name": name, "depth_multiplier": multiplier}
            new = self._new_weighted(f"DepthwiseConv{layer.rank}D", arguments, None)
            shape = (*layer.kernel_size, layer.groups, multiplier)
            self._copy_kernel(new, keras.ops.reshape(layer.kernel, shape), layer.bias)
            return new

        out = self.emit("depthwise_conv", self.make("", depthwise), *self.call.args)
        self.finish(self._activate(out, layer.activation))

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

        middle = self.emit("depthwise_conv", self.make("depthwise", depthwise), *self.call.args)
        with_weights = self.make("pointwise", pointwise)
        self.weighted[self.call.name] = with_weights.name
        out = self.emit("conv", with_weights, middle)
        self.finish(self._activate(out, layer.activation) if self.int8 else out)

    # Activations.

    def _activate(self, ref: Ref, function: Any) -> Ref:
        if function in (None, keras.activations.linear):
            return ref
        if isinstance(function, keras.Layer):
            copy = self.make(function.name, lambda name: clone_layer(function, name))
            self._copies.append(lambda: copy.set_weights(function.get_weights()))
            kind = type(function).__name__
            return self.emit(self._known(_KINDS.get(kind, kind)), copy, ref)
        return self._activate_named(ref, getattr(function, "__name__", repr(function)), function)

    def _activate_named(self, ref: Ref, name: str, function: Any) -> Ref:
        if name in decompose.ACTIVATIONS:
            return decompose.ACTIVATIONS[name](self, ref)
        return self.emit(self._known(_ACTIVATIONS.get(name, name)), self.activation(function), ref)

    def activation(self, function: Any) -> Any:
        """The layer that applies an activation function, or the one of a name."""
        part = function if isinstance(function, str) else function.__name__
        # An Activation layer of one operator keeps its own name.
        if type(self.call.operation).__name__ == "Activation" and not isinstance(function, str):
            part = ""
        return self.make(part, lambda name: keras.layers.Activation(function, name=name))

    def _activation_layer(self, layer: Any) -> None:
        if layer.activation is keras.activations.linear:
            self.keep("identity")
        else:
            self.finish(self._activate(self.input(), layer.activation))


def _unannotated(operation: Any) -> Any:
    return operation.layer if isinstance(operation, ours.QuantizeAnnotate) else operation

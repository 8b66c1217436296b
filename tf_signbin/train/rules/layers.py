"""What layers can be quantized, and which are kept dense: decisions on plain facts of a graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

ACTIVATIONS = ("float32", "int8")

# The kernel that is quantized in each supported layer class. Its last axis is the output channel
# and the one before it the input channel.
KERNELS: dict[str, str] = {
    "Conv1D": "kernel",
    "Conv2D": "kernel",
    "Dense": "kernel",
    "SeparableConv1D": "pointwise_kernel",
    "SeparableConv2D": "pointwise_kernel",
}

# All kernels of the layers that summaries count, by class.
ALL_KERNELS: dict[str, tuple[str, ...]] = {
    "Conv1D": ("kernel",),
    "Conv2D": ("kernel",),
    "Conv2DTranspose": ("kernel",),
    "Dense": ("kernel",),
    "DepthwiseConv1D": ("depthwise_kernel",),
    "DepthwiseConv2D": ("depthwise_kernel",),
    "SeparableConv1D": ("depthwise_kernel", "pointwise_kernel"),
    "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel"),
}

_WEIGHTED = ("Conv1D", "Conv2D", "Dense", "SeparableConv1D", "SeparableConv2D", "Conv2DTranspose")
_DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")
_NORMS = ("BatchNormalization", "SyncBatchNormalization")
# Layers that a residual shortcut may hold between its 1x1 convolution and the addition.
_POINTWISE = (*_NORMS, "ReLU", "PReLU", "Activation", "Dropout", "SpatialDropout2D")
# Layers between a tensor that others use too and the shortcut's convolution.
_RESIZING = ("AveragePooling2D", "MaxPooling2D", "AveragePooling1D", "MaxPooling1D",
             "ZeroPadding2D", "ZeroPadding1D")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class LayerFacts:
    """A layer of a flat model.

    Attributes:
      name: unique in the model.
      kind: class name in Keras, such as 'Conv2D'.
      inputs: names of the layers that its calls take tensors from, one for each use.
      kernel_size: of a convolution, else ().
      groups: of a convolution, else 1.
      linear: whether it has no activation function of its own.
      annotated: whether the user has decided already how it is quantized.
      layer: the layer itself, for functions of the user; the rules do not look into it.
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    kernel_size: tuple[int, ...] = ()
    groups: int = 1
    linear: bool = True
    annotated: bool = False
    layer: Any = dataclasses.field(default=None, compare=False, repr=False)


def check_activations(activations: str) -> str:
    if activations not in ACTIVATIONS:
        raise ValueError(f"activations={activations!r} is not one of 'float32', 'int8'.")
    return activations


def why_unsupported(layer: LayerFacts) -> str | None:
    """Why `layer` cannot hold a weight quantizer, or None when it can."""
    if layer.kind == "Conv2DTranspose":
        return (
            f"layer {layer.name!r} is a Conv2DTranspose, which has no packed operator. Keep it "
            "dense, or use UpSampling2D followed by Conv2D"
        )
    if layer.kind not in KERNELS:
        return (
            f"layer {layer.name!r} is a {layer.kind}; weights are quantized in "
            f"{', '.join(KERNELS)} only"
        )
    if layer.groups != 1:
        return (
            f"layer {layer.name!r} has groups={layer.groups}; only groups=1 has a packed operator"
        )
    return None


def default_keep_dense(layers: Sequence[LayerFacts]) -> set[str]:
    """Names of the layers that are kept full precision (or int8) by default.

    These are the first convolutions (no convolution or dense layer before them), the last dense
    layers or convolutions (none after them), the 1x1 convolutions of residual shortcuts, and
    depthwise convolutions: the paper's choice.
    """
    graph = _Graph(layers)

    def is_kept(layer: LayerFacts) -> bool:
        if layer.kind in _DEPTHWISE:
            return True
        if layer.kind not in _WEIGHTED:
            return False
        first = not graph.weighted_behind(layer.name, graph.producers)
        last = not graph.weighted_behind(layer.name, graph.consumers)
        return (first and layer.kind != "Dense") or last or graph.is_shortcut(layer.name)

    return {layer.name for layer in layers if is_kept(layer)}


def followed_by_batch_norm(layers: Sequence[LayerFacts]) -> set[str]:
    """Names of the layers without activation whose only consumer is a BatchNormalization."""
    graph = _Graph(layers)
    return {
        layer.name
        for layer in layers
        if layer.linear
        and len(graph.consumers[layer.name]) == 1
        and graph.kind(graph.consumers[layer.name][0]) in _NORMS
    }


class _Graph:
    """Layers by name, with the names of each layer's producers and consumers."""

    def __init__(self, layers: Sequence[LayerFacts]):
        self.layers = {layer.name: layer for layer in layers}
        self.producers = {layer.name: list(layer.inputs) for layer in layers}
        self.consumers: dict[str, list[str]] = {layer.name: [] for layer in layers}
        for layer in layers:
            for name in layer.inputs:
                self.consumers[name].append(layer.name)

    def kind(self, name: str) -> str:
        return self.layers[name].kind

    def weighted_behind(self, start: str, edges: dict[str, list[str]]) -> bool:
        """Whether another weighted layer lies behind `start` along the edges."""
        stack, seen = list(edges[start]), set()
        while stack:
            name = stack.pop()
            if self.kind(name) in _WEIGHTED + _DEPTHWISE:
                return True
            if name not in seen:
                seen.add(name)
                stack.extend(edges[name])
        return False

    def is_shortcut(self, name: str) -> bool:
        """A 1x1 convolution of a tensor that others use too, which goes straight into an Add."""
        layer = self.layers[name]
        if layer.kind not in ("Conv1D", "Conv2D") or any(k != 1 for k in layer.kernel_size):
            return False
        if not self._input_is_shared(name):
            return False
        following = self.consumers[name]
        while len(following) == 1 and self.kind(following[0]) in _POINTWISE:
            following = self.consumers[following[0]]
        return len(following) == 1 and self.kind(following[0]) == "Add"

    def _input_is_shared(self, name: str) -> bool:
        """Whether other layers use the layer's input, before or after pooling and padding."""
        parents = self.producers[name]
        while len(parents) == 1:
            if len(self.consumers[parents[0]]) > 1:
                return True
            if self.kind(parents[0]) not in _RESIZING:
                return False
            parents = self.producers[parents[0]]
        return False

"""Whole networks with random weights: stem, shortcuts and classifier dense, as in training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tf_signbin.benchmark.graph import GraphBuilder, Value
from tf_signbin.benchmark.weights import WeightSpec, int8_filters


class _Network:
    """A graph and the random weights that fill it."""

    def __init__(self, activations: str, spec: WeightSpec, seed: int, input_bits: int) -> None:
        self.graph = GraphBuilder(activations)
        self._spec = spec
        self._bits = input_bits  # of the inputs of layers that are not dense
        self._rng = np.random.default_rng(seed)

    def conv(
        self,
        x: Value,
        channels: int,
        kernel: int,
        stride: int = 1,
        activation: str = "RELU",
        dense: bool = False,
        bits: int = 8,
    ) -> Value:
        spec = self._spec.dense() if dense else self._spec
        shape = (channels, kernel, kernel, x.shape[3])
        return self.graph.conv(
            x, int8_filters(self._rng, shape, spec), stride, activation=activation, bits=bits
        )

    def block_input(self, x: Value) -> Value:
        """For a block's first layer: the residual stream keeps its 8 bits."""
        return x if self._bits == 8 else self.graph.requantize(x, self._bits)

    def shortcut(self, x: Value, channels: int, stride: int) -> Value:
        if x.shape[3] == channels and stride == 1:
            return x
        return self.conv(x, channels, 1, stride, "NONE", dense=True)

    def classifier(self, x: Value, classes: int) -> bytes:
        pooled = self.graph.global_average_pool(x)
        shape = (classes, 1, 1, pooled.shape[1])
        weights = int8_filters(self._rng, shape, self._spec.dense())
        return self.graph.finish(self.graph.fully_connected(pooled, weights))

    def basic_block(self, x: Value, channels: int, stride: int) -> Value:
        y = self.conv(self.block_input(x), channels, 3, stride, bits=self._bits)
        y = self.conv(y, channels, 3, activation="NONE")
        return self.graph.add(y, self.shortcut(x, channels, stride))

    def bottleneck(self, x: Value, channels: int, stride: int) -> Value:
        y = self.conv(self.block_input(x), channels, 1, bits=self._bits)
        y = self.conv(y, channels, 3, stride, bits=self._bits)
        y = self.conv(y, 4 * channels, 1, activation="NONE")
        return self.graph.add(y, self.shortcut(x, 4 * channels, stride))


def _imagenet(network: _Network, blocks: tuple[int, ...], bottleneck: bool) -> bytes:
    """ResNet for 224x224 images (He et al. 2016, table 1)."""
    block = network.bottleneck if bottleneck else network.basic_block
    x = network.conv(network.graph.input((1, 224, 224, 3)), 64, 7, 2, dense=True)
    x = network.graph.max_pool(x, 3, 2)
    for stage, count in enumerate(blocks):
        for index in range(count):
            x = block(x, 64 << stage, 2 if stage and not index else 1)
    return network.classifier(x, 1000)


def _cifar(network: _Network, blocks: int) -> bytes:
    """ResNet for 32x32 images (He et al. 2016, section 4.2)."""
    x = network.conv(network.graph.input((1, 32, 32, 3)), 16, 3, dense=True)
    for stage in range(3):
        for index in range(blocks):
            x = network.basic_block(x, 16 << stage, 2 if stage and not index else 1)
    return network.classifier(x, 10)


_BUILDERS: dict[str, Callable[[_Network], bytes]] = {
    "resnet18": lambda network: _imagenet(network, (2, 2, 2, 2), bottleneck=False),
    "resnet20": lambda network: _cifar(network, 3),
    "resnet50": lambda network: _imagenet(network, (3, 4, 6, 3), bottleneck=True),
}
NETWORKS = tuple(_BUILDERS)


def network_model(
    name: str, activations: str, spec: WeightSpec, seed: int = 0, input_bits: int = 8
) -> bytes:
    """The .tflite file of a network, stock operators; ValueError for an unknown name.

    `input_bits` are those of int8 inputs of the layers that are not dense.
    """
    if name not in _BUILDERS:
        raise ValueError(f"network={name!r}: must be one of {NETWORKS}")
    return _BUILDERS[name](_Network(activations, spec, seed, input_bits))

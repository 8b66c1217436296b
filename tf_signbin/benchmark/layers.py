"""Single layers to measure: the shapes of ResNet-18, ResNet-50 and MobileNet, and variations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tf_signbin.benchmark.graph import GraphBuilder
from tf_signbin.benchmark.weights import WeightSpec, int8_filters


@dataclass(frozen=True)
class LayerShape:
    """One layer on a square image; size 0 is a fully connected layer with batch 1."""

    size: int
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1

    @property
    def name(self) -> str:
        """For example 56x56x64, 28x28x64->128 3x3/2, 14x14x256 3x3 d2, fc 512->1000."""
        channels = f"{self.in_channels}->{self.out_channels}"
        if not self.size:
            return f"fc {channels}"
        same = self.in_channels == self.out_channels
        name = f"{self.size}x{self.size}x{self.in_channels if same else channels}"
        if self.kernel == 3 and self.stride == 1 and self.dilation == 1 and same:
            return name
        name += f" {self.kernel}x{self.kernel}"
        name += f"/{self.stride}" if self.stride > 1 else ""
        return name + (f" d{self.dilation}" if self.dilation > 1 else "")

    @property
    def macs(self) -> int:
        out = -(-self.size // self.stride) if self.size else 1
        return out * out * self.out_channels * self.in_channels * self.kernel**2

    @property
    def filter_shape(self) -> tuple[int, int, int, int]:
        return self.out_channels, self.kernel, self.kernel, self.in_channels

    def model(
        self, activations: str, spec: WeightSpec, seed: int = 0, input_bits: int = 8
    ) -> bytes:
        """A .tflite file with this layer alone, stock operators."""
        weights = int8_filters(np.random.default_rng(seed), self.filter_shape, spec)
        graph = GraphBuilder(activations)
        if not self.size:
            x = graph.input((1, self.in_channels), input_bits)
            return graph.finish(graph.fully_connected(x, weights))
        x = graph.input((1, self.size, self.size, self.in_channels), input_bits)
        return graph.finish(graph.conv(x, weights, self.stride, self.dilation))


def _fully_connected(in_channels: int, out_channels: int) -> LayerShape:
    return LayerShape(0, in_channels, out_channels, kernel=1)


# 3x3: ResNet-18. strided: its first layers of a stage. 1x1: ResNet-50. mobilenet: the pointwise
# convolutions of MobileNet (Howard et al. 2017, table 1).
LAYER_GROUPS: dict[str, tuple[LayerShape, ...]] = {
    "3x3": tuple(LayerShape(s, c, c) for s, c in ((56, 64), (28, 128), (14, 256), (7, 512))),
    "strided": tuple(
        LayerShape(s, c, 2 * c, stride=2) for s, c in ((56, 64), (28, 128), (14, 256))
    ),
    "1x1": tuple(
        LayerShape(s, i, o, kernel=1)
        for s, i, o in (
            (56, 64, 64), (56, 64, 256), (56, 256, 64), (28, 128, 512), (28, 512, 128),
            (14, 256, 1024), (14, 1024, 256), (7, 512, 2048), (7, 2048, 512),
        )
    ),
    "mobilenet": tuple(
        LayerShape(s, i, o, kernel=1)
        for s, i, o in (
            (112, 32, 64), (56, 64, 128), (56, 128, 128), (28, 128, 256), (28, 256, 256),
            (14, 256, 512), (14, 512, 512), (7, 512, 1024), (7, 1024, 1024),
        )
    ),
    "5x5": (LayerShape(28, 64, 64, kernel=5), LayerShape(14, 128, 128, kernel=5)),
    "dilated": (LayerShape(28, 128, 128, dilation=2), LayerShape(14, 256, 256, dilation=2)),
    "fc": (
        _fully_connected(512, 1000), _fully_connected(1024, 1024),
        _fully_connected(2048, 1000), _fully_connected(4096, 4096),
    ),
}  # fmt: skip


def select_layers(groups: str) -> list[LayerShape]:
    """The layers of a comma-separated list of groups, or of 'all'.

    Raises:
      ValueError: an unknown group; the message lists them.
    """
    names = list(LAYER_GROUPS) if groups == "all" else groups.split(",")
    unknown = [name for name in names if name not in LAYER_GROUPS]
    if unknown:
        raise ValueError(f"unknown layers {unknown}: choose from {[*LAYER_GROUPS, 'all']}")
    return [layer for name in names for layer in LAYER_GROUPS[name]]

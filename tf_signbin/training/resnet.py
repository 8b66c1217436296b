"""Residual networks for small images (CIFAR) and for ImageNet, as functional models of Keras 3, or
of the Keras that `build` is given.

The plain form is He et al. (CVPR 2016): 3x3 convolutions, BatchNorm, ReLU, a shortcut around two
convolutions. What the signed-binary paper's ImageNet configuration changes is a separate option
each, see `Options`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tf_signbin.training.choices import NETWORKS as NAMES
from tf_signbin.training.choices import NON_LINEARITIES as ACTIVATIONS
from tf_signbin.training.keras import keras, tf

IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
CLAMP = 2.0
PRELU_SLOPE = 0.25
# Keras's default of 0.99 needs more steps than a run on a small dataset has.
BATCH_NORM_MOMENTUM = 0.9


@dataclasses.dataclass(frozen=True)
class Options:
    """Choices that each can be made alone.

    activation: 'relu', 'prelu' (a learned slope per channel, 0.25 at first) or 'clamp' (to ±2).
    residual_per_conv: a shortcut around each convolution instead of two (Bi-Real Net).
    activation_biases: a learned bias per channel before and after each activation (ReActNet).
    width: multiplies the number of channels.
    features: multiplies the filters of the last block's last convolution besides, which are what
      the classifier sees. There pixels are few, and one-bit weights cost least time.
    stem_stride: of the CIFAR networks: 1, 2 (the first convolution's stride), or 4 (and a max
      pooling after it, as in the ImageNet networks); each step quarters the work.
    """

    activation: str = "relu"
    residual_per_conv: bool = False
    activation_biases: bool = False
    width: float = 1.0
    stem_stride: int = 1
    features: float = 1.0

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation={self.activation!r} is not one of {ACTIVATIONS}.")
        if self.stem_stride not in (1, 2, 4):
            raise ValueError(f"stem_stride={self.stem_stride} must be 1, 2 or 4.")
        for name in ("width", "features"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} must be more than 0.")

    @property
    def int8_ready(self) -> bool:
        """Whether every layer has an int8 form: those of this module have none."""
        return self.activation != "clamp" and not self.activation_biases


@keras.saving.register_keras_serializable("tf_signbin_training")
class ChannelBias(keras.layers.Layer):
    """Adds a learned number per channel, 0 at first."""

    def build(self, shape: Any) -> None:
        self.bias = self.add_weight(name="bias", shape=(shape[-1],), initializer="zeros")

    def call(self, x: Any) -> Any:
        return x + tf.cast(self.bias, x.dtype)


@keras.saving.register_keras_serializable("tf_signbin_training")
class Clamp(keras.layers.Layer):
    """Clips to [-2, 2], the range in which the paper's ImageNet configuration keeps activations."""

    def call(self, x: Any) -> Any:
        return tf.clip_by_value(x, -CLAMP, CLAMP)


def build(
    name: str,
    input_shape: tuple[int, int, int],
    classes: int,
    options: Options,
    keras: Any = keras,
) -> Any:
    """A network of NAMES; its output is logits.

    Args:
      input_shape: height, width, channels.
      classes: number of logits.
      keras: the package that it is made of; with Keras 2 neither clamps nor activation biases.

    Raises:
      ValueError: unknown name.
    """
    if name not in NAMES:
        raise ValueError(f"Unknown model {name!r}; choose one of {', '.join(NAMES)}.")
    depth = int(name.removeprefix("resnet"))
    builder = _Builder(options, keras)
    inputs = keras.Input(input_shape, name="image")
    if depth in IMAGENET_BLOCKS:
        x = _imagenet(builder, inputs, depth)
    else:
        x = _cifar(builder, inputs, depth)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    logits = keras.layers.Dense(classes, name="logits", dtype="float32")(x)
    return keras.Model(inputs, logits, name=name)


def _cifar(net: _Builder, x: Any, depth: int) -> Any:
    """3 stages of (depth - 2) / 6 blocks with 16, 32 and 64 channels."""
    x = net.conv_norm(x, 16, 3, min(net.options.stem_stride, 2), "stem")
    x = net.activation(x, "stem")
    if net.options.stem_stride == 4:
        x = net.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    blocks = (depth - 2) // 6
    return _stages(net, x, (16, 32, 64), (blocks, blocks, blocks), net.basic_block)


def _imagenet(net: _Builder, x: Any, depth: int) -> Any:
    """7x7 stem and pooling, then 4 stages with 64 to 512 channels."""
    block_of = net.bottleneck_block if depth == 50 else net.basic_block
    x = net.conv_norm(x, 64, 7, 2, "stem")
    x = net.activation(x, "stem")
    x = net.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    return _stages(net, x, (64, 128, 256, 512), IMAGENET_BLOCKS[depth], block_of)


def _stages(
    net: _Builder, x: Any, channels: tuple[int, ...], blocks: tuple[int, ...], block_of: Any
) -> Any:
    """Every stage but the first begins with a stride of 2; the last block has more features."""
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage and not block else 1
            last = stage == len(blocks) - 1 and block == count - 1
            more = net.options.features if last else 1.0
            name = f"stage{stage + 1}_block{block + 1}"
            x = block_of(x, channels[stage], channels[stage] * more, stride, name)
    return x


class _Builder:
    """The repeated parts, with the options applied."""

    def __init__(self, options: Options, keras: Any):
        self.options, self.layers = options, keras.layers
        self.initializers = keras.initializers

    def conv_norm(self, x: Any, channels: float, kernel: int, stride: int, name: str) -> Any:
        filters = max(1, round(channels * self.options.width))
        x = self.layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}_conv",
        )(x)
        return self.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(x)

    def activation(self, x: Any, name: str) -> Any:
        if self.options.activation_biases:
            x = ChannelBias(name=f"{name}_bias_before")(x)
        if self.options.activation == "relu":
            x = self.layers.ReLU(name=f"{name}_relu")(x)
        elif self.options.activation == "prelu":
            slope = self.initializers.Constant(PRELU_SLOPE)
            x = self.layers.PReLU(slope, shared_axes=(1, 2), name=f"{name}_prelu")(x)
        else:
            x = Clamp(name=f"{name}_clamp")(x)
        if self.options.activation_biases:
            x = ChannelBias(name=f"{name}_bias_after")(x)
        return x

    def basic_block(self, x: Any, channels: int, outputs: float, stride: int, name: str) -> Any:
        convs = [(channels, 3, stride), (outputs, 3, 1)]
        if self.options.residual_per_conv:
            for i, conv in enumerate(convs):
                x = self._residual(x, [conv], f"{name}_part{i + 1}")
            return x
        return self._residual(x, convs, name)

    def bottleneck_block(
        self, x: Any, channels: int, outputs: float, stride: int, name: str
    ) -> Any:
        return self._residual(
            x, [(channels, 1, 1), (channels, 3, stride), (4 * outputs, 1, 1)], name
        )

    def _residual(self, x: Any, convs: list[tuple[float, int, int]], name: str) -> Any:
        """Convolutions with activations between them, plus x, then an activation."""
        y = x
        stride = 1
        for i, (channels, kernel, conv_stride) in enumerate(convs):
            if i:
                y = self.activation(y, f"{name}_{i}")
            y = self.conv_norm(y, channels, kernel, conv_stride, f"{name}_{i + 1}")
            stride *= conv_stride
        if stride > 1 or x.shape[-1] != y.shape[-1]:
            x = self.conv_norm(x, convs[-1][0], 1, stride, f"{name}_shortcut")
        return self.activation(self.layers.Add(name=f"{name}_add")([y, x]), name)

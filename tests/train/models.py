"""Small models of every supported kind."""

from __future__ import annotations

import numpy as np

from tf_signbin.train.keras2.legacy_keras import keras, tf

layers = keras.layers


def conv_norm(x, filters, kernel=3, stride=1):
    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def residual():
    """Identity and projection shortcuts."""
    image = keras.Input((12, 12, 3))
    x = layers.ReLU()(conv_norm(image, 8))
    for filters, stride in ((8, 1), (12, 2)):
        shortcut = conv_norm(x, filters, 1, stride) if stride > 1 else x
        y = layers.ReLU()(conv_norm(x, filters, 3, stride))
        x = layers.ReLU()(layers.Add()([conv_norm(y, filters), shortcut]))
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def bottleneck():
    """1x1 convolutions on the main path and in the shortcut (ResNet-50's block)."""
    image = keras.Input((8, 8, 3))
    x = layers.MaxPooling2D()(layers.ReLU()(conv_norm(image, 8)))
    y = layers.ReLU()(conv_norm(x, 6, 1))
    y = layers.ReLU()(conv_norm(y, 6, 3))
    y = conv_norm(y, 16, 1)
    x = layers.ReLU()(layers.Add()([y, conv_norm(x, 16, 1)]))
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def dense():
    return keras.Sequential(
        [
            layers.Dense(24, activation="relu", input_shape=(20,)),
            layers.Dense(16, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dense(5),
        ]
    )


def conv1d():
    return keras.Sequential(
        [
            layers.Conv1D(8, 3, padding="same", input_shape=(32, 4)),
            layers.Conv1D(8, 3, padding="same", activation="relu"),
            layers.Conv1D(12, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling1D(),
            layers.Dense(5),
        ]
    )


def separable():
    return keras.Sequential(
        [
            layers.Conv2D(8, 3, padding="same", input_shape=(12, 12, 3)),
            layers.SeparableConv2D(12, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.SeparableConv2D(8, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    )


def separable1d():
    return keras.Sequential(
        [
            layers.Conv1D(8, 3, padding="same", input_shape=(16, 4)),
            layers.SeparableConv1D(12, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling1D(),
            layers.Dense(5),
        ]
    )


def prelu():
    return keras.Sequential(
        [
            layers.Conv2D(8, 3, padding="same", input_shape=(12, 12, 3)),
            layers.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.25)),
            layers.Conv2D(12, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.25)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    )


def relu6():
    return keras.Sequential(
        [
            layers.Conv2D(8, 3, padding="same", input_shape=(12, 12, 3)),
            layers.Conv2D(12, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation(tf.nn.relu6),
            layers.Conv2D(8, 3),
            layers.ReLU(6.0),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    )


def mobile():
    """An inverted residual: depthwise and 1x1 convolutions."""
    image = keras.Input((8, 8, 3))
    x = layers.ReLU(6.0)(conv_norm(image, 8))
    y = layers.ReLU(6.0)(conv_norm(x, 24, 1))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    x = layers.Add()([x, conv_norm(y, 8, 1)])
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def preactivation():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(image)
    y = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.ReLU()(conv_norm(y, 8))
    x = layers.Add()([x, layers.Conv2D(8, 3, padding="same", use_bias=False)(y)])
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def concatenated():
    image = keras.Input((8, 8, 3))
    x = layers.ReLU()(conv_norm(image, 8))
    a = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    b = layers.ReLU()(conv_norm(x, 8))
    x = layers.MaxPooling2D()(layers.Concatenate()([a, b]))
    return keras.Model(image, layers.Dense(5)(layers.Flatten()(x)))


def nested():
    """A Sequential and a Functional model inside, with a layer name used twice."""
    block = keras.Sequential(
        [
            layers.Conv2D(8, 3, padding="same", use_bias=False, name="c", input_shape=(8, 8, 8)),
            layers.BatchNormalization(),
            layers.ReLU(),
        ],
        name="block",
    )
    inner = keras.Input((8, 8, 8))
    y = layers.Conv2D(8, 3, padding="same", name="d")(inner)
    res = keras.Model(inner, layers.Add()([y, inner]), name="res")
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", name="c")(image)
    x = layers.ReLU()(res(block(x)))
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def sequence():
    """Dense layers on [steps, channels], with and without BatchNorm."""
    steps = keras.Input((6, 10))
    x = layers.Dense(12, activation="relu")(steps)
    x = layers.Dense(8, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dense(8)(x)
    return keras.Model(steps, layers.Dense(5)(layers.GlobalAveragePooling1D()(x)))


ALL = {
    f.__name__: f
    for f in (residual, bottleneck, dense, conv1d, separable, separable1d, prelu, relu6, mobile,
              preactivation, concatenated, nested, sequence)
}  # fmt: skip


def data(model, rng, count=16):
    return rng.normal(size=(count, *model.input_shape[1:])).astype(np.float32)


def train(model, rng, steps=2):
    """A few steps, so that BatchNorm statistics and activation ranges are not the start's.

    Eager: the graph of a training step takes longer to trace than a few steps to run.
    """
    model.compile(keras.optimizers.Adam(1e-3), "mse", run_eagerly=True)
    x = data(model, rng, 32)
    y = [rng.normal(size=(32, 5)) for _ in model.outputs]
    model.fit(x, y, batch_size=32 // steps, verbose=0)
    return model


def fit_ranges(model, x, training=False):
    """Sets the ranges of all fake quantizations to what they see on `x`.

    They start at -6 to 6 and move by a thousandth a step: after a few steps the values of a small
    network are a few quantization steps apart, and layers that normalise amplify every rounding.
    """
    quantizing = [
        layer
        for layer in model.layers
        if type(layer).__name__ == "StableQuantizeLayer" and layer.quantizer_vars
    ]

    fresh = {layer.name for layer in quantizing}

    def fitted(layer):
        call = layer.call

        def fit_and_call(inputs, training=None, observe=True):
            # The range is that of the first tensor: others that share it are not observed.
            if layer.name in fresh:
                fresh.remove(layer.name)
                layer.quantizer_vars["min_var"].assign(min(0.0, float(tf.reduce_min(inputs))))
                layer.quantizer_vars["max_var"].assign(max(0.0, float(tf.reduce_max(inputs))))
            return call(inputs, training=False)

        return fit_and_call

    try:
        for layer in quantizing:
            layer.call = fitted(layer)
        model(x, training=training)  # what a layer sees depends on the ranges before it
    finally:
        for layer in quantizing:
            del layer.call

"""Small Keras 3 models of many kinds."""

from __future__ import annotations

import keras
import numpy as np

layers = keras.layers


def conv_norm(x, filters, kernel=3, stride=1, **names):
    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, **names)(x)
    return layers.BatchNormalization()(x)


def residual():
    """Identity and projection shortcuts."""
    image = keras.Input((12, 12, 3), name="image")
    x = layers.ReLU()(conv_norm(image, 8, name="stem"))
    for i, (filters, stride) in enumerate(((8, 1), (12, 2))):
        shortcut = conv_norm(x, filters, 1, stride, name=f"short_{i}") if stride > 1 else x
        y = layers.ReLU()(conv_norm(x, filters, 3, stride, name=f"conv_{i}a"))
        y = conv_norm(y, filters, name=f"conv_{i}b")
        x = layers.ReLU()(layers.Add()([y, shortcut]))
    return keras.Model(image, layers.Dense(5, name="logits")(layers.GlobalAveragePooling2D()(x)))


def modern():
    """What tfmot's 8-bit scheme refuses: gates, swish, rescaling, slices, operators of tensors."""
    image = keras.Input((16, 16, 3))
    x = layers.Rescaling(4.0, -0.5)(image)
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(x)
    x = layers.Conv2D(8, 3, padding="same", activation="swish")(x)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    y = layers.Activation("hard_swish")(layers.BatchNormalization()(y))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(4, 1, activation="relu")(gate)
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid")(gate)
    x = x + layers.Conv2D(8, 1)(y * gate)
    x = layers.Activation("gelu")(layers.Dropout(0.2)(x))
    small = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu6")(x)
    x = [layers.AveragePooling2D(2)(x), layers.MaxPooling2D(2)(x), small]
    x = layers.ReLU()(layers.BatchNormalization()(layers.Concatenate()(x)))
    x = layers.SeparableConv2D(6, 3)(layers.UpSampling2D()(x))
    x = layers.ZeroPadding2D()(layers.PReLU(shared_axes=[1, 2])(x))
    x = layers.LeakyReLU()(layers.Conv2D(8, 3)(x)[:, 1:, 1:, :])
    x = layers.Dense(8, use_bias=False)(layers.Flatten()(x))
    x = layers.Activation("tanh")(layers.BatchNormalization()(x))
    return keras.Model(image, layers.Dense(5, activation="softmax")(x))


def conv1d():
    return keras.Sequential(
        [
            keras.Input((32, 4)),
            layers.Conv1D(8, 3, padding="same"),
            layers.Conv1D(8, 3, padding="causal", activation="relu"),
            layers.Conv1D(12, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling1D(),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling1D(),
            layers.Dense(5),
        ]
    )


def nested():
    """A Sequential and a Functional model inside, with a layer name used twice."""
    block = keras.Sequential(
        [
            keras.Input((8, 8, 8)),
            layers.Conv2D(8, 3, padding="same", use_bias=False, name="c"),
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


def shared():
    """One convolution on two inputs, which come and go in dictionaries."""
    inputs = {name: keras.Input((8, 8, 4), name=name) for name in ("left", "right")}
    conv = layers.Conv2D(8, 3, padding="same", name="tower")
    second = layers.Conv2D(6, 3, name="second")
    a, b = (second(layers.ReLU()(conv(inputs[name]))) for name in ("left", "right"))
    pooled = layers.GlobalAveragePooling2D()
    outputs = {
        "same": layers.Dense(1, activation="sigmoid", name="same")(pooled(a * b)),
        "far": layers.Dense(2, name="far")(pooled(a - b)),
    }
    return keras.Model(inputs, outputs)


def tiny():
    """A few layers of each kind, quick to compile."""
    image = keras.Input((6, 6, 3), name="image")
    x = layers.ReLU()(conv_norm(image, 8, name="stem"))
    x = layers.ReLU()(layers.Add()([conv_norm(x, 8, name="conv"), x]))
    return keras.Model(image, layers.Dense(5, name="logits")(layers.GlobalAveragePooling2D()(x)))


def data(model, rng, count=16):
    return rng.normal(size=(count, *model.input_shape[1:])).astype(np.float32)


def train(model, rng, steps=2):
    """A few steps, so that BatchNorm statistics and activation ranges are not the start's."""
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    x = data(model, rng, 32)
    targets = rng.normal(size=(32, *model.output_shape[1:])).astype(np.float32)
    model.fit(x, targets, batch_size=32 // steps, verbose=0)
    return model


def trained(path, data):
    """The model of a file after one step for each batch of data["x"], data["y"]; their losses."""
    model = keras.models.load_model(path)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    batches = zip(data["x"], data["y"], strict=True)
    return model, [float(model.train_on_batch(x, y)) for x, y in batches]

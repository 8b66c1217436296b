"""The whole way in one page: train, convert and run a signed-binary network.

python examples/quickstart.py
"""

from __future__ import annotations

import keras
import numpy as np
import sklearn.datasets

import tf_signbin

# 1. A Keras model and some data: handwritten digits, 8x8 pixels.
digits = sklearn.datasets.load_digits()
images = digits.images[..., None].astype(np.float32) / 16.0
train, test = slice(0, 1400), slice(1400, None)

model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(32, 3, padding="same", use_bias=False),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.ReLU(),
        keras.layers.Conv2D(64, 3, padding="same", use_bias=False),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.ReLU(),
        keras.layers.Conv2D(64, 3, padding="same", use_bias=False),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.ReLU(),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10),
    ]
)

# 2. Signed-binary weights, and int8 activations: one call, then train as usual.
model = tf_signbin.quantize_model(model, activations="int8", pattern=(2, 10))
model.compile(
    optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 20 * 22)),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(images[train], digits.target[train], batch_size=64, epochs=20, verbose=2)

# 3. Convert to TensorFlow Lite, with the signed-binary layers packed.
tflite = tf_signbin.convert(model)
print(f"{len(tflite):,} bytes")

# 4. Run it with the delegate.
interpreter = tf_signbin.Interpreter(tflite, num_threads=1)
predicted = interpreter.predict(images[test]).argmax(-1)
for layer in interpreter.claimed_layers:
    print(f"{layer.layer}: {layer.kernel}")
print(f"test accuracy {100 * (predicted == digits.target[test]).mean():.1f}%")

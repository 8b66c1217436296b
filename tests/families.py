"""What the families of keras.applications, of either Keras, are expected to become."""

from __future__ import annotations

import numpy as np

from tests.litert_reference import Reference
from tf_signbin.convert.verify import verify
from tf_signbin.train import quantized_kernels

# Input size, and quantized kernels: all but the first, the last, shortcuts and depthwise ones.
FAMILIES = {
    "MobileNet": (32, 13),
    "MobileNetV2": (32, 34),
    "MobileNetV3Small": (32, 41),
    "VGG16": (32, 14),
    "ResNet50": (32, 48),
    "ResNet50V2": (32, 48),
    "DenseNet121": (32, 119),
    "Xception": (71, 35),
    "InceptionV3": (75, 93),
    "InceptionResNetV2": (75, 243),
    "NASNetMobile": (32, 195),
    "EfficientNetB0": (32, 64),
    "EfficientNetV2B0": (32, 74),
    "ConvNeXtTiny": (32, 39),
}


def check_training_step(keras, model, x, name):
    """One step moves the latent weights of every quantized kernel."""
    before = [kernel.latent.numpy() for kernel in quantized_kernels(model)]
    # Eagerly: the graph of the step takes longer to build than the step.
    # Clipped: the gradients of an untrained network of 50 layers end in infinite weights.
    optimizer = keras.optimizers.SGD(1e-2, global_clipnorm=1.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    assert np.isfinite(model.train_on_batch(x, np.arange(len(x))))
    after = [kernel.latent.numpy() for kernel in quantized_kernels(model)]
    moved = [(a != b).any() for a, b in zip(before, after, strict=True)]
    # Without BatchNormalization VGG's signal has faded to nothing behind its first layers.
    assert all(moved) or name == "VGG16"


def check_packed(plain, packed, x, kernels, activations):
    """The delegate and reference kernels around it, against reference kernels alone.

    Returns:
      The report of `verify`.
    """
    report = verify(plain, packed, [[x[:1]], [x[1:2]]], delegate=True)
    assert len(report.layers) >= kernels
    # Layers on their own inputs: through 240 of them, or statistics from before training, the
    # roundings of float sums grow.
    assert all(check.ok for check in report.layers), report
    if activations == "int8":
        assert report.ok, report
        assert all(check.error == 0 for check in report.layers)
        assert Reference(plain).float_operators() == []
    return report

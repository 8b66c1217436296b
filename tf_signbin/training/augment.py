"""Augmentations of the recipes: functions of (images, seed), applied to a batch at once.

Images are float32 [N, H, W, C] from 0 to 1. Everything random comes from the stateless seed, int32
[2], so a batch that is made again after a restart is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Step = Callable[[Any, Any], Any]


def chain(*steps: Step) -> Step:
    """One augmentation after the other, each with its own random numbers."""

    def augment(images: Any, seed: Any) -> Any:
        import tensorflow as tf

        for number, step in enumerate(steps, start=1):
            images = step(images, seed + tf.constant([0, 100_003 * number]))
        return images

    return augment


def flip(images: Any, seed: Any) -> Any:
    """Mirrors every second image, on average, left to right."""
    import tensorflow as tf

    mirrored = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed) < 0.5
    return tf.where(mirrored, images[:, :, ::-1], images)


def pad_and_crop(pixels: int) -> Step:
    """Zero padding on every side, then a random crop of the original size (CIFAR: 4 pixels)."""

    def augment(images: Any, seed: Any) -> Any:
        import tensorflow as tf

        count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
        border = [[0, 0], [pixels, pixels], [pixels, pixels], [0, 0]]
        shift = tf.random.stateless_uniform([2, count, 1], seed, 0, 2 * pixels + 1, tf.int32)
        padded = tf.pad(images, border)
        padded = tf.gather(padded, shift[0] + tf.range(height), batch_dims=1, axis=1)
        return tf.gather(padded, shift[1] + tf.range(width), batch_dims=1, axis=2)

    return augment


def color_jitter(strength: float) -> Step:
    """Brightness, contrast and saturation, each times a factor in 1 ± strength, in that order."""

    def augment(images: Any, seed: Any) -> Any:
        import tensorflow as tf

        shape = [3, tf.shape(images)[0], 1, 1, 1]
        factor = tf.random.stateless_uniform(shape, seed, 1.0 - strength, 1.0 + strength)
        images = tf.clip_by_value(images * factor[0], 0.0, 1.0)
        mean = tf.reduce_mean(tf.image.rgb_to_grayscale(images), (1, 2), keepdims=True)
        images = tf.clip_by_value(mean + (images - mean) * factor[1], 0.0, 1.0)
        grey = tf.image.rgb_to_grayscale(images)
        return tf.clip_by_value(grey + (images - grey) * factor[2], 0.0, 1.0)

    return augment

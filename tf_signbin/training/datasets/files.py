"""What image folders and TFRecords share: decoding, cropping and batching of encoded images."""

from __future__ import annotations

from typing import Any

from tf_signbin.training.datasets.base import Augmentation

# The channel statistics that published ImageNet recipes use.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Evaluation takes the central crop of this share of the shorter side (224 of 256).
CENTRAL_SHARE = 0.875


def random_resized_crop(encoded: Any, seed: Any, side: int) -> Any:
    """A crop of 8% to 100% of the area, aspect 3/4 to 4/3, resized: float32 [side, side, 3], 0-1.

    The crop of GoogLeNet (Szegedy et al., 2015), which PyTorch calls RandomResizedCrop.
    """
    import tensorflow as tf

    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        tf.zeros([1, 0, 4]),
        seed,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        use_image_if_no_bounding_boxes=True,
    )
    return _resize(tf.slice(image, begin, size), side)


def central_crop(encoded: Any, side: int) -> Any:
    """The central square, resized: float32 [side, side, 3], 0-1."""
    import tensorflow as tf

    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    shorter = tf.cast(tf.minimum(height, width), tf.float32)
    crop = tf.maximum(tf.cast(tf.round(CENTRAL_SHARE * shorter), tf.int32), 1)
    square = tf.slice(image, [(height - crop) // 2, (width - crop) // 2, 0], [crop, crop, -1])
    return _resize(square, side)


def _resize(image: Any, side: int) -> Any:
    import tensorflow as tf

    image = tf.image.resize(tf.cast(image, tf.float32) / 255.0, (side, side), antialias=True)
    return tf.ensure_shape(image, (side, side, 3))


def normalize(images: Any) -> Any:
    return (images - MEAN) / STD


def training_batches(
    encoded: Any, side: int, batch_size: int, seed: int, epoch: Any, augment: Augmentation | None
) -> Any:
    """tf.data.Dataset of (encoded image, label) -> full batches of augmented images and labels."""
    import tensorflow as tf

    first = tf.cast(seed + 7919 * epoch, tf.int32)

    def crop(number: Any, item: tuple[Any, Any]) -> tuple[Any, Any]:
        image = random_resized_crop(item[0], tf.stack([first, tf.cast(number, tf.int32)]), side)
        return image, item[1]

    def finish(number: Any, item: tuple[Any, Any]) -> tuple[Any, Any]:
        images, labels = item
        if augment is not None:
            images = augment(images, tf.stack([first, tf.cast(number, tf.int32)]))
        return normalize(images), labels

    crops = encoded.enumerate().map(crop, num_parallel_calls=tf.data.AUTOTUNE)
    return crops.batch(batch_size, drop_remainder=True).enumerate().map(finish)


def testing_batches(encoded: Any, side: int, batch_size: int) -> Any:
    """tf.data.Dataset of (encoded image, label) -> batches of central crops and labels."""
    import tensorflow as tf

    crops = encoded.map(
        lambda image, label: (central_crop(image, side), label), num_parallel_calls=tf.data.AUTOTUNE
    )
    return crops.batch(batch_size).map(lambda images, labels: (normalize(images), labels))

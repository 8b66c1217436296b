"""Handwritten digits, 8x8 grey, 1,797 images of 10 classes, which come with scikit-learn."""

from __future__ import annotations

import numpy as np

from tf_signbin.training.datasets.base import ArrayDataset

TEST_SHARE = 0.2


def load() -> ArrayDataset:
    """1,438 training and 359 test images, the same split for every run."""
    import sklearn.datasets

    source = sklearn.datasets.load_digits()
    images = np.round(source.images * (255.0 / 16.0)).astype(np.uint8)[..., None]
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], source.target[order].astype(np.int32)
    test = int(TEST_SHARE * len(images))
    return ArrayDataset("digits", images[test:], labels[test:], images[:test], labels[:test], 10)

"""Glyphs: a procedural dataset that tells quantization methods apart.

* 45 classes: the letters and digits of CLASSES, without those that look alike (O and 0, I and l).
* Grey images of 24x24 or 32x32 pixels (any side from 16), uint8, N as wanted.
* Each shows one character in one of six DejaVu fonts (they ship with matplotlib) and three sizes,
  under a random affine map (rotation within 20 degrees, scale 0.8 to 1.25 per axis, shear within
  0.3, shift within 8% of the side), contrast 0.4 to 1, a vertical light gradient, normal noise of
  standard deviation 0.15 and, in every second image, a flat grey square of a quarter of the side.
* Training images have seed 1, test images seed 2. Image i depends on (seed, i, side) only: a
  larger set begins with the smaller one.
* Full precision reaches about 72% after 20 epochs of 20,000 images with an 8-layer residual
  network of 16/32/64 channels; a signed-binary network without background falls far behind.

The pixels depend on the FreeType inside Pillow; `fingerprint` tells whether two machines agree.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np

from tf_signbin.training.datasets import cache
from tf_signbin.training.datasets.base import ArrayDataset, DatasetError

CLASSES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt23456789"
FONTS = ("Sans", "Sans-Bold", "SansMono", "SansMono-Bold", "Serif", "Serif-Bold")
FONT_SIZES = (22, 26, 30)  # on a canvas of CANVAS pixels
CANVAS = 48
TRAIN_SIZE, TEST_SIZE = 20_000, 5_000
TRAIN_SEED, TEST_SEED = 1, 2
VERSION = 1
_CHUNK = 500  # images that share one random generator; part of the definition of the dataset


def load(image_size: int = 24, train_size: int = TRAIN_SIZE) -> ArrayDataset:
    """The dataset, from the cache when it was made before."""
    train = make(train_size, TRAIN_SEED, image_size)
    test = make(TEST_SIZE, TEST_SEED, image_size)
    return ArrayDataset(f"glyphs{image_size}", *train, *test, num_classes=len(CLASSES))


def make(count: int, seed: int, image_size: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """`count` images, uint8 [count, image_size, image_size, 1], and their labels, int32."""
    if image_size < 16:
        raise DatasetError(f"image_size={image_size}: glyphs need at least 16 pixels a side.")
    name = f"glyphs-v{VERSION}-{image_size}-seed{seed}-{count}"
    stored = cache.read(name)
    if stored is not None:
        return stored["images"], stored["labels"]
    templates = _templates()
    parts = [
        _chunk(templates, np.random.default_rng([seed, chunk]), image_size)
        for chunk in range(math.ceil(count / _CHUNK))
    ]
    images = np.concatenate([p[0] for p in parts])[:count]
    labels = np.concatenate([p[1] for p in parts])[:count]
    cache.write(name, images=images, labels=labels)
    return images, labels


def fingerprint(images: np.ndarray) -> str:
    """Short hash of the pixels."""
    return hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()[:12]


def _templates() -> np.ndarray:
    """Every character in every font and size: float32 [classes, styles, CANVAS, CANVAS], 0 to 1."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = [
        ImageFont.truetype(str(folder / f"DejaVu{name}.ttf"), size)
        for name in FONTS
        for size in FONT_SIZES
    ]
    templates = np.zeros((len(CLASSES), len(fonts), CANVAS, CANVAS), np.float32)
    for c, character in enumerate(CLASSES):
        for f, font in enumerate(fonts):
            image = Image.new("L", (CANVAS, CANVAS), 0)
            centre = (CANVAS / 2, CANVAS / 2)
            ImageDraw.Draw(image).text(centre, character, fill=255, font=font, anchor="mm")
            templates[c, f] = np.asarray(image, np.float32) / 255.0
    return templates


def _chunk(
    templates: np.ndarray, rng: np.random.Generator, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """_CHUNK images and labels. All random numbers are drawn here, in this order."""
    n = _CHUNK
    labels = rng.integers(len(CLASSES), size=n)
    styles = rng.integers(templates.shape[1], size=n)
    angle = rng.uniform(-0.35, 0.35, n)
    scale = rng.uniform(0.8, 1.25, (n, 2))
    shear = rng.uniform(-0.3, 0.3, n)
    shift = rng.uniform(-4.0, 4.0, (n, 2))
    matrix = np.empty((n, 2, 2))
    matrix[:, 0, 0], matrix[:, 0, 1] = np.cos(angle) * scale[:, 0], -np.sin(angle) * scale[:, 1]
    matrix[:, 0, 1] += shear
    matrix[:, 1, 0], matrix[:, 1, 1] = np.sin(angle) * scale[:, 0], np.cos(angle) * scale[:, 1]
    x = _warp(templates[labels, styles], matrix, shift, side)

    x *= rng.uniform(0.4, 1.0, (n, 1, 1)).astype(np.float32)
    light = rng.uniform(0.0, 0.3, (n, 1, 1)) * rng.choice([-1.0, 1.0], (n, 1, 1))
    x += (light * np.linspace(0.0, 1.0, side)[:, None]).astype(np.float32)
    x += rng.normal(0.0, 0.15, x.shape).astype(np.float32)

    square = side // 4
    occluded = rng.random(n) < 0.5
    rows, columns = rng.integers(0, side - square, (2, n))
    grey = rng.random(n)
    for i in np.flatnonzero(occluded):
        x[i, rows[i] : rows[i] + square, columns[i] : columns[i] + square] = grey[i]
    # Light gradients and noise leave [0, 1]; keep room for them: -0.3 ... 1.3 maps to 0 ... 255.
    pixels = np.clip(np.round((x + 0.3) * (255.0 / 1.6)), 0, 255).astype(np.uint8)
    return pixels[..., None], labels.astype(np.int32)


def _warp(canvas: np.ndarray, matrix: np.ndarray, shift: np.ndarray, side: int) -> np.ndarray:
    """Samples canvases [n, CANVAS, CANVAS] at side x side pixels, bilinear, 2x2 points a pixel.

    An output point p (in canvas units, relative to the centre) takes the value at
    matrix @ p + centre + shift; outside the canvas that is 0.
    """
    n, points = len(canvas), 2 * side
    grid = (np.arange(points) + 0.5) * (CANVAS / points) - CANVAS / 2
    v, u = np.meshgrid(grid, grid, indexing="ij")
    centre = CANVAS / 2 - 0.5  # pixel centres
    place = np.einsum("nij,jyx->niyx", matrix, np.stack([u, v]))
    place += shift[:, :, None, None] + centre
    # One pixel of border on each side; what lies farther out is clipped onto it.
    padded = np.pad(canvas, ((0, 0), (1, 1), (1, 1))).reshape(n, -1)
    place = np.clip(place + 1.0, 0.0, CANVAS + 0.999)
    whole = place.astype(np.int32)
    fx, fy = (place - whole).astype(np.float32).transpose(1, 0, 2, 3)
    row = CANVAS + 2
    corner = (whole[:, 1] * row + whole[:, 0]).reshape(n, -1)

    def take(offset: int) -> np.ndarray:
        return np.take_along_axis(padded, corner + offset, axis=1).reshape(n, points, points)

    top = take(0) * (1 - fx) + take(1) * fx
    bottom = take(row) * (1 - fx) + take(row + 1) * fx
    fine = top * (1 - fy) + bottom * fy
    return fine.reshape(n, side, 2, side, 2).mean((2, 4), dtype=np.float32)

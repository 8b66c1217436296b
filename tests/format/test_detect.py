"""Packing, unpacking and detection by value, on random filters."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.format.tflite_builder import random_filters
from tf_signbin.format import (
    TERNARY,
    TWO_VALUED,
    ModelError,
    PackedFilters,
    detect,
    pack_masks,
    packed_bytes,
    unpack_filters,
    unpack_masks,
)
from tf_signbin.format.detect import FLOAT_TOLERANCE
from tf_signbin.format.spec import ENGINE_PATTERNS

shapes = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 21))
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(["float32", "int8"])
MANY = settings(max_examples=150, deadline=None)


VECTORS = json.loads(Path(__file__).with_name("detection_vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_detection_vectors(vector):
    weights = np.array(vector["weights"], vector["type"]).reshape(vector["shape"])
    packed, expected = detect(weights).packed, vector["packed"]
    if expected is None:
        assert packed is None
        return
    assert (packed.kind, packed.regions) == (expected["kind"], expected["regions"])
    assert list(packed.pattern) == expected["pattern"]
    np.testing.assert_array_equal(packed.masks, np.array(expected["masks"]))
    np.testing.assert_array_equal(packed.values, np.array(expected["values"], vector["type"]))


@MANY
@given(st.integers(1, 2), shapes, seeds)
def test_masks_round_trip(planes, shape, seed):
    masks = np.random.default_rng(seed).random((planes, *shape)) < 0.5
    packed = pack_masks(masks)
    assert packed.shape == (planes, shape[0], -(-shape[1] * shape[2] * shape[3] // 8))
    np.testing.assert_array_equal(unpack_masks(packed, shape), masks)


def test_mask_bit_order_is_that_of_the_specification():
    out_channels, kernel_h, kernel_w, in_channels = shape = (2, 3, 2, 5)
    masks = np.random.default_rng(0).random((1, *shape)) < 0.5
    packed = pack_masks(masks)
    for o in range(out_channels):
        for dy in range(kernel_h):
            for dx in range(kernel_w):
                for ci in range(in_channels):
                    k = (dy * kernel_w + dx) * in_channels + ci
                    assert packed[0, o, k // 8] >> k % 8 & 1 == masks[0, o, dy, dx, ci]


@MANY
@given(st.sampled_from(["two_valued", "ternary"]), shapes, st.sampled_from([1, 2, 4]),
       st.booleans(), st.floats(0, 1), dtypes, seeds)  # fmt: skip
@example("two_valued", (1, 1, 1, 3), 4, False, 0.5, "int8", 2)
def test_what_is_packed_unpacks_to_the_same_weights(
    kind, shape, regions, background, density, dtype, seed
):
    shape = (*shape[:3], shape[3] * regions)
    rng = np.random.default_rng(seed)
    weights = random_filters(rng, kind, shape, dtype, density, regions, background)
    packed = detect(weights).packed
    if packed is None:
        assert 2 * shape[0] * regions + weights.size / 8 >= weights.size / 2  # tiny regions only
        return
    np.testing.assert_array_equal(unpack_filters(packed), weights)
    assert packed.values.dtype == weights.dtype
    assert packed.nbytes < weights.nbytes
    assert packed.nbytes == packed_bytes(packed.kind, shape, packed.regions, weights.itemsize)
    # Fewer regions may happen to fit: three of these four here.
    assert packed.regions <= regions or packed.kind != kind


@MANY
@given(dtypes, seeds)
def test_dense_filters_are_not_packed(dtype, seed):
    weights = random_filters(np.random.default_rng(seed), "dense", (4, 3, 3, 8), dtype)
    detection = detect(weights)
    assert detection.packed is None
    assert "distinct values" in detection.reason
    assert not detection.nearly


def test_kinds():
    rng = np.random.default_rng(1)
    shape = (6, 3, 3, 16)
    signed = random_filters(rng, "two_valued", shape, "int8")
    packed = detect(signed).packed
    assert (packed.kind, packed.regions) == (TWO_VALUED, 1)
    assert not packed.values[..., 0].any()
    binary = np.where(rng.random(shape) < 0.5, -1, 1) * rng.random((6, 1, 1, 1))
    packed = detect(binary.astype(np.float32)).packed
    np.testing.assert_array_equal(packed.values[..., 0], -packed.values[..., 1])
    packed = detect(random_filters(rng, "ternary", shape)).packed
    assert packed.kind == TERNARY
    regions = random_filters(rng, "two_valued", shape, regions=4)
    assert detect(regions).packed.regions == 4


def test_a_zero_is_always_the_background():
    weights = np.zeros((2, 1, 1, 16), np.float32)
    weights[0, ..., :15] = 0.5
    weights[1, ..., :15] = -0.5
    packed = detect(weights).packed
    np.testing.assert_array_equal(packed.values[:, 0], [[0, 0.5], [0, -0.5]])


def test_constant_filters():
    weights = np.zeros((3, 1, 1, 32), np.float32)
    weights[1], weights[2] = 0.25, -2
    packed = detect(weights).packed
    np.testing.assert_array_equal(packed.values[:, 0], [[0, 0], [0, 0.25], [0, -2]])
    np.testing.assert_array_equal(unpack_filters(packed), weights)


def test_int8_minus_128():
    weights = np.where(np.arange(64).reshape(1, 1, 1, 64) % 3 == 0, -128, 0).astype(np.int8)
    np.testing.assert_array_equal(unpack_filters(detect(weights).packed), weights)
    weights[..., 1] = 127  # -128, 0, 127 is not symmetric
    assert detect(weights).packed is None


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("background", [False, True])
def test_patterns_are_found(dtype, background):
    rng = np.random.default_rng(2)
    for n, m in ENGINE_PATTERNS[dtype]:
        mask = np.zeros((8, 3, 3, 45), bool)
        for start in range(0, 45, m):
            width = min(m, 45 - start)
            order = rng.random((8, 3, 3, width)).argsort(axis=-1)
            mask[..., start : start + width] = order < n
        high, low = (0.5, -0.2) if dtype == "float32" else (127, -50)
        weights = np.where(mask, high, low if background else 0).astype(dtype)
        packed = detect(weights).packed
        # The first in the list; the mask may keep to an earlier one by chance.
        assert ENGINE_PATTERNS[dtype].index(packed.pattern) <= ENGINE_PATTERNS[dtype].index((n, m))
        np.testing.assert_array_equal(unpack_filters(packed), weights)
    dense = random_filters(rng, "two_valued", (8, 3, 3, 45), dtype, density=0.5)
    assert detect(dense).packed.pattern == (0, 0)


def test_a_pattern_decides_which_value_is_the_background():
    # Two channels: one effectual of each two is half of the weights, so counts do not decide.
    weights = np.full((4, 1, 1, 3), -0.1, np.float32)
    weights[..., :2] = 0.7
    weights = np.tile(weights, (1, 3, 3, 1))  # 2 of 3 per tap keeps to "2 of 7"; 1 of 3 is rarer
    packed = detect(weights).packed
    assert packed.pattern == (2, 7)
    np.testing.assert_array_equal(unpack_filters(packed), weights)


def test_rounding_noise_is_removed_and_reported():
    rng = np.random.default_rng(3)
    exact = random_filters(rng, "two_valued", (8, 3, 3, 16))
    latent = rng.normal(size=exact.shape).astype(np.float32) * np.abs(exact).max() / 4
    noisy = latent + (exact - latent)  # what w + stop_gradient(q - w) folds to
    assert len(np.unique(noisy)) > len(np.unique(exact))
    detection = detect(noisy)
    assert 0 < detection.snapped <= FLOAT_TOLERANCE
    assert detection.packed.values[:, 0, 0].any() is np.False_
    largest = np.abs(exact).max(axis=(1, 2, 3), keepdims=True)
    error = np.abs(unpack_filters(detection.packed) - exact) / largest
    assert error.max() <= FLOAT_TOLERANCE


def test_more_than_rounding_noise_stays_dense_and_says_so():
    rng = np.random.default_rng(4)
    weights = random_filters(rng, "two_valued", (8, 3, 3, 16))
    weights *= (1 + 1e-4 * rng.normal(size=weights.shape)).astype(np.float32)
    detection = detect(weights)
    assert detection.packed is None
    assert detection.nearly
    assert "custom_gradient" in detection.reason


def test_some_dense_filters_keep_the_layer_dense():
    rng = np.random.default_rng(5)
    weights = random_filters(rng, "two_valued", (8, 3, 3, 16))
    weights[3] = rng.normal(size=weights[3].shape)
    detection = detect(weights)
    assert detection.nearly
    assert "only 7 of 8 filters" in detection.reason
    assert "filter 3" in detection.reason


def test_other_levels_are_named():
    rng = np.random.default_rng(6)
    levels = np.array([-127, 0, 64], np.int8)
    detection = detect(levels[rng.integers(0, 3, (8, 3, 3, 16))])
    assert detection.packed is None
    assert detection.nearly
    assert "3 distinct values [-127, 0, 64]" in detection.reason


def test_not_finite():
    weights = np.zeros((1, 1, 1, 64), np.float32)
    weights[..., 5] = np.nan
    assert "finite" in detect(weights).reason


def test_from_tensors_checks_everything():
    packed = detect(random_filters(np.random.default_rng(6), "ternary", (4, 3, 3, 5))).packed
    options = packed.options()
    again = PackedFilters.from_tensors(options, packed.masks, packed.values)
    assert again.filter_shape == packed.filter_shape
    padding = packed.masks.copy()
    padding[..., -1] |= 0x80
    both = np.stack([packed.masks[0] | packed.masks[1]] * 2)
    infinite = packed.values.copy()
    infinite[0] = np.inf
    for masks, values, message in (
        (packed.masks[:1], packed.values, "masks tensor has shape"),
        (packed.masks, packed.values[:, :, :0], "values tensor has shape"),
        (packed.masks.astype(np.int8), packed.values, "must be uint8"),
        (packed.masks, packed.values.astype(np.float64), "must be float32 or int8"),
        (packed.masks, infinite, "not finite"),
        (padding, packed.values, "beyond the last weight"),
        (both, packed.values, "both signs"),
        (packed.masks, np.full(packed.values.shape, -128, np.int8), "negative is no int8"),
    ):
        with pytest.raises(ModelError, match=message):
            PackedFilters.from_tensors(options, masks, values)

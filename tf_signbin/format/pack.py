"""Masks and values to and from dense filters."""

from __future__ import annotations

import numpy as np

from tf_signbin.format.spec import TERNARY, PackedFilters


def pack_masks(masks: np.ndarray) -> np.ndarray:
    """bool [planes, O, KH, KW, I] to uint8 [planes, O, B]; bit k % 8 of byte k // 8 is weight k."""
    planes, out_channels = masks.shape[:2]
    return np.packbits(masks.reshape(planes, out_channels, -1), axis=-1, bitorder="little")


def unpack_masks(packed: np.ndarray, filter_shape: tuple[int, int, int, int]) -> np.ndarray:
    """The inverse of pack_masks: uint8 [planes, O, B] to bool [planes, O, KH, KW, I]."""
    weights = filter_shape[1] * filter_shape[2] * filter_shape[3]
    bits = np.unpackbits(packed, axis=-1, count=weights, bitorder="little")
    return bits.astype(bool).reshape(packed.shape[0], *filter_shape)


def unpack_filters(packed: PackedFilters) -> np.ndarray:
    """The dense filter [O, KH, KW, I] in the type of the values."""
    out_channels, _, _, in_channels = packed.filter_shape
    masks = unpack_masks(packed.masks, packed.filter_shape)
    # [O, R, V] -> V arrays [O, 1, 1, I]: each region's value repeated over its input channels.
    per_channel = np.repeat(packed.values, in_channels // packed.regions, axis=1)
    per_channel = per_channel.reshape(out_channels, 1, 1, in_channels, -1)
    if packed.kind == TERNARY:
        scale = per_channel[..., 0]
        zero = np.zeros_like(scale)
        return np.where(masks[0], scale, np.where(masks[1], -scale, zero))
    return np.where(masks[0], per_channel[..., 1], per_channel[..., 0])

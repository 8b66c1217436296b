"""The file format: packed operators, their detection by value, and .tflite reading and writing."""

from tf_signbin.format.detect import Detection, detect
from tf_signbin.format.errors import ModelError
from tf_signbin.format.options import decode_options, encode_options
from tf_signbin.format.pack import pack_masks, unpack_filters, unpack_masks
from tf_signbin.format.spec import (
    CONV_2D,
    FULLY_CONNECTED,
    TERNARY,
    TWO_VALUED,
    OpOptions,
    PackedFilters,
    packed_bytes,
)

__all__ = [
    "CONV_2D",
    "FULLY_CONNECTED",
    "TERNARY",
    "TWO_VALUED",
    "Detection",
    "ModelError",
    "OpOptions",
    "PackedFilters",
    "decode_options",
    "detect",
    "encode_options",
    "pack_masks",
    "packed_bytes",
    "unpack_filters",
    "unpack_masks",
]

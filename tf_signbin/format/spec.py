"""The packed operators, version 1: names, options and tensors, as docs/format.md specifies."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from tf_signbin.format.errors import ModelError

VERSION = 1
CONV_2D = "TfSignBinConv2D"
FULLY_CONNECTED = "TfSignBinFullyConnected"

TWO_VALUED = "two_valued"
TERNARY = "ternary"

# kind -> (mask planes, values a region)
KIND_SIZES = {TWO_VALUED: (1, 2), TERNARY: (2, 1)}
PADDINGS = ("SAME", "VALID")
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")

# Patterns (n of m) whose tables of partial sums fit the engine's registers, by activation type:
# 64 int16 entries or 32 float entries. Most weights a lookup first.
ENGINE_PATTERNS = {
    "int8": ((2, 10), (2, 9), (2, 8), (3, 7)),
    "float32": ((2, 7), (2, 6)),
}
# Weights a lookup without a pattern: all subsets of 6 (int8) or 5 (float32) channels.
UNPATTERNED_GROUP = {"int8": 6, "float32": 5}

_INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class OpOptions:
    """Every attribute of a packed operator; raises ModelError on a value outside its range."""

    kind: str
    kernel_h: int
    kernel_w: int
    in_channels: int
    out_channels: int
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    padding: str = "VALID"
    activation: str = "NONE"
    regions: int = 1
    pattern_n: int = 0
    pattern_m: int = 0
    keep_num_dims: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ModelError(f"option version is {self.version}; this package knows {VERSION}")
        for key, allowed in (
            ("kind", tuple(KIND_SIZES)),
            ("padding", PADDINGS),
            ("activation", ACTIVATIONS),
            ("keep_num_dims", (0, 1)),
        ):
            if getattr(self, key) not in allowed:
                raise ModelError(f"option {key} is {getattr(self, key)!r}; allowed: {allowed}")
        for key in (
            "kernel_h", "kernel_w", "in_channels", "out_channels",
            "stride_h", "stride_w", "dilation_h", "dilation_w", "regions",
        ):  # fmt: skip
            if not 1 <= getattr(self, key) <= _INT32_MAX:
                raise ModelError(f"option {key} is {getattr(self, key)}; it must be at least 1")
        if self.in_channels % self.regions:
            raise ModelError(
                f"option regions is {self.regions}; it must divide in_channels {self.in_channels}"
            )
        n, m = self.pattern_n, self.pattern_m
        if (n, m) != (0, 0) and not 1 <= n < m <= _INT32_MAX:
            raise ModelError(f"options pattern_n, pattern_m are {n}, {m}; need 0, 0 or 1 <= n < m")

    def check_operator(self, op: str) -> None:
        """Raises ModelError for a value that the operator (CONV_2D, FULLY_CONNECTED) has not."""
        fixed: dict[str, int | str] = {"keep_num_dims": 0}
        if op == FULLY_CONNECTED:
            sizes = ("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w")
            fixed = {"padding": "VALID", **dict.fromkeys(sizes, 1)}
        for key, value in fixed.items():
            if getattr(self, key) != value:
                raise ModelError(
                    f"option {key} is {getattr(self, key)!r}; that of {op} must be {value!r}"
                )

    @property
    def weights_per_filter(self) -> int:
        return self.kernel_h * self.kernel_w * self.in_channels

    @property
    def mask_row_bytes(self) -> int:
        return (self.weights_per_filter + 7) // 8

    @property
    def masks_shape(self) -> tuple[int, int, int]:
        return KIND_SIZES[self.kind][0], self.out_channels, self.mask_row_bytes

    @property
    def values_shape(self) -> tuple[int, int, int]:
        return self.out_channels, self.regions, KIND_SIZES[self.kind][1]

    @property
    def filter_shape(self) -> tuple[int, int, int, int]:
        """[out channels, kernel height, kernel width, in channels]: TFLite's filter order."""
        return self.out_channels, self.kernel_h, self.kernel_w, self.in_channels


OPTION_KEYS = tuple(sorted(field.name for field in dataclasses.fields(OpOptions)))


@dataclass(frozen=True)
class PackedFilters:
    """The weights of one layer as the file holds them.

    masks: uint8 [planes, out channels, bytes a filter]; values: float32 or int8
    [out channels, regions, values a region]. `filter_shape` is [O, KH, KW, I].
    """

    kind: str
    filter_shape: tuple[int, int, int, int]
    masks: np.ndarray
    values: np.ndarray
    pattern: tuple[int, int] = (0, 0)

    @property
    def regions(self) -> int:
        return int(self.values.shape[1])

    @property
    def nbytes(self) -> int:
        return int(self.masks.nbytes + self.values.nbytes)

    def options(self, **geometry: int | str) -> OpOptions:
        """The operator's options: these filters plus stride, padding, activation and so on."""
        out_channels, kernel_h, kernel_w, in_channels = self.filter_shape
        return OpOptions(
            kind=self.kind, kernel_h=kernel_h, kernel_w=kernel_w, in_channels=in_channels,
            out_channels=out_channels, regions=self.regions, pattern_n=self.pattern[0],
            pattern_m=self.pattern[1], **geometry,  # type: ignore[arg-type]
        )  # fmt: skip

    @classmethod
    def from_tensors(
        cls, options: OpOptions, masks: np.ndarray, values: np.ndarray
    ) -> PackedFilters:
        """Checks the tensors of an operator against its options (ModelError when they differ)."""
        for name, tensor, shape in (
            ("masks", masks, options.masks_shape),
            ("values", values, options.values_shape),
        ):
            if tensor.shape != shape:
                raise ModelError(f"{name} tensor has shape {tensor.shape}; options say {shape}")
        if masks.dtype != np.uint8:
            raise ModelError(f"masks tensor has type {masks.dtype}; it must be uint8")
        if values.dtype not in (np.dtype(np.float32), np.dtype(np.int8)):
            raise ModelError(f"values tensor has type {values.dtype}; it must be float32 or int8")
        if not np.all(np.isfinite(values)):
            raise ModelError("values tensor has a value that is not finite")
        if options.kind == TERNARY and values.dtype == np.int8 and np.any(values == -128):
            raise ModelError("values tensor of ternary filters has -128, whose negative is no int8")
        used_bits = options.weights_per_filter % 8
        if used_bits and np.any(masks[..., -1] >> used_bits):
            raise ModelError("masks tensor has bits set beyond the last weight of a filter")
        if options.kind == TERNARY and np.any(masks[0] & masks[1]):
            raise ModelError("masks tensor gives a weight both signs")
        pattern = (options.pattern_n, options.pattern_m)
        return cls(options.kind, options.filter_shape, masks, values, pattern)


def packed_bytes(
    kind: str, filter_shape: tuple[int, int, int, int], regions: int, value_bytes: int
) -> int:
    """Bytes of the masks and values tensors; `value_bytes` is 4 (float32) or 1 (int8)."""
    planes, values = KIND_SIZES[kind]
    out_channels = filter_shape[0]
    weights = filter_shape[1] * filter_shape[2] * filter_shape[3]
    return out_channels * (planes * ((weights + 7) // 8) + regions * values * value_bytes)

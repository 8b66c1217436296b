"""The record of one layer, from its masks or its shape; `tf_signbin.costs` defines the terms."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_signbin.costs.energy import arithmetic_nj, dram_nj
from tf_signbin.costs.sharing import distinct_patterns
from tf_signbin.format.pack import unpack_masks
from tf_signbin.format.spec import TWO_VALUED, UNPATTERNED_GROUP, PackedFilters

if TYPE_CHECKING:
    from typing_extensions import Self

# Channels a group for which the different patterns are counted, beside the engine's own group.
GROUP_CHANNELS = (4, 6, 8, 10)
DENSE = "dense"
_DERIVED = (
    "input_type", "density", "bits_per_weight", "arithmetic_nj_per_sample", "dram_nj_per_sample",
    "energy_nj_per_sample",
)  # fmt: skip


@dataclass(kw_only=True)
class LayerFacts:
    """One layer: what it holds, and what one sample costs.

    name, operator: of the layer; the Keras class or the operator of the file.
    kind: 'dense', or the quantizer's ('signed_binary', 'binary', 'ternary'), or of a
      file 'two_valued' or 'ternary': it does not say how it was trained.
    activation_type: 'float32' or 'int8'; of a file any type that TensorFlow Lite has.
    input_bits: of the values that the layer reads: of their type, or 3 to 6 for an int8 tensor of
      few bits (docs/format.md).
    filter_shape: as Keras or the file orders it.
    weights, effectual_weights: all, and those whose mask bit is 1 (ternary: that are not 0; binary
      and dense: all). A file over a background without a pattern may have the two values swapped.
    weight_bytes: as stored: masks and values, or the dense weights.
    regions: blocks of input channels of a filter with values of their own; 0 for dense weights.
    pattern: (n, m), or (0, 0) without one.
    has_background: whether the value under a mask's zeros is another than 0.
    outputs_per_sample, macs_per_sample: output values, and multiply-accumulates of a dense run.
    additions_, products_, scalings_per_sample: in the paper's terms.
    engine_lookups_per_output: in the engine's terms; 0 for dense weights.
    distinct_patterns: channels a group -> mean number of different mask patterns that the filters
      show at one tap and group.
    """

    name: str
    operator: str
    kind: str = DENSE
    activation_type: str = "float32"
    input_bits: int = 0
    filter_shape: tuple[int, ...] = ()
    weights: int = 0
    effectual_weights: int = 0
    weight_bytes: int = 0
    regions: int = 0
    pattern: tuple[int, int] = (0, 0)
    has_background: bool = False
    outputs_per_sample: int = 0
    macs_per_sample: int = 0
    additions_per_sample: int = 0
    products_per_sample: int = 0
    scalings_per_sample: int = 0
    engine_lookups_per_output: int = 0
    distinct_patterns: dict[int, float] = field(default_factory=dict)

    @property
    def is_dense(self) -> bool:
        return self.kind == DENSE

    @property
    def input_type(self) -> str:
        """The activations' type, with the bits of an input of few bits."""
        low = self.activation_type == "int8" and 0 < self.input_bits < 8
        return f"int8, {self.input_bits} bits" if low else self.activation_type

    @property
    def density(self) -> float:
        """Share of effectual weights."""
        return self.effectual_weights / self.weights if self.weights else 1.0

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.weight_bytes / self.weights if self.weights else 0.0

    @property
    def arithmetic_nj_per_sample(self) -> float:
        """Estimated; types other than int8 count as float32."""
        return arithmetic_nj(
            self.additions_per_sample, self.products_per_sample, self.scalings_per_sample,
            _priced(self.activation_type),
        )  # fmt: skip

    @property
    def dram_nj_per_sample(self) -> float:
        return dram_nj(self.weight_bytes)

    @property
    def energy_nj_per_sample(self) -> float:
        return self.arithmetic_nj_per_sample + self.dram_nj_per_sample

    @property
    def engine_group_channels(self) -> int:
        """Input channels of an engine look-up."""
        return self.pattern[1] or UNPATTERNED_GROUP[_priced(self.activation_type)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**dataclasses.asdict(self), **{name: getattr(self, name) for name in _DERIVED}}

    @classmethod
    def dense(cls, *, outputs: int, macs: int, **fields: Any) -> Self:
        """The record of a dense layer.

        outputs, macs: of one sample; fields: `weights` and others of this class that do not follow.
        Without `weight_bytes` the weights have the activations' type.
        """
        weights, is_int8 = fields["weights"], fields["activation_type"] == "int8"
        counted = {
            "effectual_weights": weights,
            "weight_bytes": weights * (1 if is_int8 else 4),
            "outputs_per_sample": outputs,
            "macs_per_sample": macs,
            "additions_per_sample": macs,
            "products_per_sample": macs,
            "scalings_per_sample": outputs if is_int8 else 0,
        }
        return cls(**counted | fields)

    @classmethod
    def masked(cls, masks: np.ndarray, *, positions: int, is_binary: bool, **fields: Any) -> Self:
        """The record of a layer of masks.

        Args:
          masks: bool [planes, O, KH, KW, I]; a ternary layer has two planes, the others one.
          positions: output pixels (rows of a dense layer) of one sample, at each of which every
            filter is applied.
          is_binary: whether the two values of every filter are s and -s.
          fields: `kind`, `activation_type`, `weight_bytes`, `regions`, `pattern`, `has_background`,
            and others of this class that do not follow.
        """
        _, filters, *window, channels = masks.shape
        a_filter = math.prod(window) * channels
        ones = int(np.count_nonzero(masks))
        background = bool(fields["has_background"])
        record = cls(
            weights=filters * a_filter,
            effectual_weights=filters * a_filter if is_binary else ones,
            outputs_per_sample=positions * filters,
            macs_per_sample=positions * filters * a_filter,
            additions_per_sample=positions * (ones + background * a_filter),
            scalings_per_sample=positions * filters * fields["regions"] * (1 + background),
            **fields,
        )
        group = record.engine_group_channels
        record.engine_lookups_per_output = len(masks) * math.prod(window) * -(-channels // group)
        record.distinct_patterns = {
            size: distinct_patterns(masks, size) for size in sorted({*GROUP_CHANNELS, group})
        }
        return record

    @classmethod
    def packed(cls, filters: PackedFilters, *, positions: int, **fields: Any) -> Self:
        """The record of packed filters (see `masked`); `weight_bytes` may be given."""
        two_valued = filters.kind == TWO_VALUED
        values = filters.values.astype(np.float32)
        known = {
            "kind": filters.kind,
            "activation_type": filters.values.dtype.name,
            "filter_shape": filters.filter_shape,
            "weight_bytes": filters.nbytes,
            "regions": filters.regions,
            "pattern": filters.pattern,
            "has_background": two_valued and bool(np.any(values[..., 0])),
        }
        return cls.masked(
            unpack_masks(filters.masks, filters.filter_shape),
            positions=positions,
            is_binary=two_valued and bool(np.all(values[..., 0] == -values[..., 1])),
            **known | fields,
        )


def totals(layers: Sequence[LayerFacts]) -> dict[str, Any]:
    """Sums over layers; `density` and `bits_per_weight` are those of the packed ones."""
    packed = [layer for layer in layers if not layer.is_dense]
    weights, packed_weights = _sum("weights", layers), _sum("weights", packed)
    stored, effectual = _sum("weight_bytes", layers), _sum("effectual_weights", packed)
    return {
        "weights": weights,
        "packed_weights": packed_weights,
        "effectual_weights": effectual,
        "density": effectual / packed_weights if packed_weights else 1.0,
        "bits_per_weight": 8 * _sum("weight_bytes", packed) / packed_weights if packed else 0.0,
        "weight_bytes": stored,
        "float32_bytes": 4 * weights,
        "int8_bytes": weights,
        "smaller_than_float32": 4 * weights / stored if stored else 0.0,
        "smaller_than_int8": weights / stored if stored else 0.0,
        "macs_per_sample": _sum("macs_per_sample", layers),
        "packed_macs_per_sample": _sum("macs_per_sample", packed),
        "additions_per_sample": _sum("additions_per_sample", layers),
        "products_per_sample": _sum("products_per_sample", layers),
        "scalings_per_sample": _sum("scalings_per_sample", layers),
        "energy_nj_per_sample": _sum("energy_nj_per_sample", layers),
    }


def _sum(name: str, layers: Sequence[LayerFacts]) -> Any:
    return sum(getattr(layer, name) for layer in layers)


def _priced(activation_type: str) -> str:
    return "int8" if activation_type == "int8" else "float32"

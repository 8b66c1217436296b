"""What is left when filters share tables of partial sums: the trade-off, group size by group size.

The model: at each input pixel, the sums that a group of g input channels can contribute are put
into a table once; every filter and every tap that sees this pixel adds one entry per group, and
none where its weights of the group are all zero. SumMerge (Prabhakar et al., ICS 2021) and UCNN
(Hegde et al., ISCA 2018) share sums so, and the engine's tables in memory; its tables in registers
look empty groups up, too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tf_signbin.format.pack import unpack_masks
from tf_signbin.format.spec import TERNARY, PackedFilters

GROUPS = (1, 2, 3, 4, 5, 6, 7, 8, 10)


@dataclass(frozen=True)
class GroupCost:
    """One group size. All counts are means over the layer.

    distinct_patterns: different patterns that the filters show at one tap and group.
    table_entries: sums that a table of this kind (and pattern) must offer.
    zero_share: share of groups whose weights are all zero, which cost nothing.
    nonempty_lookups_per_output: table entries added to one output; empty groups are skipped.
    table_adds_per_output: additions that build the tables, shared out to the outputs.
    needed_adds_per_output: the same for tables of just the sums that some filter asks for, each
      made with one addition.
    """

    group: int
    distinct_patterns: float
    table_entries: int
    zero_share: float
    nonempty_lookups_per_output: float
    table_adds_per_output: float
    needed_adds_per_output: float

    @property
    def shared_adds_per_output(self) -> float:
        return self.nonempty_lookups_per_output + self.table_adds_per_output


@dataclass(frozen=True)
class SharingCosts:
    """A layer's counts over group sizes; window sums of backgrounds are the same for all.

    entropy_per_weight: bits, of independent weights with these frequencies.
    lower_bound_per_output: additions per output that no engine which shares sums of consecutive
      channels can go below with these weights: at the best group size, one for each group that is
      not empty and one for each different sum that any filter and tap asks for.
    """

    entropy_per_weight: float
    lower_bound_per_output: float
    groups: tuple[GroupCost, ...]

    @property
    def best(self) -> GroupCost:
        """The group size with the fewest additions."""
        return min(self.groups, key=lambda cost: cost.shared_adds_per_output)

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON, with the best group's additions beside them."""
        groups = [
            {**dataclasses.asdict(cost), "shared_adds_per_output": cost.shared_adds_per_output}
            for cost in self.groups
        ]
        return {
            **vars(self),
            "groups": groups,
            "best_group": self.best.group,
            "shared_adds_per_output": self.best.shared_adds_per_output,
        }


def sharing_costs(
    filters: PackedFilters, pixels_in_per_out: float, groups: Sequence[int] = GROUPS
) -> SharingCosts:
    """Counts for packed filters.

    Args:
      filters: one layer's weights.
      pixels_in_per_out: input pixels (each needs its tables) per output pixel: stride squared.
      groups: sizes to examine; a layer whose filters keep to a pattern is also examined at its m.
    """
    in_channels = filters.filter_shape[-1]
    masks = unpack_masks(filters.masks, filters.filter_shape)
    m = filters.pattern[1]
    costs = tuple(
        _group_cost(masks, filters, size, pixels_in_per_out)
        for size in sorted({*groups, *([m] if m else [])})
        if size <= in_channels
    )
    return SharingCosts(
        entropy_per_weight=_entropy([float(plane.mean()) for plane in masks]),
        lower_bound_per_output=min(
            cost.nonempty_lookups_per_output + cost.needed_adds_per_output for cost in costs
        ),
        groups=costs,
    )


def table_entries(group: int, ternary: bool = False, pattern: tuple[int, int] = (0, 0)) -> int:
    """Sums that a table of `group` channels must hold, the empty one included."""
    if ternary:
        return 3**group
    n, m = pattern
    if m and group == m:
        return sum(math.comb(m, k) for k in range(n + 1))
    return 1 << group


def _group_cost(
    masks: np.ndarray,
    filters: PackedFilters,
    size: int,
    pixels_in_per_out: float,
) -> GroupCost:
    planes, out_channels, kernel_h, kernel_w, in_channels = masks.shape
    group_count = -(-in_channels // size)
    padded = np.pad(masks.any(axis=0), [(0, 0)] * 3 + [(0, group_count * size - in_channels)])
    occupied = padded.reshape(out_channels, kernel_h, kernel_w, group_count, size).any(axis=-1)
    entries = table_entries(size, filters.kind == TERNARY, filters.pattern)
    # The empty sum and the sums of one channel come for free, and half of a ternary table is the
    # negative of the other half.
    built = (entries - 1) / 2 if planes == 2 else entries - 1
    adds = max(built - size, 0)
    return GroupCost(
        group=size,
        distinct_patterns=distinct_patterns(masks, size),
        table_entries=entries,
        zero_share=1.0 - float(occupied.mean()),
        nonempty_lookups_per_output=float(occupied.sum()) / out_channels,
        table_adds_per_output=adds * group_count * pixels_in_per_out / out_channels,
        needed_adds_per_output=_sums_asked_for(masks, size) * pixels_in_per_out / out_channels,
    )


def _sums_asked_for(masks: np.ndarray, size: int) -> int:
    """Different sums of two and more channels, over all groups; a sum's negative counts with it."""
    planes, out_channels, kernel_h, kernel_w, in_channels = masks.shape
    padded = np.pad(masks, [(0, 0)] * 4 + [(0, -in_channels % size)])
    groups = padded.reshape(planes, out_channels * kernel_h * kernel_w, -1, size)
    codes = (groups * (1 << np.arange(size))).sum(axis=-1)  # [planes, filters and taps, groups]
    if planes == 2:
        plus, minus = codes
        code = np.minimum(plus | minus << size, minus | plus << size)
    else:
        code = codes[0]
    code = np.where(groups.any(axis=0).sum(axis=-1) >= 2, code, 0)
    ordered = np.sort(code, axis=0)
    new = np.diff(ordered, axis=0, prepend=0) != 0  # the empty sum, 0, comes first
    return int(np.count_nonzero(new))


def _entropy(shares: list[float]) -> float:
    """Bits of a weight that takes these values with these shares, and 0 otherwise."""
    every = [*shares, 1.0 - sum(shares)]
    return float(-sum(share * math.log2(share) for share in every if share > 0))


def distinct_patterns(masks: np.ndarray, group: int) -> float:
    """Mean number of different patterns that filters show at a tap and group of `group` channels.

    masks: bool [planes, O, KH, KW, I]; a ternary pattern is that of both planes.
    """
    planes, out_channels, kernel_h, kernel_w, in_channels = masks.shape
    padding = -in_channels % group
    padded = np.pad(masks, [(0, 0)] * 4 + [(0, padding)])
    groups = padded.reshape(planes, out_channels, kernel_h * kernel_w, -1, group)
    weights = 1 << np.arange(planes * group).reshape(planes, 1, 1, 1, group)
    codes = np.sort((groups * weights).sum(axis=(0, 4)), axis=0)  # [O, taps, groups]
    changes = np.count_nonzero(codes[1:] != codes[:-1], axis=0)
    return float(1 + changes.mean())

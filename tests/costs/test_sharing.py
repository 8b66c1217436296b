"""Counts against layers small enough to count by hand, and against brute force."""

import itertools
import math

import numpy as np
import pytest

from tf_signbin.benchmark.weights import WeightSpec, int8_filters
from tf_signbin.costs import sharing_costs
from tf_signbin.costs.sharing import table_entries
from tf_signbin.format import detect


def packed(weights):
    return detect(np.asarray(weights, np.int8)).packed


def test_two_filters_counted_by_hand():
    # Two 1x1 filters over 4 channels: groups of 2 are (1,1)(0,0) and (0,1)(1,0).
    weights = np.array([[1, 1, 0, 0], [0, 1, 1, 0]]).reshape(2, 1, 1, 4) * 127
    costs = sharing_costs(packed(weights), pixels_in_per_out=1, groups=(1, 2, 4))
    one, two, four = costs.groups
    assert costs.entropy_per_weight == pytest.approx(1.0)
    # Group 1: every effectual weight is a lookup, tables cost nothing.
    assert (one.nonempty_lookups_per_output, one.table_adds_per_output) == (2.0, 0.0)
    # Group 2: three of four groups are not empty; a table adds one pair, two tables, two filters.
    assert (two.nonempty_lookups_per_output, two.table_adds_per_output) == (1.5, 1.0)
    assert two.zero_share == 0.25
    assert two.distinct_patterns == 2.0
    # One sum of two channels is asked for in group 2, two different ones in group 4.
    assert (two.needed_adds_per_output, four.needed_adds_per_output) == (0.5, 1.0)
    assert costs.lower_bound_per_output == 2.0
    # Group 4: one lookup; 16 entries less the empty one and four single ones, over two filters.
    assert (four.nonempty_lookups_per_output, four.table_adds_per_output) == (1.0, 11 / 2)


def test_a_stride_makes_tables_cost_more():
    filters = packed(int8_filters(np.random.default_rng(0), (8, 3, 3, 16), WeightSpec()))
    dense, strided = sharing_costs(filters, 1).groups[3], sharing_costs(filters, 4).groups[3]
    assert strided.table_adds_per_output == 4 * dense.table_adds_per_output
    assert strided.nonempty_lookups_per_output == dense.nonempty_lookups_per_output


@pytest.mark.parametrize("group", [1, 2, 3, 4])
def test_table_entries_by_enumeration(group):
    subsets = set(itertools.product((0, 1), repeat=group))
    assert table_entries(group) == len(subsets)
    assert table_entries(group, ternary=True) == len(
        set(itertools.product((-1, 0, 1), repeat=group))
    )
    for n in range(1, group):
        allowed = [subset for subset in subsets if sum(subset) <= n]
        assert table_entries(group, pattern=(n, group)) == len(allowed)


def test_engine_tables_of_the_design():
    assert table_entries(7, pattern=(3, 7)) == 64
    assert table_entries(10, pattern=(2, 10)) == 56
    assert table_entries(7, pattern=(2, 7)) == 29


def test_pattern_group_is_examined():
    spec = WeightSpec(density=2 / 9, pattern=(2, 9))
    filters = packed(int8_filters(np.random.default_rng(0), (16, 3, 3, 36), spec))
    (cost,) = (c for c in sharing_costs(filters, 1, groups=(4,)).groups if c.group == 9)
    assert cost.table_entries == 1 + 9 + math.comb(9, 2)


@pytest.mark.parametrize("density", [0.02, 0.1, 0.36, 0.5])
@pytest.mark.parametrize("kind", ["signed_binary", "ternary"])
def test_no_count_is_below_the_lower_bound(kind, density):
    filters = packed(
        int8_filters(np.random.default_rng(0), (64, 3, 3, 64), WeightSpec(kind, density))
    )
    costs = sharing_costs(filters, 1)
    assert 0 < costs.lower_bound_per_output <= costs.best.shared_adds_per_output
    for cost in costs.groups:
        assert cost.needed_adds_per_output <= cost.table_adds_per_output


@pytest.mark.parametrize("kind", ["signed_binary", "ternary"])
@pytest.mark.parametrize("group", [2, 3, 5])
def test_needed_sums_by_enumeration(kind, group):
    weights = int8_filters(np.random.default_rng(1), (9, 3, 3, 7), WeightSpec(kind, 0.4))
    (cost,) = sharing_costs(packed(weights), 4, groups=(group,)).groups
    signs = np.sign(weights).astype(int)
    if kind == "signed_binary":
        signs = np.abs(signs)  # one sign a filter: the mask is what picks a sum
    needed = 0
    for start in range(0, 7, group):
        patterns = {tuple(row) for row in signs[..., start : start + group].reshape(81, -1)}
        patterns = {p for p in patterns if np.count_nonzero(p) >= 2}
        needed += len({max(p, tuple(-np.array(p))) for p in patterns})
    assert cost.needed_adds_per_output == pytest.approx(needed * 4 / 9)


def test_entropy_of_ternary():
    filters = packed(
        int8_filters(np.random.default_rng(0), (64, 3, 3, 64), WeightSpec("ternary", 2 / 3))
    )
    assert sharing_costs(filters, 1).entropy_per_weight == pytest.approx(math.log2(3), abs=0.01)

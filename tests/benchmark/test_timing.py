"""The interleaving runs everyone equally often and in changing order."""

import pytest

from tf_signbin.benchmark.timing import WARM_UP_ROUNDS, geometric_mean, interleave


def test_every_contender_runs_in_every_round():
    calls = []
    contenders = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    shares = []
    timings = interleave(contenders, seconds=0.0, rounds=(20, 50), tick=shares.append)
    assert {name: timing.rounds for name, timing in timings.items()} == dict.fromkeys("abc", 20)
    measured = calls[3 * WARM_UP_ROUNDS :]
    rounds = [measured[start : start + 3] for start in range(0, len(measured), 3)]
    assert all(sorted(entries) == list("abc") for entries in rounds)
    assert len({tuple(entries) for entries in rounds}) > 2
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == 20


def test_most_rounds_bound_the_time():
    assert interleave({"a": lambda: None}, seconds=60, rounds=(1, 5))["a"].rounds == 5


def test_summary_is_ordered():
    timing = interleave({"a": lambda: sum(range(100))}, seconds=0.01)["a"]
    assert timing.min_ms <= timing.p10_ms <= timing.median_ms <= timing.p90_ms


def test_geometric_mean():
    assert geometric_mean([1.0, 4.0]) == pytest.approx(2.0)

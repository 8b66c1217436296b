"""The tool that fits the planner's costs, on times made from costs that are known."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest

from tools import fit_table_costs as fitting

ROOT = pathlib.Path(__file__).resolve().parents[2]
NEAR_BYTES = 44 * 1024


@pytest.fixture
def times(tmp_path, rng) -> pathlib.Path:
    """Three times as many configurations as costs in each of eight layers; 2% of noise."""
    counts = fitting.COUNTS
    costs = rng.uniform(0.05, 2, len(counts))
    costs[counts.index("misses")] = 1  # else the bytes of the caches cannot be told
    head = "layer,config,elements,direct,chunk_bytes,predicted,warm,cold"
    lines = [",".join([head, *counts])]
    for layer in range(8):
        for config in range(3 * len(counts)):
            work = rng.integers(1, 2000, len(counts)) * rng.uniform(0.5, 2)
            chunk_bytes = int(rng.integers(10_000, 200_000))
            share = max(0, 1 - NEAR_BYTES / chunk_bytes)
            accessed = work[counts.index("loads")] + work[counts.index("stores")]
            work[counts.index("misses")] = share * accessed
            ns = work @ costs * np.exp(rng.normal(0, 0.02))
            guess = ns * np.exp(rng.normal(0, 0.3))
            row = f"layer{layer},c{config},int16,0,{chunk_bytes},{guess},{ns / 1.1},{ns * 1.1}"
            lines.append(",".join([row, *map(str, work)]))
    path = tmp_path / "times.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_times_of_known_costs_are_predicted(times):
    timed = fitting.read([times])["int16"]
    work = fitting.with_misses(timed, NEAR_BYTES, NEAR_BYTES)
    costs, _ = fitting.fit(timed, work)
    assert (costs >= 0).all()
    error = np.abs(np.log(work @ costs / timed.measured))
    assert error.mean() < 0.05
    before = fitting.choice_losses(timed, timed.predicted)
    after = fitting.choice_losses(timed, work @ costs)
    assert after.max() < 1.08 < before.max()


def test_a_column_is_printed_and_the_caches_bytes_found(times, capsys, monkeypatch):
    monkeypatch.setattr(fitting, "NEAR_BYTES", (28 * 1024, NEAR_BYTES, 64 * 1024))
    monkeypatch.setattr("sys.argv", ["fit_table_costs.py", str(times)])
    fitting.main()
    lines = capsys.readouterr().out.splitlines()
    assert f"kNearBytes     {{0, {NEAR_BYTES}, 0}}" in lines
    assert [line.split()[0] for line in lines[3:-1]] == list(fitting.COUNTS)


def test_columns_are_those_that_the_program_prints():
    source = (ROOT / "delegate/bench/table_costs.cc").read_text()
    assert tuple(re.findall(r'\{"(\w+)", &Work::\1\}', source)) == fitting.COUNTS
    header = re.search(r'printf\("(layer,[^"]*)"\);', source)
    assert header is not None
    assert header[1].split(",") == [
        "layer", "config", "elements", "direct", "chunk_bytes", "predicted", "warm", "cold",
    ]  # fmt: skip

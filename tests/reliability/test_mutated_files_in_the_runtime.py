"""Mutated .tflite files in the real runtime with the delegate: a clean error or a right result.

`python tools/fuzz_models.py` goes on for as long as it is told. A failure prints its seed; replay
it with TF_SIGNBIN_SEED=<seed>.
"""

from __future__ import annotations

import os

import pytest

from tests.reliability.mutants import Trial


@pytest.fixture
def trial(delegate_path, tmp_path):
    trial = Trial(delegate_path, tmp_path)
    yield trial
    trial.close()


def test_mutated_files_end_in_an_error_or_a_right_result(trial):
    named = os.environ.get("TF_SIGNBIN_SEED")
    seeds = [int(named)] if named else range(600)
    for seed in seeds:
        trial.run(seed)
    assert not trial.failures, "\n".join(trial.failures)
    if not named:
        # Neither all refused, nor all left alone: the mutants reach the kernels and the checks.
        assert trial.counts["clean error"] > 100
        assert trial.counts["right result"] > 100

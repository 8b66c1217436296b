"""Settings of every test run: quiet TensorFlow, no GPU, random numbers that can be replayed."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture
def rng():
    """A generator whose seed is printed on failure and can be set with TEST_SEED."""
    seed = int(os.environ.get("TEST_SEED", np.random.SeedSequence().generate_state(1)[0]))
    print(f"replay with TEST_SEED={seed}")
    return np.random.default_rng(seed)

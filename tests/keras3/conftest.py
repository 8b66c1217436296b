"""A random generator whose seed is printed on failure and can be set with TEST_SEED."""

import os

import numpy as np
import pytest


@pytest.fixture
def rng():
    seed = int(os.environ.get("TEST_SEED", np.random.SeedSequence().generate_state(1)[0]))
    print(f"replay with TEST_SEED={seed}")
    return np.random.default_rng(seed)

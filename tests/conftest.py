"""Settings of every test run: quiet TensorFlow, no GPU, random numbers that can be replayed."""

import os
import random
import sys
import zlib

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def seed(request):
    """The test's own seed, the same in every run, also for initial weights and dropout of Keras.

    TEST_SEED=<number> replays another seed, TEST_SEED=random takes a new one in every test.
    """
    given = os.environ.get("TEST_SEED", str(zlib.crc32(request.node.nodeid.encode())))
    number = int(np.random.SeedSequence().generate_state(1)[0]) if given == "random" else int(given)
    print(f"replay with TEST_SEED={number}")
    random.seed(number)
    np.random.seed(number)
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(number)
    if "tf_keras" in sys.modules:
        # What an earlier test's set_random_seed left would go on seeding initial weights.
        sys.modules["tf_keras.src.backend"]._SEED_GENERATOR.generator = None
    return number


@pytest.fixture
def rng(seed):
    """A generator of the test's own seed."""
    return np.random.default_rng(seed)

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


@pytest.fixture
def rng(request):
    """A generator whose seed is the test's own, the same in every run.

    TEST_SEED=<number> replays another seed, TEST_SEED=random takes a new one in every test. Initial
    weights and dropout of both Keras come from the same seed.
    """
    given = os.environ.get("TEST_SEED", str(zlib.crc32(request.node.nodeid.encode())))
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if given == "random" else int(given)
    print(f"replay with TEST_SEED={seed}")
    random.seed(seed)
    np.random.seed(seed)
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(seed)
    return np.random.default_rng(seed)

"""One delegate and one set of packed models under three TFLite runtimes, old and new.

The expected results are LiteRT's reference kernels' (int8) and NumPy's in float64 (float32).
`make matrix` goes on to more versions.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tools import matrix

OLDEST = "tflite-runtime==2.14.0"


@pytest.fixture(scope="module")
def cases(delegate_path, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runtimes") / "cases.npz"
    matrix.write_cases(path, delegate_path)
    return path


@pytest.mark.parametrize("runtime", ["ai_edge_litert", "tensorflow"])
def test_runtimes_of_this_environment(cases, delegate_path, runtime):
    right = matrix.run_cases(sys.executable, cases, delegate_path, runtime)
    assert right == str(2 * matrix.LAYERS)


def test_oldest_runtime(cases, delegate_path):
    """In $TF_SIGNBIN_TFLITE_RUNTIME_PYTHON, else in an environment that is made once."""
    python = os.environ.get("TF_SIGNBIN_TFLITE_RUNTIME_PYTHON")
    if python is None:
        if sys.version_info >= (3, 12):
            pytest.skip(f"{OLDEST} exists for Python 3.11 and older only")
        python = matrix.prepare(
            matrix.ROOT / ".cache" / "matrix", OLDEST, [OLDEST, *matrix.RUNTIMES[OLDEST].extra]
        )
    assert matrix.run_cases(python, cases, delegate_path) == str(2 * matrix.LAYERS)

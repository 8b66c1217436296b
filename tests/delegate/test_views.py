"""What the delegate claims and which kernels it takes, in every view that this machine can give."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tf_signbin.benchmark import views

HERE = Path(__file__).parent
CHOICES = ("test_claims.py", "test_low_bits.py", "test_options.py")
VIEWS = views.available_views() or [
    pytest.param(None, marks=pytest.mark.skip("no views on this machine"))
]


@pytest.mark.parametrize("view", VIEWS)
def test_choices_in_a_view(view, delegate_path):
    code = f"""
import sys
import pytest
from tf_signbin.benchmark import views

views.enter_delegate({view!r})
sys.exit(pytest.main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", code, "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    run = subprocess.run(
        [*command, *(str(HERE / name) for name in CHOICES)],
        env=os.environ | {"TF_SIGNBIN_DELEGATE": str(delegate_path)},
        cwd=HERE.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]

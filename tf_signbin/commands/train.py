"""Train a residual network with the example program; every further argument is passed on to it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tf_signbin import console

EXAMPLES = """examples:
  tf-signbin train --dataset=glyphs --pattern=2:10 --run_dir=out/glyphs
  tf-signbin train --epochs=5 --json=-
  tf-signbin train --help          the example program's own options
  tf-signbin train --helpfull
"""
_PACKAGE = Path(__file__).resolve().parents[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For the list of commands only: cli.py passes the arguments on unparsed."""
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="options of train_resnet.py")


def run(args: argparse.Namespace) -> int:
    # The same interpreter, in a process of its own: absl owns its flags and signal handling.
    search = [str(_PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        "TF_CPP_MIN_LOG_LEVEL": "2",  # TensorFlow's notes on its own set-up
        **os.environ,
        "PYTHONPATH": os.pathsep.join(search),
    }
    command = [sys.executable, str(_program()), *args.arguments]
    return subprocess.run(command, env=environment, check=False).returncode


def _program() -> Path:
    # In a wheel the examples lie inside the package (setup.py), in a checkout beside it.
    candidates = [_PACKAGE / "_examples", _PACKAGE.parent / "examples"]
    for folder in candidates:
        if (folder / "train_resnet.py").is_file():
            return folder / "train_resnet.py"
    raise console.CommandError(f"train_resnet.py is neither in {candidates[0]} nor {candidates[1]}")

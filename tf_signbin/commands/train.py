"""Train a residual network with the example program; every further argument is passed on to it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tf_signbin import console

EXAMPLES = """examples:
  tf-signbin train --dataset digits --method signed_binary
  tf-signbin train --help          the example program's own options
  tf-signbin train --helpfull
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For the list of commands only: cli.py passes the arguments on unparsed."""
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="options of train_resnet.py")


def run(args: argparse.Namespace) -> int:
    # The same interpreter, in a process of its own: absl owns its flags and signal handling.
    return subprocess.run(
        [sys.executable, str(_program()), *args.arguments], check=False
    ).returncode


def _program() -> Path:
    package = Path(__file__).resolve().parents[1]
    # In a wheel the examples lie inside the package (setup.py), in a checkout beside it.
    candidates = [package / "_examples", package.parent / "examples"]
    for folder in candidates:
        if (folder / "train_resnet.py").is_file():
            return folder / "train_resnet.py"
    raise console.CommandError(f"train_resnet.py is neither in {candidates[0]} nor {candidates[1]}")

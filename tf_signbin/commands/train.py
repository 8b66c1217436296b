"""Train a residual network with the example program; every further argument is passed on to it."""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

from tf_signbin import console

EXAMPLES = """examples:
  tf-signbin train --dataset=glyphs --pattern=2:10 --run_dir=out/glyphs
  tf-signbin train --epochs=5 --json=-
  tf-signbin train --helpfull      the options of its libraries too
"""
_PACKAGE = Path(__file__).resolve().parents[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For the list of commands only: cli.py passes the arguments on unparsed."""
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="options of train_resnet.py")


class Flag(NamedTuple):
    """An option of the example program; choices are empty when only the program knows them."""

    name: str
    default: str
    help: str
    choices: tuple[str, ...]
    is_bool: bool


def program_flags() -> list[Flag]:
    """The program's options, read from its source: running it imports TensorFlow, which is slow."""
    flags = []
    for node in ast.walk(ast.parse(_program().read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        kind = node.func.attr
        if not kind.startswith("DEFINE_"):
            continue
        name, default, *_ = (ast.literal_eval(word) for word in node.args[:2])
        choices: tuple[str, ...] = ()
        if kind == "DEFINE_enum" and isinstance(node.args[2], ast.Tuple):
            choices = ast.literal_eval(node.args[2])
        text = ast.literal_eval(node.args[-1])
        shown = "" if default is None else str(default)
        flags.append(Flag(name, shown, text, choices, kind == "DEFINE_bool"))
    return flags


def _help() -> str:
    lines = [
        "usage: tf-signbin train [--FLAG=VALUE ...]", "", __doc__ or "", "", "options:",
    ]  # fmt: skip
    for flag in program_flags():
        value = "" if flag.is_bool else f"={'|'.join(flag.choices) or flag.name.upper()}"
        default = "" if flag.is_bool or not flag.default else f" (default {flag.default})"
        lines.append(f"  --{flag.name}{value}")
        lines += textwrap.wrap(
            flag.help + default, 74, initial_indent=" " * 6, subsequent_indent=" " * 6
        )
    return "\n".join([*lines, "", EXAMPLES])


def run(args: argparse.Namespace) -> int:
    if args.arguments in (["--help"], ["-h"]):
        print(_help())
        return console.OK
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

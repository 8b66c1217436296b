"""The command line tool `tf-signbin`: one subcommand a module, imported when it is used."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NamedTuple

from tf_signbin import console


class _Command(NamedTuple):
    module: str  # has add_arguments(parser), run(args) -> exit code and EXAMPLES
    help: str


COMMANDS = {
    "train": _Command("tf_signbin.commands.train", "train, convert and measure a residual network"),
    "convert": _Command("tf_signbin.commands.convert", "make a packed .tflite file of a model"),
    "inspect": _Command("tf_signbin.commands.inspect", "show what a .tflite file holds"),
    "verify": _Command("tf_signbin.commands.verify", "compare a packed with a stock .tflite file"),
    "benchmark": _Command("tf_signbin.benchmark.command", "measure against XNNPACK"),
    "analyze": _Command("tf_signbin.analyze.command", "show the repetition-sparsity trade-off"),
    "report": _Command("tf_signbin.report.command", "write an HTML page about a model"),
    "doctor": _Command("tf_signbin.commands.doctor", "check the installation"),
    "completion": _Command("tf_signbin.commands.completion", "print a shell completion script"),
}


def make_parser(commands: Sequence[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The parser with the arguments of the given commands (all: for completion and documents)."""
    parser = argparse.ArgumentParser(
        prog="tf-signbin",
        description="Signed-binary neural networks: train, convert, run, measure.",
        epilog="`tf-signbin COMMAND --help` describes a command and shows examples.",
    )
    parser.add_argument("--version", action="version", version=f"tf-signbin {_version()}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        if name not in commands:
            subparsers.add_parser(name, help=command.help)
            continue
        module = importlib.import_module(command.module)
        subparser = subparsers.add_parser(
            name,
            help=command.help,
            description=(module.__doc__ or "").strip(),
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def _version() -> str:
    try:
        return metadata.version("tf-signbin")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code: 0 done, 1 failed, 2 wrong usage."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = [word for word in arguments if word in COMMANDS][:1]
    args = make_parser(chosen).parse_args(arguments)
    try:
        return int(args.run(args))
    except console.CommandError as error:
        console.say(f"tf-signbin {args.command}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        console.say("interrupted")
        return 130
    except BrokenPipeError:
        # The reader of stdout (head, less) has gone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return console.OK

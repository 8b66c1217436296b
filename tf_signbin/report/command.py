"""Write one self-contained HTML page about a converted model."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tf_signbin import console
from tf_signbin.arguments import output_file, positive, seconds
from tf_signbin.benchmark.contenders import BenchmarkError
from tf_signbin.convert import write_file
from tf_signbin.runtime import RUNTIMES, DelegateError, RuntimeNotFoundError

EXAMPLES = """examples:
  tf-signbin report model.tflite -o report.html
  tf-signbin report model.tflite --compare "full precision=fp32.tflite" --compare int8=qat.tflite
  tf-signbin report model.tflite --samples x_test.npy --labels y_test.npy --log run/log.csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a .tflite file")
    parser.add_argument(
        "-o",
        "--output",
        type=output_file,
        metavar="FILE",
        help="default: the model's name with .html",
    )
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        type=_named_file,
        metavar="NAME=FILE",
        help="another .tflite file to measure in the stock runtime (may be repeated)",
    )
    parser.add_argument("--samples", metavar="FILE", help="test inputs, .npy [samples, ...]")
    parser.add_argument("--labels", metavar="FILE", help="their classes, .npy [samples]")
    parser.add_argument("--log", metavar="FILE", help="CSV log of the training")
    parser.add_argument("--threads", type=positive, default=1, metavar="N")
    parser.add_argument("--runtime", choices=("auto", *RUNTIMES), default="auto")
    parser.add_argument("--seconds", type=seconds, default=3.0, help="time for measurements")
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="write the figures too; - for stdout"
    )


def run(args: argparse.Namespace) -> int:
    from tf_signbin.report.collect import collect
    from tf_signbin.report.page import render

    if (args.samples is None) != (args.labels is None):
        raise console.UsageError("--samples and --labels belong together")
    output = args.output or str(Path(args.model).with_suffix(".html"))
    with console.progress("report") as tick:
        try:
            result = collect(
                args.model,
                dict(args.compare),
                samples=_array(args.samples),
                labels=_array(args.labels),
                log=args.log,
                runtime=args.runtime,
                threads=args.threads,
                seconds=args.seconds,
                tick=tick,
            )
            write_file(output, render(result).encode())
        except (
            BenchmarkError, DelegateError, RuntimeNotFoundError, OSError, RuntimeError, ValueError,
        ) as error:  # fmt: skip
            raise console.CommandError(str(error)) from error
    if args.json:
        console.write_json(args.json, result)
    console.say(f"wrote {output}")
    return console.OK


def _array(path: str | None) -> np.ndarray | None:
    return None if path is None else np.load(path, allow_pickle=False)


def _named_file(text: str) -> tuple[str, str]:
    name, separator, path = text.partition("=")
    if not separator or not name or not path:
        raise argparse.ArgumentTypeError(f"{text!r}: must be NAME=FILE")
    return name, path

"""Run a stock .tflite file and its packed form side by side and compare layers and outputs."""

from __future__ import annotations

import argparse

from tf_signbin import console
from tf_signbin.arguments import output_file, positive
from tf_signbin.commands.samples import HELP, load_samples

EXAMPLES = """examples:
  tf-signbin verify stock.tflite packed.tflite
  tf-signbin verify stock.tflite packed.tflite --samples images.npy --json verify.json

The exit code is 1 when they differ. Without stock.tflite, compare with the unpacked file:
  tf-signbin verify packed.tflite

With the Keras model that the file was made of, find the first layer that differs, and by how much:
  tf-signbin verify --keras model.keras packed.tflite
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stock", help="the file before packing, or the packed file alone")
    parser.add_argument("packed", nargs="?", help="the packed file")
    parser.add_argument(
        "--keras", metavar="FILE", help="compare one file with this .keras or .h5 model by layers"
    )
    parser.add_argument("--samples", metavar="FILE", help=f"inputs to compare on: {HELP}")
    parser.add_argument(
        "--random",
        type=positive,
        default=2,
        metavar="N",
        help="without --samples: random inputs (2)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random inputs")
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="write the report; - for stdout"
    )


def run(args: argparse.Namespace) -> int:
    from tf_signbin.convert import read_file, unpack, verify
    from tf_signbin.convert.keras_models import load_keras_file
    from tf_signbin.convert.keras_verify import KerasReport, verify_keras
    from tf_signbin.convert.verify import VerifyReport
    from tf_signbin.runtime import DelegateError

    samples = load_samples(args.samples) if args.samples else None
    if args.keras and args.packed:
        raise console.UsageError("--keras compares one .tflite file with the model")
    report: VerifyReport | KerasReport
    with console.status("comparing"):
        try:
            given = samples() if samples else None
            packed = read_file(args.packed or args.stock)
            if args.keras:
                model = load_keras_file(args.keras)
                report = verify_keras(model, packed, given, count=args.random, seed=args.seed)
            else:
                stock = read_file(args.stock) if args.packed else unpack(args.stock)
                report = verify(stock, packed, given, samples=args.random, seed=args.seed)
        except (DelegateError, ImportError, OSError, ValueError) as error:
            raise console.CommandError(str(error)) from error
    if args.json:
        console.write_json(args.json, report.to_dict())
    if args.json != "-":
        print(report)
    return console.OK if report.ok else console.FAILED

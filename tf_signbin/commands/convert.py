"""Convert a model to one .tflite file with packed signed-binary layers."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from tf_signbin import console
from tf_signbin.arguments import output_file
from tf_signbin.commands.samples import HELP, load_samples

EXAMPLES = """examples:
  tf-signbin convert model.keras -o model.tflite
  tf-signbin convert saved_model/ -o model.tflite --samples images.npy --input-type int8
  tf-signbin convert exported.tflite -o packed.tflite --strict --verify
  tf-signbin convert model.keras -o portable.tflite --layout builtin
"""
_KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a .keras, .h5 or .tflite file, or a SavedModel folder")
    parser.add_argument(
        "-o", "--output", required=True, type=output_file, metavar="FILE", help="the .tflite file"
    )
    parser.add_argument("--activations", choices=("float32", "int8"), help="default: as trained")
    parser.add_argument(
        "--samples",
        metavar="FILE",
        help=f"representative inputs, for int8 activations of a model trained without: {HELP}",
    )
    for direction in ("input", "output"):
        parser.add_argument(
            f"--{direction}-type",
            choices=("float32", "int8", "uint8"),
            help=f"type of the model's {direction}s (default float32)",
        )
    parser.add_argument(
        "--layout",
        choices=("custom_op", "builtin"),
        default="custom_op",
        help="custom_op (default): packed, needs the delegate; builtin: runs anywhere, larger",
    )
    parser.add_argument(
        "--strict", action="store_true", help="fail when a quantized layer stays dense"
    )
    parser.add_argument(
        "--verify", action="store_true", help="run the stock and the packed model side by side"
    )
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="write the report; - for stdout"
    )


def run(args: argparse.Namespace) -> int:
    from tf_signbin.convert import ConversionReport, convert, write_file

    report = ConversionReport()
    samples = load_samples(args.samples) if args.samples else None
    with console.status(f"converting {args.model}"):
        try:
            data = convert(
                _source(args.model),
                activations=args.activations,
                representative_dataset=samples,
                input_type=args.input_type,
                output_type=args.output_type,
                layout=args.layout,
                strict=args.strict,
                verify=args.verify,
                verify_data=samples() if samples and args.verify else None,
                report=report,
            )
            write_file(args.output, data)
        except (ImportError, OSError, TypeError, ValueError) as error:
            raise console.CommandError(str(error)) from error
    if args.json:
        console.write_json(args.json, {"output": args.output, **report.to_dict()})
    if args.json != "-":
        print(report)
        print(f"wrote {args.output}")
    return console.OK


def _source(path: str) -> Any:
    """A Keras file as a model; anything else convert() reads itself."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file or folder")
    if Path(path).suffix not in _KERAS_SUFFIXES:
        return path
    from tf_signbin.convert.keras_models import load_keras_file

    return load_keras_file(path)

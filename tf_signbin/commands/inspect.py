"""Show what a .tflite file holds, layer by layer: kind, density, pattern, sizes, lookups."""

from __future__ import annotations

import argparse

from tf_signbin import console
from tf_signbin.arguments import output_file

EXAMPLES = """examples:
  tf-signbin inspect model.tflite
  tf-signbin inspect model.tflite --json - | jq '.totals'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a .tflite file")
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="write the figures; - for stdout"
    )


def run(args: argparse.Namespace) -> int:
    from tf_signbin.convert import inspect_model

    try:
        info = inspect_model(args.model)
    except (ImportError, OSError, ValueError) as error:
        raise console.CommandError(str(error)) from error
    if args.json:
        console.write_json(args.json, info.to_dict())
    if args.json != "-":
        print(info)
    return console.OK

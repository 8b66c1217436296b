"""libFuzzer (atheris) over everything that reads a .tflite file in Python.

    make fuzz-convert SECONDS=600

Every file must end in a result or in a ModelError; anything else, a slow file included, stops the
run and leaves the file in the working folder. The corpus starts from real models, packed and not,
and is kept in build/convert-corpus.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["tf_signbin.format", "tf_signbin.convert"]):
    from tf_signbin.convert import inspect_model, unpack
    from tf_signbin.convert.rewrite import pack
    from tf_signbin.format import ModelError

CORPUS = ROOT / "build/convert-corpus"


def read_every_way(data: bytes) -> None:
    for read in (pack, unpack, inspect_model):
        with contextlib.suppress(ModelError):
            read(data)


def write_corpus() -> None:
    from tests.convert.models import sound_files

    CORPUS.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(sound_files()):
        (CORPUS / f"sound{number}").write_bytes(data)


def main() -> None:
    write_corpus()
    arguments = [sys.argv[0], "-timeout=30", "-rss_limit_mb=4096", *sys.argv[1:], str(CORPUS)]
    atheris.Setup(arguments, read_every_way)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

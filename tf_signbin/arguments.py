"""Types of command line arguments: wrong usage is noticed before any work is done."""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path

PICTURES = (".png", ".svg")


def positive(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be an integer of at least 1")
    return int(text)


def seconds(text: str) -> float:
    """A time above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number of seconds above 0")
    return value


def output_file(text: str) -> str:
    """A file that can be written; '-' is stdout."""
    path = Path(text)
    if text == "-":
        return text
    if not text or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: must be a file, not a folder")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: there is no folder {str(path.parent)!r}")
    if not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r}: no permission to write there")
    return text


def picture(text: str) -> str:
    """A .png or .svg file that can be written, or its name without the suffix."""
    if Path(text).suffix not in ("", *PICTURES):
        raise argparse.ArgumentTypeError(f"{text!r}: must end in {' or '.join(PICTURES)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError("pictures need matplotlib: pip install 'tf-signbin[cli]'")
    return output_file(text)


def pattern(text: str) -> tuple[int, int]:
    """A pattern, 'n:m', or 'none': (0, 0)."""
    if text == "none":
        return 0, 0
    n, separator, m = text.partition(":")
    if not (separator and n.isdigit() and m.isdigit() and 1 <= int(n) < int(m)):
        raise argparse.ArgumentTypeError(f"{text!r}: must be none or N:M with 1 <= N < M")
    return int(n), int(m)

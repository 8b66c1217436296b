"""Writes bionic-24.txt: what Android 7 (API 24) offers to applications, from a checkout of bionic.

    python tools/android/bionic_symbols.py PATH/TO/bionic > tools/android/bionic-24.txt

A line is a library, a symbol version, a symbol, its kind, and the architectures that have it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

API = 24
LIBRARIES = ("libc", "libm", "libdl")
VERSIONS = ("LIBC", "LIBC_N")  # later ones are of later releases, the others are not public
ARCHITECTURES = ("arm", "arm64")
# Tags of symbols and versions that applications cannot use.
_CLOSED = {"platform-only", "apex", "systemapi", "llndk"}
_ALL_ARCHITECTURES = {"arm", "arm64", "riscv64", "x86", "x86_64"}


def available(tags: list[str], architecture: str) -> bool:
    """Whether what carries these tags is there for applications of that architecture."""
    only = _ALL_ARCHITECTURES.intersection(tags)
    if (only and architecture not in only) or _CLOSED.intersection(tags):
        return False
    for key in (f"introduced-{architecture}=", "introduced="):
        for tag in tags:
            if tag.startswith(key):
                return int(tag.removeprefix(key)) <= API
    return True


def symbols(text: str, architecture: str) -> Iterator[tuple[str, str, str]]:
    """Version, name and kind (function or variable) of a *.map.txt file."""
    version = ""
    open_version = False  # whether applications may use what follows
    for line in text.splitlines():
        code, _, comment = line.partition("#")
        code, tags = code.strip(), comment.split()
        if start := re.fullmatch(r"(\w+) \{", code):
            version = start[1]
            open_version = version in VERSIONS and available(tags, architecture)
        elif open_version and re.fullmatch(r"\w+;", code) and available(tags, architecture):
            yield version, code.rstrip(";"), "variable" if "var" in tags else "function"


def main() -> None:
    bionic = Path(sys.argv[1])
    lines: dict[tuple[str, str, str, str], list[str]] = {}
    for library in LIBRARIES:
        text = (bionic / library / f"{library}.map.txt").read_text()
        for architecture in ARCHITECTURES:
            for symbol in symbols(text, architecture):
                lines.setdefault((library, *symbol), []).append(architecture)
    print(f"# API {API}; written by bionic_symbols.py from bionic's *.map.txt files.")
    for key, architectures in sorted(lines.items()):
        print(*key, *architectures)


if __name__ == "__main__":
    main()

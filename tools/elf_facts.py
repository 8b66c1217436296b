"""What binutils' readelf says of a shared library, for any architecture."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any


def readelf(option: str, library: Path) -> str:
    command = ["readelf", "-W", option, str(library)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def library_facts(library: Path) -> dict[str, Any]:
    """Size, needed libraries and the newest symbol version of each, from the dynamic section."""
    versions: dict[str, tuple[int, ...]] = {}
    for name, number in re.findall(r"Name: (\w+)_([\d.]+)", readelf("-V", library)):
        value = tuple(int(part) for part in number.split("."))
        versions[name] = max(value, versions.get(name, ()))
    return {
        "bytes": library.stat().st_size,
        "needed": re.findall(r"Shared library: \[(.*?)\]", readelf("-d", library)),
        "versions": {name: ".".join(map(str, value)) for name, value in versions.items()},
    }

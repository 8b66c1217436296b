"""What a shared library was built for, read from its ELF header.

A library of another CPU fails in dlopen with a message that differs by system and names neither
CPU; this reads both from the files.
"""

from __future__ import annotations

import sys
from pathlib import Path

_MAGIC = b"\x7fELF"
# e_machine values of the ELF specification that this project meets.
_MACHINES = {
    3: "x86",
    40: "ARM",
    62: "x86-64",
    183: "AArch64",
    243: "RISC-V",
    8: "MIPS",
    21: "PPC64",
}


def elf_target(path: str | Path) -> str | None:
    """For example '64-bit AArch64'; None when the file is not an ELF file."""
    with open(path, "rb") as file:
        header = file.read(20)
    if len(header) < 20 or not header.startswith(_MAGIC):
        return None
    bits = {1: "32-bit", 2: "64-bit"}.get(header[4], "unknown-size")
    order = "big" if header[5] == 2 else "little"
    machine = int.from_bytes(header[18:20], order)  # type: ignore[arg-type]
    return f"{bits} {_MACHINES.get(machine, f'machine {machine}')}"


def process_target() -> str | None:
    """The target of the running Python; None where executables are not ELF files."""
    try:
        return elf_target(sys.executable)
    except OSError:
        return None

"""What a shared library was built for, read from its ELF header.

A library of another CPU fails in dlopen with a message that differs by system and names neither
CPU, and a truncated one crashes the process there; so both are found out before.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

_MAGIC = b"\x7fELF"
# e_machine values of the ELF specification that this project meets.
_MACHINES = {
    3: "x86",
    8: "MIPS",
    21: "PPC64",
    40: "ARM",
    62: "x86-64",
    183: "AArch64",
    243: "RISC-V",
}


def elf_target(path: str | Path) -> str | None:
    """For example '64-bit AArch64'; None when the file is not an ELF file."""
    with open(path, "rb") as file:
        header = file.read(20)
    if len(header) < 20 or not header.startswith(_MAGIC):
        return None
    bits = {1: "32-bit", 2: "64-bit"}.get(header[4], "unknown-size")
    (machine,) = struct.unpack_from(_byte_order(header) + "H", header, 18)
    return f"{bits} {_MACHINES.get(machine, f'machine {machine}')}"


def process_target() -> str | None:
    """The target of the running Python; None where executables are not ELF files."""
    try:
        return elf_target(sys.executable)
    except OSError:
        return None


def is_truncated(path: str | Path) -> bool:
    """Whether an ELF file ends before the segments that a loader maps."""
    data = Path(path).read_bytes()
    order, wide = _byte_order(data), data[4] == 2
    # e_phoff, e_phentsize, e_phnum, and in each entry p_offset, p_filesz (ELF specification).
    word = order + ("Q" if wide else "I")
    try:
        (table,) = struct.unpack_from(word, data, 32 if wide else 28)
        entry_size, entries = struct.unpack_from(order + "HH", data, 54 if wide else 42)
        for number in range(entries):
            entry = table + number * entry_size
            (offset,) = struct.unpack_from(word, data, entry + (8 if wide else 4))
            (size,) = struct.unpack_from(word, data, entry + (32 if wide else 16))
            if offset + size > len(data):
                return True
    except struct.error:
        return True
    return False


def _byte_order(header: bytes) -> str:
    return ">" if header[5] == 2 else "<"

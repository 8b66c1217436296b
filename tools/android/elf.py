"""What is wrong with a shared library for Android, from its ELF tables."""

from __future__ import annotations

import re
from pathlib import Path

from android.standin import LIBRARIES, Abi, bionic_symbols
from elf_facts import readelf

EXPORTS = {
    "tflite_plugin_create_delegate",
    "tflite_plugin_destroy_delegate",
    "tf_signbin_describe",
    "tf_signbin_take_error",
}
ACCELERATOR_EXPORTS = {
    "LiteRtAcceleratorImpl",
    "tf_signbin_litert_delegate",
    "tf_signbin_litert_options",
}
DELEGATE, ACCELERATOR = "libtf_signbin_delegate.so", "libLiteRtGpuAccelerator.so"
NEEDED = {*(f"{library}.so" for library in LIBRARIES), "liblog.so"}
_MACHINES = {"arm64": "AArch64", "arm": "ARM"}
_PAGES = {"arm64": 16384, "arm": 4096}


def problems(library: Path, abi: Abi) -> list[str]:
    """One line for everything that Android 7 and later, or 16 KiB pages, would not accept.

    The accelerator may also need the delegate, which lies beside it, and its symbols.
    """
    exports, beside = (
        (ACCELERATOR_EXPORTS, [DELEGATE]) if library.name == ACCELERATOR else (EXPORTS, [])
    )
    header = readelf("-h", library)
    machine = re.search(r"Machine:\s+(\S+)", header)
    if machine is None or machine[1] != _MACHINES[abi.architecture]:
        return [f"is for {machine[1] if machine else 'nothing known'}, not for {abi.name}"]
    dynamic, segments = readelf("-d", library), readelf("-l", library)
    found = []
    needed = set(re.findall(r"Shared library: \[(.*?)\]", dynamic))
    if extra := needed - NEEDED - set(beside):
        found.append(f"needs {', '.join(sorted(extra))}, which Android does not offer")
    if "TEXTREL" in dynamic:
        found.append("has text relocations, which Android refuses")
    if "(RPATH)" in dynamic or "(RUNPATH)" in dynamic:
        found.append("names folders to search for libraries")
    aligned = [int(x, 16) for x in re.findall(r"^\s+LOAD .* (0x\w+)$", segments, re.MULTILINE)]
    page = _PAGES[abi.architecture]
    if not aligned or min(aligned) < page:
        found.append(f"segments are aligned to {aligned}, pages have up to {page} bytes")
    if not re.search(r"GNU_STACK .* RW ", segments):
        found.append("asks for an executable stack")
    if "GNU_RELRO" not in segments or "BIND_NOW" not in dynamic:
        found.append("is not linked with -z relro -z now")
    if re.search(r"^\s+TLS ", segments, re.MULTILINE):
        found.append("has a TLS segment, which Android has only from API 29 on")
    if ".symtab" in readelf("-S", library):
        found.append("is not stripped")
    if abi.architecture == "arm" and "Tag_ABI_VFP_args" in readelf("-A", library):
        found.append("passes floats in registers; Android's 32-bit ABI does not")
    return found + _symbol_problems(library, abi, exports, EXPORTS if beside else set())


def _symbol_problems(library: Path, abi: Abi, exports: set[str], others: set[str]) -> list[str]:
    exported, undefined = set(), set()
    for line in readelf("--dyn-syms", library).splitlines():
        fields = line.split()
        if len(fields) < 8 or not fields[0].rstrip(":").isdigit():
            continue
        binding, section, name = fields[4], fields[6], fields[7].partition("@")[0]
        if section != "UND":
            exported.add(name)
        elif binding == "GLOBAL":  # a weak one may be missing
            undefined.add(name)
    found = []
    if exported != exports:
        found.append(f"exports {sorted(exported)}, not {sorted(exports)}")
    offered = {name for library in LIBRARIES for _, name, _ in bionic_symbols(abi, library)}
    if missing := sorted(undefined - offered - others):
        found.append(f"needs symbols that Android 7 does not have: {', '.join(missing)}")
    return found

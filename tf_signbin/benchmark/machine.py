"""The machine that a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from tf_signbin.runtime import TfliteRuntime

# Extensions that decide which kernels run, as /proc/cpuinfo spells them.
_RELEVANT = (
    "avx2", "avx512bw", "avx512_vnni", "avx512vbmi", "avx_vnni", "amx_int8",
    "neon", "asimd", "asimddp", "asimdhp", "i8mm", "sve",
)  # fmt: skip


def describe_machine(runtime: TfliteRuntime | None = None) -> dict[str, Any]:
    """CPU, its relevant extensions, cores, system and versions, for a benchmark's JSON."""
    info = _cpuinfo()
    flags = set(info.get("flags", info.get("Features", "")).split())
    machine: dict[str, Any] = {
        "cpu": info.get("model name") or _arm_part(info) or platform.processor() or "unknown",
        "arch": platform.machine(),
        "cpu_features": [name for name in _RELEVANT if name in flags],
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    if runtime is not None:
        machine["runtime"] = f"{runtime.name} {runtime.version}"
    return machine


def _cpuinfo() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo."""
    entries: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return entries
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        if separator:
            entries.setdefault(key.strip(), value.strip())
    return entries


def _arm_part(info: dict[str, str]) -> str:
    part = info.get("CPU part")
    names = {
        "0xd03": "Cortex-A53",
        "0xd08": "Cortex-A72",
        "0xd0b": "Cortex-A76",
        "0xc07": "Cortex-A7",
    }
    return names.get(part, f"ARM part {part}") if part else ""

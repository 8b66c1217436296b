"""Finds the TensorFlow Lite runtimes that are installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from tf_signbin.runtime.errors import RuntimeNotFoundError
from tf_signbin.versions import check_version


@dataclass(frozen=True)
class _Source:
    module: str  # has Interpreter and load_delegate
    top_level: str
    distributions: tuple[str, ...]  # what pip calls it, best first
    attribute: str = ""  # where inside the module


# In the order in which `runtime="auto"` tries them: small and current first.
_SOURCES = {
    "ai_edge_litert": _Source(
        "ai_edge_litert.interpreter", "ai_edge_litert", ("ai-edge-litert", "ai-edge-litert-nightly")
    ),
    "tflite_runtime": _Source("tflite_runtime.interpreter", "tflite_runtime", ("tflite-runtime",)),
    "tensorflow": _Source(
        "tensorflow", "tensorflow", ("tensorflow-cpu", "tensorflow"), attribute="lite"
    ),
}
RUNTIMES = tuple(_SOURCES)


@dataclass(frozen=True)
class TfliteRuntime:
    """An imported runtime."""

    name: str
    version: str
    interpreter: Callable[..., Any]
    load_delegate: Callable[..., Any]
    resolver_type: Any  # the enum OpResolverType


def installed_runtimes() -> dict[str, str]:
    """Name to version of every runtime that is installed; imports none of them."""
    return {
        name: _version(source)
        for name, source in _SOURCES.items()
        if importlib.util.find_spec(source.top_level) is not None
    }


def find_runtime(name: str = "auto") -> TfliteRuntime:
    """Imports a runtime.

    Args:
      name: 'ai_edge_litert', 'tflite_runtime', 'tensorflow', or 'auto': the first that imports and
        has a supported version.

    Raises:
      ValueError: an unknown name.
      RuntimeNotFoundError: it is not installed, too old or too new, or its import fails.
    """
    if name != "auto" and name not in _SOURCES:
        raise ValueError(f"runtime={name!r}: must be 'auto' or one of {RUNTIMES}")
    problems = []
    for candidate in RUNTIMES if name == "auto" else (name,):
        try:
            return _import(candidate)
        except ImportError as error:
            problems.append(f"{candidate}: {error}")
    raise RuntimeNotFoundError(
        "no TensorFlow Lite runtime can be imported: pip install ai-edge-litert\n  "
        + "\n  ".join(problems)
    )


def _import(name: str) -> TfliteRuntime:
    source = _SOURCES[name]
    version = _version(source)
    check_version(name.replace("_", "-"), version)
    module = importlib.import_module(source.module)
    holder = getattr(module, source.attribute) if source.attribute else module
    if source.attribute:
        resolver_type, load = holder.experimental.OpResolverType, holder.experimental.load_delegate
    else:
        resolver_type, load = holder.OpResolverType, holder.load_delegate
    return TfliteRuntime(name, version, holder.Interpreter, load, resolver_type)


def _version(source: _Source) -> str:
    for distribution in source.distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"

"""Finds and loads the delegate's shared library."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tf_signbin.runtime.elf import elf_target, is_truncated, process_target
from tf_signbin.runtime.errors import DelegateError
from tf_signbin.runtime.runtimes import TfliteRuntime, find_runtime

ENVIRONMENT = "TF_SIGNBIN_DELEGATE"
LIBRARY = "libtf_signbin_delegate.so"
_ISAS = (
    "amx", "avx512vnni", "avx512", "avxvnni", "avx2", "neoni8mm", "neondot", "neon", "portable",
)  # fmt: skip


def delegate_path() -> Path:
    """The library that load_delegate() uses: $TF_SIGNBIN_DELEGATE, else the one in this package.

    Raises:
      DelegateError: it is missing, is no shared library, or is built for another CPU.
    """
    named = os.environ.get(ENVIRONMENT)
    path = Path(named) if named else Path(__file__).with_name(LIBRARY)
    if not path.is_file():
        origin = f"${ENVIRONMENT} names" if named else "this installation lacks"
        way_out = (
            "correct or unset the variable"
            if named
            else f"run `make setup` in a checkout, or install a wheel for this platform, "
            f"or set ${ENVIRONMENT} to the library"
        )
        raise DelegateError(f"{origin} the delegate's library {path}: {way_out}")
    target, process = elf_target(path), process_target()
    if target is None:
        raise DelegateError(f"{path} is not an ELF shared library; build it with `make setup`")
    if process is not None and target != process:
        raise DelegateError(
            f"{path} is built for {target}, but this Python is {process}: "
            "install the wheel of this platform, or build the delegate on this machine"
        )
    if is_truncated(path):
        raise DelegateError(f"{path} is truncated; copy it again, or build it with `make setup`")
    return path


def load_delegate(*, runtime: str | TfliteRuntime = "auto", **options: Any) -> Any:
    """Loads the delegate for `Interpreter(experimental_delegates=[...])` of a TFLite runtime.

    Args:
      runtime: whose loader to use: 'auto', 'ai_edge_litert', 'tflite_runtime' or 'tensorflow'. It
        must be the runtime whose Interpreter gets the delegate.
      **options: the delegate's options, for example num_threads=2, log_level='info',
        isa='avx2', profile=True (docs/delegate-options.md).

    Returns:
      The runtime's Delegate object.

    Raises:
      DelegateError: the library is missing or unusable, or the delegate refused an option (its
        message names the option and lists the known ones).
      RuntimeNotFoundError: no runtime is installed.
    """
    found = find_runtime(runtime) if isinstance(runtime, str) else runtime
    path = delegate_path()
    try:
        return found.load_delegate(str(path), {key: str(value) for key, value in options.items()})
    except ValueError as error:
        # The runtime puts a line of its own before the delegate's message.
        raise DelegateError(str(error).partition("\n")[2] or f"{path}: {error}") from error
    except OSError as error:  # dlopen
        raise DelegateError(f"{path} cannot be loaded: {error}") from error


def supported_isas(runtime: str | TfliteRuntime = "auto") -> list[str]:
    """The instruction sets that the delegate runs on this processor, best first.

    Raises:
      DelegateError, RuntimeNotFoundError: as `load_delegate`.
    """
    load_delegate(runtime=runtime)
    accepted = []
    for isa in _ISAS:
        try:
            load_delegate(runtime=runtime, isa=isa, log_level="error")
        except DelegateError:
            continue
        accepted.append(isa)
    return accepted

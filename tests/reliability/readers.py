"""Every way in which Python reads a model, and the errors that a damaged one may end in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tf_signbin.convert import UnpackedLayersError, convert, inspect_model, unpack
from tf_signbin.format import ModelError

DOCUMENTED = (ModelError, UnpackedLayersError)
SECONDS = 5.0  # of processor time for a file of some kilobytes


def _strictly(data: bytes) -> None:
    convert(data, layout="builtin", strict=True)


READERS: dict[str, Callable[[bytes], Any]] = {
    "convert": convert,
    "strict": _strictly,
    "inspect": inspect_model,
    "unpack": unpack,
}


def outcome(read: Callable[..., Any], *arguments: Any) -> str:
    """'result', 'error', or what went wrong."""
    start = time.process_time()
    try:
        read(*arguments)
        result = "result"
    except DOCUMENTED as error:
        result = "error" if str(error).strip() else "an error without a message"
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    seconds = time.process_time() - start
    return result if seconds < SECONDS else f"{result}, after {seconds:.0f} s"

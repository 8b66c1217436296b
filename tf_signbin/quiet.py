"""Keeps messages that nobody can act on off the console, around one call and no longer.

TensorFlow's converter and exporter tell the console of their own internals, from Python's
`logging` and `warnings` and, from C++, straight to file descriptor 2. `quiet` takes out just those;
everything else that is written meanwhile appears when the call ends, errors included, and the
program's own settings are as they were.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator

# Lines on file descriptor 2: notes (I) and warnings (W) of absl's C++ log, what absl says about its
# own start, and the runtime's notes.
_DROPPED = re.compile(
    rb"[IW]\d{4} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] |"
    rb"WARNING: All log messages before absl::InitializeLog|INFO: (Created|Initialized) TensorFlow"
)
# Whose notes and warnings are silent meanwhile; their errors are not.
_LOGGERS = ("absl", "tensorflow")
# The int8 converter asks for statistics of inputs that fake quantization has given already.
_WARNINGS = (r"Statistics for quantized inputs were expected",)

_lock = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Filters what the block writes; calls of several threads take turns."""
    with _lock, _logging(), _keras_notes(), _descriptor(), warnings.catch_warnings():
        for message in _WARNINGS:
            warnings.filterwarnings("ignore", message)
        yield


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    def at_least_an_error(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(at_least_an_error)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(at_least_an_error)


@contextlib.contextmanager
def _keras_notes() -> Iterator[None]:
    """Keras 3 prints what it exports to stdout, or logs it as a note."""
    config = getattr(sys.modules.get("keras"), "config", None)
    if config is None or not config.is_interactive_logging_enabled():
        yield
        return
    config.disable_interactive_logging()
    try:
        yield
    finally:
        config.enable_interactive_logging()


@contextlib.contextmanager
def _descriptor() -> Iterator[None]:
    """File descriptor 2 goes into a file, and from there, filtered, to where it went before."""
    try:
        before = os.dup(2)
    except OSError:  # a program without stderr
        yield
        return
    with tempfile.TemporaryFile() as caught:
        _flush()
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            _flush()
            os.dup2(before, 2)
            os.close(before)
            caught.seek(0)
            kept = b"".join(line for line in caught if not _DROPPED.match(line))
            with contextlib.suppress(OSError):
                os.write(2, kept)


def _flush() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.flush()

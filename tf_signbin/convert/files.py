"""Reading and writing model files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tf_signbin.format.errors import ModelError
from tf_signbin.format.flatbuffer_check import MAX_BYTES


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a .tflite file; ModelError when it is too large to be one."""
    size = os.path.getsize(path)
    if size > MAX_BYTES:
        raise ModelError(f"{path}: {size} bytes; TFLite flatbuffers end at 2 GB")
    return Path(path).read_bytes()


def read_source(source: bytes | str | os.PathLike[str]) -> tuple[bytes, str]:
    """The bytes of a .tflite file given as bytes or as a path, and its name for messages."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), "model"
    return read_file(source), os.fspath(source)


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes `data` so that `path` holds either its old content or all of the new one."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A file beside `path` for the block to write; it replaces `path` when the block ends well.

    Whatever happens, `path` holds either its old content or all of the new one.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(
        prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes files private; a model gets the permissions of any other new file.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

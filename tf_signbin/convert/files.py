"""Reading and writing model files."""

from __future__ import annotations

import os
import tempfile
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
    """Writes `data` so that `path` holds either its old content or all of the new one.

    The data goes to a temporary file in the same folder, which is then renamed.
    """
    target = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a model gets the permissions of any other new file.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise

"""The versions of other packages that this one is tested with, and the error for all others.

A runtime's C interface and Keras's internals change between versions: an unknown one could crash
or train something else, so it is refused.
"""

from __future__ import annotations

import re

# From the first on, below the second; `make matrix` runs the ends. pyproject.toml says the same.
SUPPORTED = {
    "ai-edge-litert": ((1, 4), (3, 0)),
    "tflite-runtime": ((2, 14), (3, 0)),
    "tensorflow": ((2, 16), (2, 22)),
    "tensorflow-model-optimization": ((0, 8), (0, 9)),
}


class UnsupportedVersionError(ImportError):
    """A package is installed in a version that this one is not made for."""


def release(version: str) -> tuple[int, int] | None:
    """(major, minor) of '2.16.1' or '2.2.0.dev20260101'; None of 'unknown'."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return None if match is None else (int(match[1]), int(match[2]))


def check_version(package: str, version: str) -> None:
    """Raises UnsupportedVersionError unless `version` of a package of SUPPORTED is supported.

    A version that cannot be read (a build without metadata) is let through.
    """
    found = release(version)
    oldest, beyond = SUPPORTED[package]
    if found is not None and not oldest <= found < beyond:
        wanted = f">={oldest[0]}.{oldest[1]},<{beyond[0]}.{beyond[1]}"
        raise UnsupportedVersionError(
            f"{package} {version} is too {'old' if found < oldest else 'new'} for this version of "
            f"tf_signbin: pip install '{package}{wanted}'"
        )

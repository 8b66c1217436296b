"""`make wheel ARCH=aarch64`: a wheel with the delegate inside, for this machine or another.

    python tools/build_wheel.py x86_64      or aarch64, armv7; prints dist/*.whl

The delegate is built with the CMake preset linux-<arch>, against Debian 11's C library, and the
wheel is tagged with the oldest glibc that the library loads on. For this machine alone, without
mmdebstrap, `pip wheel --no-deps .` does.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from elf_facts import library_facts  # noqa: E402

LIBRARY = "libtf_signbin_delegate.so"
MACHINES = {"x86_64": "x86_64", "aarch64": "aarch64", "armv7": "armv7l"}  # as in wheels' names
# The libraries of glibc, which every manylinux system has (PEP 600).
_GLIBC = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1",
          "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "ld-linux-armhf.so.3"}  # fmt: skip


def platform_tag(library: Path, architecture: str) -> str:
    """The tag of wheels with that library: manylinux and the oldest glibc it loads on.

    Raises:
      RuntimeError: it needs a library that is not part of glibc.
    """
    facts = library_facts(library)
    if foreign := set(facts["needed"]) - _GLIBC:
        raise RuntimeError(f"{library.name} needs {', '.join(sorted(foreign))}: link it statically")
    glibc = facts["versions"]["GLIBC"].split(".")
    return f"manylinux_{glibc[0]}_{glibc[1]}_{MACHINES[architecture]}"


def build_wheel(architecture: str, folder: Path) -> Path:
    """Builds the delegate and its wheel; the wheel's path in the folder.

    Raises:
      RuntimeError: a step failed; its output is in the message.
    """
    preset = f"linux-{architecture}"
    build = ROOT / "build/cross" / preset
    _run([str(ROOT / "tools/sysroot.sh"), architecture])
    _run(["cmake", "--preset", preset], ROOT / "delegate")
    jobs = str(min(os.cpu_count() or 1, 8))
    _run(["cmake", "--build", str(build), "--target", "tf_signbin_accelerator", "-j", jobs])
    environment = os.environ | {
        "TF_SIGNBIN_BUILD_DIR": str(build.relative_to(ROOT)),
        "TF_SIGNBIN_CMAKE_ARGS": f"--preset {preset}",
    }
    tag = platform_tag(build / LIBRARY, architecture)
    # In folders of its own, so that no file of an earlier build or another machine gets in.
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "setup.py", "--quiet", "build", "--build-base", temporary,
                   "egg_info", "--egg-base", temporary, "bdist_wheel", "--plat-name", tag,
                   "--dist-dir", temporary]  # fmt: skip
        _run(command, ROOT, environment)
        (wheel,) = Path(temporary).glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / wheel.name
        target.write_bytes(wheel.read_bytes())
    return target


def install(wheel: Path, folder: Path, python: str) -> None:
    """Unpacks the wheel as pip does for that Python on the machine its tag names.

    Raises:
      RuntimeError: pip finds that the wheel does not fit.
    """
    platform = wheel.stem.split("-")[-1]
    _run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
          "--no-deps", "--only-binary=:all:", "--upgrade", "--target", str(folder),
          "--python-version", python, "--platform", platform, str(wheel)])  # fmt: skip


def _run(
    command: list[str], folder: Path | None = None, environment: dict[str, str] | None = None
) -> None:
    run = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{run.stdout[-2000:]}{run.stderr[-3000:]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("architecture", choices=MACHINES)
    parser.add_argument("--folder", type=Path, default=ROOT / "dist")
    arguments = parser.parse_args()
    try:
        print(build_wheel(arguments.architecture, arguments.folder))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

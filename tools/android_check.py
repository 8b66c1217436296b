"""`make android-check`: builds the delegate for Android and checks the files' ELF tables.

With ANDROID_NDK set, the NDK builds it; without, tools/android/standin.py makes what is needed to
compile and link. Either way the presets android-arm64 and android-armv7 are used.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from android import elf, standin  # noqa: E402

PRESETS = {"arm64-v8a": "android-arm64", "armeabi-v7a": "android-armv7"}


def build(preset: str, ndk: Path) -> list[Path]:
    """The delegate and the accelerator that the preset builds."""
    environment = os.environ | {"ANDROID_NDK": str(ndk)}
    jobs = str(min(os.cpu_count() or 1, 8))
    folder = ROOT / "build/cross" / preset
    for command in (
        ["cmake", "--preset", preset, "--fresh"] if _other_ndk(folder, ndk)
        else ["cmake", "--preset", preset],
        ["cmake", "--build", "--preset", preset, "--target", "tf_signbin_accelerator", "-j", jobs],
    ):  # fmt: skip
        run = subprocess.run(
            command, cwd=ROOT / "delegate", env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if run.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{run.stdout[-3000:]}{run.stderr}")
    return [folder / elf.DELEGATE, folder / elf.ACCELERATOR]


def _other_ndk(folder: Path, ndk: Path) -> bool:
    cache = folder / "CMakeCache.txt"
    return cache.exists() and f"={ndk}/build/cmake/" not in cache.read_text()


def main() -> int:
    named = os.environ.get("ANDROID_NDK")
    try:
        ndk = Path(named) if named else standin.prepare()
        print(f"built with {'the NDK' if named else 'clang and stub libraries, without an NDK'}")
        wrong = False
        for abi in standin.ABIS:
            for library in build(PRESETS[abi.name], ndk):
                found = elf.problems(library, abi)
                print(f"{abi.name}: {library.name}, {library.stat().st_size} bytes", flush=True)
                for problem in found:
                    print(f"  {problem}")
                wrong |= bool(found)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())

"""Mutated .tflite files in LiteRT with the delegate; the same converted, unpacked and inspected.

    make fuzz-models SECONDS=600        the newest build; or $TF_SIGNBIN_DELEGATE

Files that crashed or gave a wrong result stay in the folder that is printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from matrix import native_library  # noqa: E402

from tests.reliability.mutants import Trial  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=0, help="the first one; they count up")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    trial = Trial(native_library(), folder)
    end, seed = time.monotonic() + arguments.seconds, arguments.seed
    try:
        while time.monotonic() < end:
            trial.run(seed)
            seed += 1
    finally:
        trial.close()
        report(trial, arguments.seed, seed, folder)
    return bool(trial.failures)


def report(trial: Trial, first: int, end: int, folder: Path) -> None:
    print(f"{end - first} files, seeds {first} to {end - 1}")
    for outcome, count in trial.counts.most_common():
        print(f"{count:8} {outcome}")
    for line in (*trial.others, *trial.failures):
        print(line)
    print(f"files of failures: {folder}" if trial.failures else "no failures")


if __name__ == "__main__":
    sys.exit(main())

"""What a mutated file does to the delegate in the real runtime, and whose fault it is; and what
the converter and the inspector make of it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tests.reliability import mutate
from tests.reliability.readers import READERS
from tests.reliability.readers import outcome as read_outcome
from tf_signbin.convert import unpack
from tf_signbin.format import ModelError

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60  # for one small file; sanitizers are slow
FAILURES = ("crash", "hang", "wrong result", "error without a message")


class Worker:
    """A process that runs files until one kills it."""

    def __init__(self, library: Path | None, resolver: str) -> None:
        self._arguments = ["none" if library is None else str(library), resolver]
        self._process: subprocess.Popen[str] | None = None

    def run(self, path: Path) -> dict[str, Any]:
        """{"error": ...}, {"output": ...}, {"crash": exit status} or {"hang": seconds}."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.reliability.mutant_worker", *self._arguments],
                cwd=ROOT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], SECONDS)[0]:
            self.close()
            return {"hang": SECONDS}
        answer = process.stdout.readline()
        if answer:
            return json.loads(answer)
        self._process = None
        return {"crash": f"exit status {process.wait()}"}

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Trial:
    """Mutants one after another; what went wrong stays in `failures`."""

    def __init__(self, library: Path, folder: Path) -> None:
        # Three of four files: what the delegate leaves goes to the reference kernels, for an exact
        # comparison. The others as users run them, with XNNPACK.
        self._ours = [Worker(library, "BUILTIN_REF"), Worker(library, "AUTO")]
        self._without = [Worker(None, "BUILTIN_REF"), Worker(None, "AUTO")]
        self._folder = folder
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.others: list[str] = []  # crashes and hangs that are not ours

    def run(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        data = mutate.mutate(rng, mutate.sound_model(rng))
        which = int(seed % 4 == 3)
        path = self._folder / f"{seed}.tflite"
        path.write_bytes(data)
        ours = self._ours[which].run(path)
        if "error" in ours:
            silent = not ours["error"].strip() and self._without[which].run(path).get("error") != ""
            outcome = "error without a message" if silent else "clean error"
        elif "output" not in ours:
            outcome = self._blame(path, data, which, next(iter(ours)))
        elif not ours["delegated"]:
            outcome = "left to the runtime"
        elif which == 1:
            outcome = "ran beside XNNPACK"  # whose own results may differ by a step
        else:
            outcome = self._compare(path, data, np.load(ours["output"]))
        self.counts[outcome] += 1
        self._read(seed, data)
        if outcome in FAILURES:
            self.failures.append(f"seed {seed}: {outcome} ({ours})")
        elif "crash" in ours or "hang" in ours:
            self.others.append(f"seed {seed}: {outcome}")
            path.unlink()
        else:
            path.unlink()
        for name in (f"{seed}.npy", f"{seed}-stock.npy"):
            (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        for worker in (*self._ours, *self._without):
            worker.close()

    def _read(self, seed: int, data: bytes) -> None:
        for name, read in READERS.items():
            result = read_outcome(read, data)
            if result in ("result", "error"):
                self.counts[f"{name}: {result}"] += 1
            else:
                self.failures.append(f"seed {seed}: {name}: {result}")

    def _blame(self, path: Path, data: bytes, which: int, what: str) -> str:
        """Whether the file ends that way without us too, as it is or with its packed operators
        unpacked; or with us, but without XNNPACK, no more.

        The runtime does not check all that it reads, and reads beyond its tensors need not crash
        each time."""
        if which == 1 and what not in self._ours[0].run(path):
            return f"XNNPACK's own {what}"
        without = self._without[which].run(path)
        if what in without or what in self._unpacked(self._without[which], path, data):
            return f"the runtime's own {what}"
        return what

    def _unpacked(self, worker: Worker, path: Path, data: bytes) -> dict[str, Any]:
        """The answer to the file with its packed operators unpacked."""
        try:
            stock = unpack(data)
        except ModelError as error:
            return {"error": str(error)}
        dense = path.with_name(f"{path.stem}-stock.tflite")
        dense.write_bytes(stock)
        answer = worker.run(dense)
        dense.unlink()
        return answer

    def _compare(self, path: Path, data: bytes, actual: np.ndarray) -> str:
        reference = self._unpacked(self._without[0], path, data)
        if "output" not in reference:
            return "ran, no reference"
        expected = np.load(reference["output"])
        largest = mutate.largest_float(data)
        if largest > _OVERFLOWS or not np.isfinite(expected).all():
            return "beyond float32"
        # One layer's rounding errors go through the next ones' weights.
        near = (1e-5 if mutate.operators(data) == 1 else 1e-2) * largest
        return "right result" if _agree(actual, expected, near) else "wrong result"


# Products of constants this large leave float32, and the order of additions decides what becomes an
# infinity and what no number at all; and weights that are 0 leave out a pixel that is no number.
_OVERFLOWS = 1e30


def _agree(actual: np.ndarray, expected: np.ndarray, near: float) -> bool:
    if expected.shape != actual.shape:
        return False
    # int8 is exact. Float kernels add in another order, and values that differ by less than a
    # millionth of a filter's largest are one value to the packer.
    tolerance = 1e-4 * np.abs(expected).max(initial=0) + near
    return bool(np.isclose(actual, expected, rtol=1e-4, atol=tolerance).all())

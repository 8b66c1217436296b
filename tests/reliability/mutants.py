"""What a mutated file does to the delegate in the real runtime, and whose fault it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tests.reliability import mutate
from tf_signbin.convert import unpack
from tf_signbin.format import ModelError

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60  # for one small file


class Worker:
    """A process that runs files until one kills it."""

    def __init__(self, library: Path | None) -> None:
        self._argument = "none" if library is None else str(library)
        self._process: subprocess.Popen[str] | None = None

    def run(self, path: Path) -> dict[str, Any]:
        """{"error": ...}, {"output": ...}, or {"crash": exit status and last words}."""
        if self._process is None:
            self._process = subprocess.Popen(
                ["timeout", "-s", "KILL", "3600", sys.executable, "-m",
                 "tests.reliability.mutant_worker", self._argument],
                cwd=ROOT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
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
        self._ours, self._stock = Worker(library), Worker(None)
        self._folder = folder
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def run(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        data = mutate.mutate(rng, mutate.sound_model(rng))
        path = self._folder / f"{seed}.tflite"
        path.write_bytes(data)
        ours = self._ours.run(path)
        if "error" in ours:
            outcome = "clean error" if ours["error"].strip() else "error without a message"
        elif "crash" in ours:
            # The runtime does not check all it reads; such a file kills it without us too.
            outcome = "runtime crash" if "crash" in self._reference(path, data) else "crash"
        elif not ours["delegated"]:
            outcome = "left to the runtime"
        else:
            outcome = self._compare(path, data, np.load(ours["output"]))
        self.counts[outcome] += 1
        if outcome in ("crash", "wrong result", "error without a message"):
            self.failures.append(f"seed {seed}: {outcome} ({ours})")
        else:
            path.unlink()
        path.with_suffix(".npy").unlink(missing_ok=True)

    def close(self) -> None:
        self._ours.close()
        self._stock.close()

    def _reference(self, path: Path, data: bytes) -> dict[str, Any]:
        """The stock runtime on the same file, packed operators unpacked."""
        try:
            stock = unpack(data)
        except ModelError as error:
            return {"error": str(error)}
        dense = path.with_name(f"{path.stem}-stock.tflite")
        dense.write_bytes(stock)
        answer = self._stock.run(dense)
        dense.unlink()
        return answer

    def _compare(self, path: Path, data: bytes, actual: np.ndarray) -> str:
        reference = self._reference(path, data)
        if "output" not in reference:
            return "ran, no reference"
        expected = np.load(reference["output"])
        Path(reference["output"]).unlink()
        if expected.shape != actual.shape:
            return "wrong result"
        # int8 is exact. Float kernels add in another order, and values that differ by less than a
        # millionth of a filter's largest are one value to the packer.
        size = np.abs(expected[np.isfinite(expected)]).max(initial=0)
        near = 1e-4 * size + 1e-5 * mutate.largest_float(data)
        same = np.isclose(actual, expected, rtol=1e-4, atol=near, equal_nan=True)
        return "right result" if same.all() else "wrong result"

"""Runs the same delegate on the same models in every supported TFLite runtime; prints a table.

    python tools/matrix.py [--venvs .cache/matrix] [--only tflite-runtime==2.14.0 ...]

Each runtime has a virtual environment, made when it is missing. The expected results come from the
calling Python's runtime, int8 from its builtin reference kernels and float32 from NumPy in float64.
The library is $TF_SIGNBIN_DELEGATE, or the newest build.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RUNTIMES = {
    "tflite-runtime==2.14.0": ["numpy<2"],
    "tensorflow-cpu==2.16.2": [],
    "tensorflow-cpu==2.21.0": [],
    "ai-edge-litert==1.4.0": [],
    "ai-edge-litert==2.0.3": [],
    "ai-edge-litert==2.3.0": [],
}
LAYERS = 60  # of each type
WORKER = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from tf_signbin.runtime import Interpreter
right = 0
cases = np.load(sys.argv[2])
for i in range(int(sys.argv[3])):
    interpreter = Interpreter(
        cases[f"model{i}"].tobytes(), on_unclaimed="error", num_threads=1 + i % 2,
        runtime=sys.argv[4],
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], cases[f"x{i}"])
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    error = np.abs(y.astype(np.float64) - cases[f"y{i}"])
    right += bool(np.all(error <= cases[f"limit{i}"]))
print("result", right)
"""


def native_library() -> Path:
    """$TF_SIGNBIN_DELEGATE, else the newest build for this machine.

    Raises:
      FileNotFoundError: there is none.
    """
    named = os.environ.get("TF_SIGNBIN_DELEGATE")
    builds = [Path(named)] if named else list(ROOT.glob("build/*/libtf_signbin_delegate.so"))
    if not builds:
        raise FileNotFoundError("the delegate is not built; run `make ctest`")
    return max(builds, key=lambda path: path.stat().st_mtime)


def write_cases(path: Path, library: Path) -> None:
    import numpy as np

    from tests.delegate import models
    from tests.delegate.conftest import Runner

    runner = Runner(library)
    cases = {}
    for number in range(2 * LAYERS):
        rng = np.random.default_rng(number)
        layer = models.random_layer(rng, "int8" if number % 2 else "float32")
        x = models.random_input(rng, layer)
        if layer.dtype == "int8":
            y = runner.run_builtin_reference(models.one_layer_model(layer, packed=False), x)
            limit = np.zeros(())
        else:
            y, size = models.float64_result(layer, x)
            limit = 1e-5 * size
        model = np.frombuffer(models.one_layer_model(layer, packed=True), np.uint8)
        cases |= {f"model{number}": model, f"x{number}": x, f"y{number}": y,
                  f"limit{number}": limit}  # fmt: skip
    np.savez(path, **cases)


def prepare(folder: Path, package: str) -> Path:
    python = folder / package / "bin" / "python"
    if not (folder / package / "ready").exists():
        venv.create(folder / package, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "-q", package, *RUNTIMES[package]]
        subprocess.run(command, check=True)
        (folder / package / "ready").touch()
    return python


def run_cases(python: Path | str, cases: Path, library: Path, runtime: str = "auto") -> str:
    """How many cases that Python's `runtime` got right, or the end of its error message."""
    run = subprocess.run(
        [str(python), "-c", WORKER, str(ROOT), str(cases), str(2 * LAYERS), runtime],
        env=os.environ | {"TF_SIGNBIN_DELEGATE": str(library)}, capture_output=True, text=True,
    )  # fmt: skip
    if run.returncode != 0:
        return run.stderr.strip()[-200:]
    return run.stdout.splitlines()[-1].removeprefix("result ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venvs", type=Path, default=ROOT / ".cache" / "matrix")
    parser.add_argument("--only", nargs="+", choices=list(RUNTIMES), default=list(RUNTIMES))
    arguments = parser.parse_args()
    try:
        library = native_library()
    except FileNotFoundError as error:
        parser.error(str(error))
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        cases = Path(folder) / "cases.npz"
        write_cases(cases, library)
        print(f"{'runtime':<26}right of {2 * LAYERS}", flush=True)
        for package in arguments.only:
            try:
                python = prepare(arguments.venvs, package)
            except subprocess.CalledProcessError:
                print(f"{package:<26}cannot be installed in Python {sys.version.split()[0]}")
                failed = True
                continue
            right = run_cases(python, cases, library)
            failed |= right != str(2 * LAYERS)
            print(f"{package:<26}{right}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())

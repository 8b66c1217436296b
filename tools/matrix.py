"""Every supported TFLite runtime and TensorFlow; prints a table.

    python tools/matrix.py [--venvs .cache/matrix] [--only tflite-runtime==2.14.0 ...]

Runtimes: the same delegate on the same models. The expected results come from the calling Python's
runtime, int8 from its builtin reference kernels and float32 from NumPy in float64. The library is
$TF_SIGNBIN_DELEGATE, or the newest build. TensorFlows, oldest and newest: the tests of training,
which convert what they train. Each has a virtual environment, made when it is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Runtime:
    package: str
    extra: tuple[str, ...] = ()
    python: str | None = None  # its version; None: the calling one
    compiled: bool = False  # in CompiledModel instead of the interpreter


# The oldest and the newest of each, and what is between where an interface changed.
RUNTIMES = {
    "tflite-runtime==2.14.0": Runtime("tflite-runtime==2.14.0", ("numpy<2",)),
    "tensorflow-cpu==2.16.2": Runtime("tensorflow-cpu==2.16.2"),
    "tensorflow-cpu==2.21.0": Runtime("tensorflow-cpu==2.21.0"),
    "ai-edge-litert==1.4.0": Runtime("ai-edge-litert==1.4.0"),
    "ai-edge-litert==2.0.3": Runtime("ai-edge-litert==2.0.3"),
    "ai-edge-litert==2.1.6": Runtime("ai-edge-litert==2.1.6"),
    "ai-edge-litert==2.2.0": Runtime("ai-edge-litert==2.2.0"),
    "ai-edge-litert==2.3.0": Runtime("ai-edge-litert==2.3.0"),
    "CompiledModel, LiteRT 2.2": Runtime("ai-edge-litert==2.2.0", compiled=True),
    "CompiledModel, LiteRT 2.3": Runtime("ai-edge-litert==2.3.0", compiled=True),
    "Python 3.13": Runtime("ai-edge-litert==2.3.0", python="3.13"),
    "CompiledModel, Python 3.13": Runtime("ai-edge-litert==2.3.0", python="3.13", compiled=True),
    "Python 3.14": Runtime("ai-edge-litert==2.3.0", python="3.14"),
    "CompiledModel, Python 3.14": Runtime("ai-edge-litert==2.3.0", python="3.14", compiled=True),
}
# The oldest and the newest TensorFlow that train, each with its Keras 2 and its tfmot.
TRAINING = {
    "training, TensorFlow 2.16": [
        "tensorflow-cpu==2.16.2", "tf-keras==2.16.0", "tensorflow-model-optimization==0.8.0",
    ],
    "training, TensorFlow 2.21": [
        "tensorflow-cpu==2.21.0", "tf-keras==2.21.0", "tensorflow-model-optimization==0.8.1",
    ],
}  # fmt: skip
TEST_PACKAGES = ["ai-edge-litert==2.3.0", "pytest", "hypothesis", "rich"]
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
# The same in CompiledModel.
COMPILED_WORKER = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from tf_signbin.runtime import CompiledModel
right = 0
cases = np.load(sys.argv[2])
environment = CompiledModel.create_environment()
for i in range(int(sys.argv[3])):
    model = CompiledModel.from_buffer(cases[f"model{i}"].tobytes(), environment=environment,
                                      on_unclaimed="error", num_threads=1 + i % 2)
    sources, sinks = model.create_input_buffers(0), model.create_output_buffers(0)
    sources[0].write(cases[f"x{i}"])
    model.run_by_index(0, sources, sinks)
    expected = cases[f"y{i}"]
    dtype = np.int8 if cases[f"x{i}"].dtype == np.int8 else np.float32
    y = sinks[0].read(expected.size, dtype).reshape(expected.shape)
    right += bool(np.all(np.abs(y.astype(np.float64) - expected) <= cases[f"limit{i}"]))
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


def write_cases(path: Path, library: Path, dense: int = 0) -> None:
    """Random layers, LAYERS of each type, and as many whose input comes from a dense layer that
    only some processors' kernels take."""
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
    for number in range(dense):
        model, x = models.dense_then_packed(number, channels=1 + number % 3, least_kernel=4)
        y = models.all_outputs(runner.builtin_reference(model), x)[0]
        case = 2 * LAYERS + number
        cases |= {f"model{case}": np.frombuffer(model, np.uint8), f"x{case}": x, f"y{case}": y,
                  f"limit{case}": np.zeros(())}  # fmt: skip
    np.savez(path, **cases)


def prepare(folder: Path, name: str, requirements: list[str], version: str | None = None) -> Path:
    """The Python of a virtual environment that holds the requirements.

    Raises:
      FileNotFoundError: there is no Python of that version.
      subprocess.CalledProcessError: they cannot be installed.
    """
    folder = folder / re.sub(r"[^\w.=-]+", "-", name)
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        base = sys.executable if version is None else find_python(version)
        # By the calling Python's pip: distributions take it out of their Pythons.
        subprocess.run([base, "-m", "venv", "--without-pip", "--clear", str(folder)], check=True)
        command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
        command += requirements
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        (folder / "ready").touch()
    return python


def find_python(version: str) -> str:
    """The program of that version, on the path or of pyenv.

    Raises:
      FileNotFoundError: there is none.
    """
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    for candidate in (shutil.which(f"python{version}"), *reversed(pyenv)):
        if candidate is None:
            continue
        found = subprocess.run([candidate, "--version"], capture_output=True, text=True)
        if found.returncode == 0:
            return str(candidate)
    raise FileNotFoundError(f"there is no Python {version} on this machine")


def run_training(python: Path) -> tuple[bool, str]:
    """Whether the tests of training pass there, and pytest's last line."""
    run = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider",
         "tests/train"],
        cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return run.returncode == 0, run.stdout.strip().splitlines()[-1]


def run_cases(
    python: Path | str, cases: Path, library: Path, runtime: str = "auto", worker: str = WORKER
) -> str:
    """How many cases that Python's `runtime` got right, or the end of its error message."""
    run = subprocess.run(
        [str(python), "-c", worker, str(ROOT), str(cases), str(2 * LAYERS), runtime],
        env=os.environ | {"TF_SIGNBIN_DELEGATE": str(library)}, capture_output=True, text=True,
    )  # fmt: skip
    if run.returncode != 0:
        return run.stderr.strip()[-200:]
    return run.stdout.splitlines()[-1].removeprefix("result ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venvs", type=Path, default=ROOT / ".cache" / "matrix")
    parser.add_argument("--only", nargs="+", choices=[*RUNTIMES, *TRAINING])
    parser.add_argument("--json", type=Path, help="write the table there too")
    arguments = parser.parse_args()
    try:
        library = native_library()
    except FileNotFoundError as error:
        parser.error(str(error))
    chosen = arguments.only or [*RUNTIMES, *TRAINING]
    results: dict[str, str] = {}
    failed = False

    def tell(name: str, good: bool, text: str) -> None:
        nonlocal failed
        failed |= not good
        results[name] = text
        print(f"{name:<28}{text}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        cases = Path(folder) / "cases.npz"
        if any(name in RUNTIMES for name in chosen):
            write_cases(cases, library)
        for name in chosen:
            runtime = RUNTIMES.get(name)
            requirements = (
                [runtime.package, "numpy", *runtime.extra]
                if runtime
                else [*TRAINING[name], *TEST_PACKAGES]
            )
            try:
                python = prepare(
                    arguments.venvs, name, requirements, runtime.python if runtime else None
                )
            except FileNotFoundError as error:  # nothing is claimed of it
                tell(name, True, f"not run: {error}")
                continue
            except subprocess.CalledProcessError:
                tell(name, False, f"cannot be installed in Python {sys.version.split()[0]}")
                continue
            if runtime is None:
                tell(name, *run_training(python))
            else:
                worker = COMPILED_WORKER if runtime.compiled else WORKER
                right = run_cases(python, cases, library, worker=worker)
                tell(name, right == str(2 * LAYERS), f"{right} of {2 * LAYERS} layers right")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())

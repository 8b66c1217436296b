"""`make cross-test ARCH=aarch64`: the C++ tests and the delegate in real runtimes, in emulation.

    python tools/cross_test.py aarch64     or armv7; writes docs/results/cross_test_<arch>.json

Each core model runs every C++ test and, in the architecture's own CPython, random layers in the
runtimes' wheels, with this project installed from its own cross-built wheel. Cores without the
newer instructions die of SIGILL on one, so every test is also one of the choice of kernels.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import matrix  # noqa: E402
from arm import emulation  # noqa: E402
from arm.emulation import Architecture, Core, Package  # noqa: E402
from build_wheel import build_wheel, install  # noqa: E402
from elf_facts import library_facts  # noqa: E402

DENSE_LAYERS = 12
LEFT_OUT = (
    # qemu-user 7.2 aborts when the child of a process with threads starts one.
    "ThreadPool.WorksInAForkedChild",
    # Thousands of runs, each with one failing allocation: they say nothing of the processor and
    # take longer in emulation than all others together.
    "Plans/Memory.EveryAllocationMayFail/*",
    "EntryPoints.ThrowNothingWhenMemoryRunsOut",
    "StaticRegistration.EveryAllocationMayFail",
)


def run_cpp_tests(architecture: Architecture, core: Core, build: Path) -> dict[str, int]:
    """How many tests of all programs passed, failed and were skipped."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    programs = sorted(path for path in (build / "tests").glob("*_test") if os.access(path, os.X_OK))
    if not programs:
        raise RuntimeError(f"no test programs in {build / 'tests'}")
    for program in programs:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            command = [str(program), f"--gtest_output=json:{report}", "--gtest_brief=1"]
            command.append(f"--gtest_filter=-{':'.join(LEFT_OUT)}")
            command = emulation.emulated(architecture, core, command)
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode != 0:
                print(f"{program.name} on {core.name}: exit status {run.returncode}")
                print(run.stdout[-3000:], run.stderr[-1000:], flush=True)
            if not report.exists():  # it crashed
                counts["failed"] += 1
                continue
            for suite in json.loads(report.read_text())["testsuites"]:
                for test in suite["testsuite"]:
                    if test.get("failures"):
                        counts["failed"] += 1
                    else:
                        counts["skipped" if test["result"] == "SKIPPED" else "passed"] += 1
    return counts


def run_python_cases(
    architecture: Architecture,
    core: Core,
    package: Package,
    installed: Path,
    cases: Path,
    worker: str = matrix.WORKER,
) -> dict[str, Any]:
    """How many random layers that runtime got right, int8 exactly and float32 within 1e-5.

    installed: the folder with this project's wheel; nothing comes from the checkout.
    worker: the program, which runs them in the interpreter or in CompiledModel.
    """
    total = 2 * matrix.LAYERS + DENSE_LAYERS
    arguments = ["-c", worker, str(installed), str(cases), str(total), "auto"]
    command, environment = emulation.emulated_python(architecture, core, package, arguments)
    del environment["TF_SIGNBIN_DELEGATE"]  # the wheel brings its own
    environment["PYTHONPATH"] = str(emulation.prepare_site(architecture, package))
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode != 0:
        print(f"{package.name} on {core.name}: exit status {run.returncode}\n{run.stderr[-2000:]}")
        return {"right": 0, "of": total}
    return {"right": int(run.stdout.splitlines()[-1].removeprefix("result ")), "of": total}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("architecture", choices=emulation.ARCHITECTURES)
    parser.add_argument("--json", type=Path, help="default docs/results/cross_test_<arch>.json")
    arguments = parser.parse_args()
    architecture = emulation.ARCHITECTURES[arguments.architecture]
    emulation.require(architecture.qemu, "mmdebstrap", f"{architecture.triplet}-g++")
    started = time.monotonic()
    build = emulation.build(architecture, tests=True)
    wheel = build_wheel(architecture.name, ROOT / "dist")
    result: dict[str, Any] = {
        "command": f"make cross-test ARCH={architecture.name}",
        "date": date.today().isoformat(),
        "left_out": list(LEFT_OUT),
        "library": library_facts(build / emulation.LIBRARY),
        "wheel": {"name": wheel.name, "bytes": wheel.stat().st_size},
        "cores": {},
    }
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        cases, installed = Path(folder) / "cases.npz", Path(folder) / "site"
        install(wheel, installed, emulation.PYTHON.removeprefix("python"))
        matrix.write_cases(cases, matrix.native_library(), DENSE_LAYERS)
        for core in architecture.cores:
            counts = run_cpp_tests(architecture, core, build)
            print(f"{core.name}: C++ {counts}", flush=True)
            failed |= counts["failed"] > 0 or counts["passed"] == 0
            runtimes = {}
            for package in architecture.runtimes:
                right = run_python_cases(architecture, core, package, installed, cases)
                print(f"{core.name}: {package.requirements[0]} {right}", flush=True)
                failed |= right["right"] != right["of"]
                runtimes[package.requirements[0]] = right
                if package.name == "ai-edge-litert":
                    right = run_python_cases(
                        architecture, core, package, installed, cases, matrix.COMPILED_WORKER
                    )
                    print(f"{core.name}: CompiledModel {right}", flush=True)
                    failed |= right["right"] != right["of"]
                    runtimes["CompiledModel"] = right
            result["cores"][core.name] = {"cpp": counts, "python": runtimes}
    result["seconds"] = round(time.monotonic() - started)
    path = arguments.json or ROOT / f"docs/results/cross_test_{architecture.name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())

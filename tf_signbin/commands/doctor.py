"""Check the installation: versions, CPU, runtimes, the delegate, and a small self-test."""

from __future__ import annotations

import argparse
import itertools
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

from tf_signbin import console
from tf_signbin.arguments import output_file

EXAMPLES = """examples:
  tf-signbin doctor
  tf-signbin doctor --json doctor.json      attach this to an issue

The exit code is 1 when something that is needed to run models is missing or wrong.
"""
_PACKAGES = (
    "tf-signbin", "numpy", "flatbuffers", "ai-edge-litert", "tflite-runtime",
    "tensorflow", "tensorflow-cpu", "tf-keras", "tensorflow-model-optimization", "keras", "rich",
    "matplotlib",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="write the findings; - for stdout"
    )


def run(args: argparse.Namespace) -> int:
    with console.progress("doctor") as tick:
        findings = examine(tick)
    if args.json:
        console.write_json(args.json, findings)
    if args.json != "-":
        _print(findings)
    return console.OK if findings["ok"] else console.FAILED


def examine(tick: Callable[[str, float], None] = lambda label, share: None) -> dict[str, Any]:
    """Everything `doctor` finds out; `ok` says whether models can be run here."""
    from tf_signbin.benchmark.machine import describe_machine
    from tf_signbin.benchmark.views import available_views
    from tf_signbin.runtime import DelegateError, delegate_path, installed_runtimes
    from tf_signbin.runtime.delegate import supported_isas

    findings: dict[str, Any] = {
        "python": f"{platform.python_version()} ({sys.executable})",
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "machine": describe_machine(),
        "runtimes": installed_runtimes(),
    }
    try:
        findings["delegate"] = {"path": str(delegate_path()), "isas": supported_isas()}
    except (DelegateError, ImportError) as error:
        findings["delegate"] = {"error": str(error)}
    findings["views"] = available_views()
    findings["self_test"] = {}
    if "error" not in findings["delegate"]:
        tests = list(itertools.product(findings["runtimes"], ("float32", "int8")))
        for number, (runtime, activations) in enumerate(tests):
            name = f"{runtime}, {activations}"
            tick(f"self-test, {name}", number / len(tests))
            findings["self_test"][name] = _self_test(runtime, activations)
    findings["training"] = _training()
    findings["ok"] = (
        "error" not in findings["delegate"]
        and bool(findings["self_test"])
        and all(result == "passed" for result in findings["self_test"].values())
    )
    return findings


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _self_test(runtime: str, activations: str) -> str:
    """'passed' or the problem."""
    command = [sys.executable, "-m", "tf_signbin.commands.self_test", runtime, activations]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode < 0:
        return f"crashed: {signal.Signals(-result.returncode).name}"
    if result.returncode:
        return (result.stderr.strip().splitlines() or ["failed"])[-1]
    return result.stdout.strip() or "passed"


def _training() -> str:
    """Whether training parts can be imported; does not count for `ok`."""
    import importlib.util

    wanted = ("tensorflow", "tf_keras", "tensorflow_model_optimization")
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        return f"not installed ({', '.join(missing)}): pip install 'tf-signbin[train]'"
    return "installed"


def _print(findings: dict[str, Any]) -> None:
    machine, delegate = findings["machine"], findings["delegate"]
    rows = [["Python", findings["python"]]]
    rows += [[name, version] for name, version in findings["packages"].items()]
    rows += [
        [
            "CPU",
            f"{machine['cpu']} ({' '.join(machine['cpu_features'])}), {machine['cores']} cores",
        ],
        ["runtimes", ", ".join(findings["runtimes"]) or "none: pip install ai-edge-litert"],
        ["delegate", delegate.get("path") or delegate["error"]],
        ["instruction sets", ", ".join(delegate.get("isas", []))],
        ["views (benchmark --as)", ", ".join(findings["views"]) or "none"],
        *([f"self-test, {name}", result] for name, result in findings["self_test"].items()),
        ["training", findings["training"]],
    ]
    width = max(len(row[0]) for row in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value}")
    print("\nready to run models" if findings["ok"] else "\nNOT ready: see above")

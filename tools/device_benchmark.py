"""Runs a model with benchmark_model and the delegate on a phone (adb) or a Pi (ssh).

    python tools/device_benchmark.py adb --benchmark-model benchmark_model \\
      --library build/cross/android-arm64/libtf_signbin_delegate.so --model model.tflite
    python tools/device_benchmark.py ssh pi@raspberrypi --benchmark-model benchmark_model \\
      --library build/cross/linux-aarch64/libtf_signbin_delegate.so \\
      --model packed.tflite --baseline stock.tflite --options 'num_threads:4' --threads 4

Copies the files, runs the model with the delegate, once more with the operator profile to see that
our operators ran, and the baseline without the delegate; prints the times and writes them and every
log to --output. benchmark_model is TensorFlow Lite's own tool, built for the device.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any, Protocol

OUR_OPERATORS = "TfSignBin"
_TIMES = re.compile(r"Inference timings in us: .*?Inference \(avg\): ([\d.e+]+)")


class DeviceError(RuntimeError):
    """A device could not be reached, or a command on it failed."""


class Device(Protocol):
    folder: str  # on the device

    def push(self, files: list[Path]) -> None: ...
    def shell(self, command: str) -> str: ...


class Adb:
    """An Android device with USB debugging; `serial` picks one of several."""

    folder = "/data/local/tmp/tf_signbin"

    def __init__(self, serial: str | None) -> None:
        self._adb = ["adb", *(["-s", serial] if serial else [])]

    def push(self, files: list[Path]) -> None:
        _run([*self._adb, "push", *map(str, files), f"{self.folder}/"])

    def shell(self, command: str) -> str:
        return _run([*self._adb, "shell", command])


class Ssh:
    """A Linux device; the folder is in the user's home."""

    folder = "tf_signbin"

    def __init__(self, host: str) -> None:
        self._host = host

    def push(self, files: list[Path]) -> None:
        _run(["scp", "-q", *map(str, files), f"{self._host}:{self.folder}/"])

    def shell(self, command: str) -> str:
        return _run(["ssh", "-o", "BatchMode=yes", self._host, command])


def _run(command: list[str]) -> str:
    """What the command printed, both streams together: benchmark_model logs to stderr."""
    try:
        run = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except FileNotFoundError:
        package = {"adb": "adb", "ssh": "openssh-client", "scp": "openssh-client"}[command[0]]
        raise DeviceError(
            f"{command[0]} is not installed: sudo apt-get install {package}"
        ) from None
    if run.returncode != 0:
        raise DeviceError(
            f"{shlex.join(command)} failed with {run.returncode}:\n{run.stdout[-3000:]}"
        )
    return run.stdout


def split_options(text: str) -> dict[str, str]:
    """The pairs that benchmark_model makes of --external_delegate_options.

    Raises:
      ValueError: a part is not key:value; benchmark_model would drop it without a word.
    """
    pairs = {}
    for part in text.split(";"):
        fields = part.split(":")
        if len(fields) != 2 or not all(fields):
            raise ValueError(
                f"{part!r} in the options {text!r} is not key:value; benchmark_model would drop it"
            )
        pairs[fields[0]] = fields[1]
    return pairs


def command_line(
    graph: str, threads: int, library: str | None, options: str, extra: list[str]
) -> str:
    """benchmark_model's command; without a library the runtime's own way to run the graph."""
    words = ["./benchmark_model", f"--graph={graph}", f"--num_threads={threads}"]
    if library is not None:
        # XNNPACK would take layers in builtin layout first.
        words += ["--use_xnnpack=false", f"--external_delegate_path=./{library}"]
        words += [f"--external_delegate_options={options}"]
    return shlex.join([*words, *extra])


def average_us(log: str) -> float:
    """The average time of an inference.

    Raises:
      DeviceError: benchmark_model printed none.
    """
    found = _TIMES.search(log)
    if found is None:
        raise DeviceError(f"benchmark_model printed no times:\n{log[-3000:]}")
    return float(found[1])


def our_operators(log: str) -> list[str]:
    """Our operators in the operator profile, in order.

    Raises:
      DeviceError: there is none, so the delegate did not run.
    """
    found = re.findall(rf"^\s*({OUR_OPERATORS}\w+)", log, re.MULTILINE)
    if not found:
        raise DeviceError(
            "our operators are not in the profile: the delegate ran nothing. Is the model "
            f"converted with tf-signbin, and the library for this device?\n{log[-3000:]}"
        )
    return list(dict.fromkeys(found))


def measure(device: Device, arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    """Copies and runs everything; the result and the log of each run."""
    files = [arguments.benchmark_model, arguments.library, arguments.model]
    files += [arguments.baseline] if arguments.baseline else []
    device.shell(f"mkdir -p {device.folder}")
    device.push(files)
    enter = f"cd {device.folder} && "
    tool = arguments.benchmark_model.name
    # The tool may be called benchmark_model_aarch64 or so.
    prepare = "" if tool == "benchmark_model" else f"cp {shlex.quote(tool)} benchmark_model && "
    device.shell(f"{enter}{prepare}chmod +x benchmark_model")
    library, options, threads = arguments.library.name, arguments.options, arguments.threads
    graph = arguments.model.name
    profiled = ["--enable_op_profiling=true", "--num_runs=3", "--min_secs=0"]
    commands = {
        "delegate": command_line(graph, threads, library, options, []),
        "profile": command_line(graph, threads, library, options, profiled),
    }
    if arguments.baseline:
        commands["baseline"] = command_line(arguments.baseline.name, threads, None, "", [])
    logs = {name: device.shell(enter + command) for name, command in commands.items()}
    result: dict[str, Any] = {
        "date": date.today().isoformat(),
        "device": device.shell("uname -a").strip(),
        "commands": commands,
        "operators": our_operators(logs["profile"]),
        "delegate_us": average_us(logs["delegate"]),
    }
    if arguments.baseline:
        result["baseline_us"] = average_us(logs["baseline"])
    return result, logs


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    ways = parser.add_subparsers(dest="way", required=True)
    adb = ways.add_parser("adb", help="an Android device")
    adb.add_argument("--serial", help="of `adb devices`, if there are several")
    ssh = ways.add_parser("ssh", help="a Linux device")
    ssh.add_argument("host", help="user@name; keys must be set up, no password is asked for")
    for way in (adb, ssh):
        way.add_argument("--benchmark-model", type=Path, required=True)
        way.add_argument("--library", type=Path, required=True, help="libtf_signbin_delegate.so")
        way.add_argument("--model", type=Path, required=True, help="run with the delegate")
        way.add_argument("--baseline", type=Path, help="run without it, for example the same "
                         "network in stock operators")  # fmt: skip
        way.add_argument("--options", default="log_level:info", help="key:value;key:value")
        way.add_argument("--threads", type=int, default=1)
        way.add_argument("--output", type=Path, default=Path("out/device"))
    arguments = parser.parse_args(words)
    try:
        split_options(arguments.options)
    except ValueError as error:
        parser.error(str(error))
    for path in (arguments.benchmark_model, arguments.library, arguments.model, arguments.baseline):
        if path is not None and not path.is_file():
            parser.error(f"there is no file {path}")
    return arguments


def main(words: list[str] | None = None) -> int:
    arguments = parse(words)
    device = Adb(arguments.serial) if arguments.way == "adb" else Ssh(arguments.host)
    try:
        result, logs = measure(device, arguments)
    except DeviceError as error:
        print(error, file=sys.stderr)
        return 1
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, log in logs.items():
        (arguments.output / f"{name}.log").write_text(log)
    (arguments.output / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['device']}\noperators: {', '.join(result['operators'])}")
    print(f"with the delegate  {result['delegate_us'] / 1e3:.2f} ms")
    if "baseline_us" in result:
        ratio = result["baseline_us"] / result["delegate_us"]
        print(f"baseline           {result['baseline_us'] / 1e3:.2f} ms ({ratio:.2f}x)")
    print(f"logs: {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

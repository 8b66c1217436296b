"""Runs a model with benchmark_model and the delegate on a phone (adb) or a Pi (ssh).

    python tools/device_benchmark.py adb --benchmark-model benchmark_model \\
      --library build/cross/android-arm64/libtf_signbin_delegate.so --model model.tflite
    python tools/device_benchmark.py ssh pi@raspberrypi --benchmark-model benchmark_model \\
      --library build/cross/linux-aarch64/libtf_signbin_delegate.so \\
      --model packed.tflite --baseline stock.tflite --options 'num_threads:4' --threads 4

Copies the files, runs the model with the delegate, once more with the operator profile to see that
our operators ran, and the baseline without the delegate; prints the times and writes them and every
log, a failed run's too, to --output. benchmark_model is TensorFlow Lite's own tool, built for the
device. Both sides run with the same flags, so XNNPACK runs what the delegate leaves.
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
# What each file is called on the device: two models may have the same name here.
TOOL, LIBRARY = "benchmark_model", "libtf_signbin_delegate.so"
MODEL, BASELINE = "model.tflite", "baseline.tflite"
_TIMES = re.compile(r"Inference timings in us: .*?Inference \(avg\): ([\d.e+]+)")
_KERNELS = re.compile(
    r"Explicitly applied EXTERNAL delegate, .*?(completely|w/ (\d+) delegate ker)"
)
# Lines that say why: the delegate's own messages, then the runtime's and the tool's.
_CAUSES = (re.compile(r"tf_signbin: "), re.compile(r"ERROR|[Ee]rror|[Ff]ailed|No such file"))


class DeviceError(RuntimeError):
    """A device could not be reached, or a command on it failed; the message gives the cause."""


class Device(Protocol):
    folder: str  # on the device

    def push(self, file: Path, name: str) -> None: ...
    def shell(self, command: str) -> tuple[int, str]: ...


class Adb:
    """An Android device with USB debugging; `serial` picks one of several."""

    folder = "/data/local/tmp/tf_signbin"

    def __init__(self, serial: str | None) -> None:
        self._adb = ["adb", *(["-s", serial] if serial else [])]

    def push(self, file: Path, name: str) -> None:
        _check([*self._adb, "push", str(file), f"{self.folder}/{name}"])

    def shell(self, command: str) -> tuple[int, str]:
        return _run([*self._adb, "shell", command])


class Ssh:
    """A Linux device; the folder is in the user's home."""

    folder = "tf_signbin"

    def __init__(self, host: str) -> None:
        self._host = host

    def push(self, file: Path, name: str) -> None:
        _check(["scp", "-q", str(file), f"{self._host}:{self.folder}/{name}"])

    def shell(self, command: str) -> tuple[int, str]:
        return _run(["ssh", "-o", "BatchMode=yes", self._host, command])


def _run(command: list[str]) -> tuple[int, str]:
    """Exit code and what was printed, both streams together: benchmark_model logs to stderr."""
    try:
        run = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            errors="replace",
        )  # fmt: skip
    except FileNotFoundError:
        package = {"adb": "adb", "ssh": "openssh-client", "scp": "openssh-client"}[command[0]]
        raise DeviceError(
            f"{command[0]} is not installed: sudo apt-get install {package}"
        ) from None
    return run.returncode, run.stdout


def _check(command: list[str]) -> None:
    code, log = _run(command)
    if code != 0:
        raise DeviceError(f"{shlex.join(command)} failed with {code}:\n{causes(log)}")


def causes(log: str) -> str:
    """The lines of a log that say what went wrong: the delegate's own, else those that speak of an
    error, else the last ones."""
    lines = log.splitlines()
    for pattern in _CAUSES:
        found = [line for line in dict.fromkeys(lines) if pattern.search(line)]
        if found:
            return "\n".join(found[:20])
    return "\n".join(lines[-20:])


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


def command_line(graph: str, threads: int, options: str | None, extra: list[str]) -> str:
    """benchmark_model's command; with the delegate unless options is None.

    Neither side gets --use_xnnpack: without it XNNPACK takes what the delegate leaves, as in an
    interpreter; with =false nobody does, and with =true before the delegate's path it comes first.
    """
    words = [f"./{TOOL}", f"--graph={graph}", f"--num_threads={threads}"]
    if options is not None:
        words += [f"--external_delegate_path=./{LIBRARY}", f"--external_delegate_options={options}"]
    return shlex.join([*words, *extra])


def average_us(log: str) -> float:
    """The average time of an inference.

    Raises:
      DeviceError: benchmark_model printed none.
    """
    found = _TIMES.search(log)
    if found is None:
        raise DeviceError(f"benchmark_model printed no times:\n{causes(log)}")
    return float(found[1])


def delegate_kernels(log: str) -> int | None:
    """How many kernels the delegate runs, as benchmark_model prints it; None if it says nothing."""
    found = _KERNELS.search(log)
    return found and int(found[2] or 1)


def our_operators(log: str) -> list[str]:
    """Our operators in the operator profile, in order.

    Raises:
      DeviceError: there is none, so the delegate did not run.
    """
    found = re.findall(rf"^\s*({OUR_OPERATORS}\w+)", log, re.MULTILINE)
    if not found:
        raise DeviceError(
            "our operators are not in the profile: the delegate ran nothing. Is the model "
            f"converted with tf-signbin, and the library for this device?\n{causes(log)}"
        )
    return list(dict.fromkeys(found))


def measure(device: Device, arguments: argparse.Namespace) -> dict[str, Any]:
    """Copies and runs everything; writes each run's log to arguments.output; the result."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    for stale in arguments.output.glob("*.log"):
        stale.unlink()

    def run(name: str, command: str) -> str:
        code, log = device.shell(f"cd {device.folder} && {command}")
        path = arguments.output / f"{name}.log"
        path.write_text(log)
        if code != 0:
            raise DeviceError(
                f"{command} failed with {code}:\n{causes(log)}\nits whole log: {path}"
            )
        return log

    code, log = device.shell(f"mkdir -p {device.folder}")
    if code != 0:
        raise DeviceError(f"the device cannot be used:\n{causes(log)}")
    files = {TOOL: arguments.benchmark_model, LIBRARY: arguments.library, MODEL: arguments.model}
    files |= {BASELINE: arguments.baseline} if arguments.baseline else {}
    for name, file in files.items():
        device.push(file, name)
    threads, options = arguments.threads, arguments.options
    profiled = ["--enable_op_profiling=true", "--num_runs=3", "--min_secs=0"]
    commands = {
        "delegate": command_line(MODEL, threads, options, []),
        "profile": command_line(MODEL, threads, options, profiled),
    }
    if arguments.baseline:
        commands["baseline"] = command_line(BASELINE, threads, None, [])
    about = run("device", f"chmod +x {TOOL} && uname -a").strip()
    logs = {name: run(name, command) for name, command in commands.items()}
    result: dict[str, Any] = {
        "date": date.today().isoformat(),
        "device": about,
        "commands": commands,
        "operators": our_operators(logs["profile"]),
        "delegate_kernels": delegate_kernels(logs["delegate"]),
        "delegate_us": average_us(logs["delegate"]),
    }
    if arguments.baseline:
        result["baseline_us"] = average_us(logs["baseline"])
    return result


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
        result = measure(device, arguments)
    except DeviceError as error:
        print(error, file=sys.stderr)
        return 1
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

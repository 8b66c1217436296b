"""tools/device_benchmark.py against programs that stand for adb, ssh, scp and benchmark_model.

The stand-in for benchmark_model splits the options as upstream's external delegate provider does,
creates the real delegate with them through the C entry points, and runs the model in LiteRT; like
upstream it goes on without a delegate that could not be created. What it prints are lines of real
runs of a build from LiteRT's main branch of August 2026, with a packed int8 ResNet-18.
"""

import json
import shlex
import sys

import numpy as np
import pytest
from ai_edge_litert import interpreter as litert

from tests.delegate import models
from tools import device_benchmark, matrix

_SAYS = "INFO: {} EXTERNAL delegate{}, {}the model graph will {} by the delegate{}."
_PARTLY = _SAYS.format(
    "Explicitly applied", "", "and ", "be partially executed", " w/ 17 delegate kernels"
)
_WHOLLY = _SAYS.format("Explicitly applied", "", "and ", "be completely executed", "")
_NOT = _SAYS.format("Though", " is explicitly applied", "", "not be executed", "")
_BENCHMARK = f"""#!{sys.executable}
import ctypes, sys
from ai_edge_litert import interpreter as litert

def split(text, delimiter):  # std::getline: no token after a last delimiter
    tokens = text.split(delimiter)
    return tokens[:-1] if tokens[-1] == "" else tokens

flags = dict(word[2:].split("=", 1) for word in sys.argv[1:])
assert not flags.get("use_xnnpack"), "the two sides would not be measured alike"
delegates = []
if "external_delegate_path" in flags:
    pairs = [split(part, ":") for part in split(flags["external_delegate_options"], ";")]
    options = dict(pair for pair in pairs if len(pair) == 2)
    try:
        delegates = [litert.load_delegate(flags["external_delegate_path"], options)]
    except ValueError as error:
        print(str(error).splitlines()[-1], file=sys.stderr)
try:
    interpreter = litert.Interpreter(flags["graph"], experimental_delegates=delegates)
    interpreter.allocate_tensors()
except (ValueError, RuntimeError) as error:
    print("ERROR: " + str(error).splitlines()[0], file=sys.stderr)
    print("ERROR: Benchmarking failed.\\n" + "usage: ...\\n" * 400, file=sys.stderr)
    sys.exit(1)
interpreter.invoke()
claims = False
for delegate in delegates:
    describe = ctypes.CDLL(flags["external_delegate_path"]).tf_signbin_describe
    describe.argtypes, describe.restype = [ctypes.c_void_p], ctypes.c_char_p
    claims = b"TfSignBin" in describe(delegate._get_native_delegate_pointer())
if delegates:
    print("{_PARTLY}" if claims else "{_NOT}")
if "enable_op_profiling" in flags and claims:
    print("============================== Run Order ==============================")
    print("\\t             [node type]\\t  [first]\\t [avg ms]\\t     [%]\\t  [cdf%]\\t[name]")
    print("\\t         TfSignBinConv2D\\t    0.010\\t    0.011\\t100.000%\\t100.000%\\t[y]:0")
slow = 1 if delegates else 2
print(f"INFO: Inference timings in us: Init: 900, First inference: 80, Warmup (avg): 70, "
      f"Inference (avg): {{60.5 * slow}}", file=sys.stderr)
"""
# Both log what they were asked, and keep the device's files in a folder of their own.
_ADB = """#!/bin/sh
echo "adb $*" >>"$DEVICE.log"
if [ "$1" = -s ]; then shift 2; fi
case $1 in
  push) shift; for last; do :; done
        for file; do [ "$file" = "$last" ] || cp "$file" "$DEVICE$last" || exit 1; done ;;
  shell) echo "$2" | sed "s#/data/#$DEVICE/data/#g" | sh ;;
esac
"""
_SSH = """#!/bin/sh
echo "ssh $*" >>"$DEVICE.log"
for last; do :; done
cd "$DEVICE" && sh -c "$last"
"""
_SCP = """#!/bin/sh
echo "scp $*" >>"$DEVICE.log"
for last; do :; done
for file; do
  case $file in -q|"$last") ;; *) cp "$file" "$DEVICE/${last#*:}" || exit 1 ;; esac
done
"""


def layer():
    fixed = {"shape": (8, 3, 3, 16), "regions": 1, "input_shape": (1, 6, 6, 16), "op": "conv",
             "stride": (1, 1), "dilation": (1, 1), "density": 0.4, "kind": "two_valued",
             "activation": "NONE"}  # fmt: skip
    return models.random_layer(np.random.default_rng(0), "float32", **fixed)


@pytest.fixture
def device(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("adb", _ADB), ("ssh", _SSH), ("scp", _SCP)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    folder = tmp_path / "device"
    folder.mkdir()
    monkeypatch.setenv("DEVICE", str(folder))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    (tmp_path / "benchmark_model").write_text(_BENCHMARK)
    (tmp_path / "packed.tflite").write_bytes(models.one_layer_model(layer(), packed=True))
    (tmp_path / "stock.tflite").write_bytes(models.one_layer_model(layer(), packed=False))
    return folder


def words(tmp_path, *way, options="num_threads:2;log_level:error"):
    return [*way, "--benchmark-model", str(tmp_path / "benchmark_model"),
            "--library", str(matrix.native_library()), "--model", str(tmp_path / "packed.tflite"),
            "--baseline", str(tmp_path / "stock.tflite"), "--options", options,
            "--output", str(tmp_path / "out")]  # fmt: skip


@pytest.mark.parametrize("way", [("adb", "--serial", "X1"), ("ssh", "pi@raspberrypi")])
def test_pushes_runs_and_collects(device, tmp_path, capsys, way):
    assert device_benchmark.main(words(tmp_path, *way)) == 0
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert result["operators"] == ["TfSignBinConv2D"]
    assert (result["delegate_us"], result["baseline_us"]) == (60.5, 121.0)
    assert result["delegate_kernels"] == 17
    assert "2.00x" in capsys.readouterr().out
    assert {p.name for p in (tmp_path / "out").glob("*.log")} == {
        "device.log", "delegate.log", "profile.log", "baseline.log",
    }  # fmt: skip
    log = (tmp_path / "device.log").read_text()
    assert all(way[-1] in line for line in log.splitlines()), log
    (pushed,) = device.rglob("libtf_signbin_delegate.so")
    assert pushed.read_bytes() == matrix.native_library().read_bytes()


def test_both_sides_get_the_same_flags(device, tmp_path):
    """But for the delegate's own: it is the delegate that is measured."""
    assert device_benchmark.main(words(tmp_path, "adb")) == 0
    commands = json.loads((tmp_path / "out/result.json").read_text())["commands"]

    def flags(name):
        found = dict(word.partition("=")[::2] for word in shlex.split(commands[name])[1:])
        return {key: value for key, value in found.items()
                if not key.startswith("--external_delegate") and key != "--graph"}  # fmt: skip

    assert flags("delegate") == flags("baseline")
    assert not any("use_xnnpack" in command for command in commands.values())


def test_model_and_baseline_of_one_name_do_not_meet(device, tmp_path):
    arguments = words(tmp_path, "ssh", "pi@x")
    for name in ("packed", "stock"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.tflite").rename(tmp_path / name / "net.tflite")
        arguments[arguments.index(str(tmp_path / f"{name}.tflite"))] = str(
            tmp_path / name / "net.tflite"
        )
    assert device_benchmark.main(arguments) == 0
    on_device = {path.name: path.read_bytes() for path in device.rglob("*.tflite")}
    assert on_device["model.tflite"] == (tmp_path / "packed/net.tflite").read_bytes()
    assert on_device["baseline.tflite"] == (tmp_path / "stock/net.tflite").read_bytes()


@pytest.mark.parametrize("model", ["packed", "stock"])
def test_a_failure_names_its_cause_and_leaves_its_log(device, tmp_path, capsys, model):
    """A packed file fails far below the cause; a stock one runs in XNNPACK alone and exits 0."""
    arguments = words(tmp_path, "ssh", "pi@x", options="threads:2")
    arguments[arguments.index(str(tmp_path / "packed.tflite"))] = str(tmp_path / f"{model}.tflite")
    assert device_benchmark.main(arguments) == 1
    said = capsys.readouterr().err
    assert "unknown delegate option 'threads'" in said
    assert "usage" not in said
    assert "unknown delegate option" in (tmp_path / "out/delegate.log").read_text()
    assert not (tmp_path / "out/result.json").exists()


def test_a_delegate_that_ran_nothing_is_an_error(device, tmp_path, capsys):
    (tmp_path / "packed.tflite").write_bytes((tmp_path / "stock.tflite").read_bytes())
    arguments = words(tmp_path, "adb", options="claim_builtin:false")
    assert device_benchmark.main(arguments) == 1
    assert "our operators are not in the profile" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "kernels"), [(_PARTLY, 17), (_WHOLLY, 1), (_NOT, None), ("", None)]
)
def test_reads_how_much_the_delegate_runs(line, kernels):
    assert device_benchmark.delegate_kernels(f"INFO: Loaded model\n{line}\nINFO: x") == kernels


def test_cause_of_a_failure():
    """Recorded: --require_full_delegation=true, whose refusal other lines follow."""
    log = "\n".join([
        "INFO: Loaded model packed.tflite", "ERROR: Disallowed CPU fallback detected.",
        "ERROR: Benchmarking failed.", *["INFO: usage"] * 300,
    ])  # fmt: skip
    assert device_benchmark.causes(log) == (
        "ERROR: Disallowed CPU fallback detected.\nERROR: Benchmarking failed."
    )
    assert device_benchmark.causes("tf_signbin: unknown option\n" + log) == (
        "tf_signbin: unknown option"
    )
    assert device_benchmark.causes("sh: benchmark_model: not executable: 64-bit ELF file") == (
        "sh: benchmark_model: not executable: 64-bit ELF file"
    )


def test_missing_programs_and_files_are_named(tmp_path, device, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert device_benchmark.main(words(tmp_path, "adb")) == 1
    assert "apt-get install adb" in capsys.readouterr().err
    (tmp_path / "benchmark_model").unlink()
    with pytest.raises(SystemExit):
        device_benchmark.main(words(tmp_path, "adb"))
    assert "there is no file" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["num_threads", "num_threads:", "a:b:c", "num_threads:1;", ""])
def test_options_that_benchmark_model_would_drop_are_errors(text):
    with pytest.raises(ValueError, match="would drop it"):
        device_benchmark.split_options(text)


def test_every_option_survives_the_way_through_the_command_line():
    """Keys and values have neither of the separators, and the delegate takes them as text."""
    text = ("num_threads:2;log_level:error;claim_builtin:false;claim_dense:false;strict:true;"
            "profile:false;isa:portable;kernel:reference;group:0")  # fmt: skip
    pairs = device_benchmark.split_options(text)
    assert ";".join(f"{key}:{value}" for key, value in pairs.items()) == text
    delegate = litert.load_delegate(str(matrix.native_library()), pairs)
    model = models.one_layer_model(layer(), packed=True)
    interpreter = litert.Interpreter(model_content=model, experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    x = models.random_input(np.random.default_rng(1), layer())
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected, size = models.float64_result(layer(), x)
    assert np.all(np.abs(y - expected) <= 1e-5 * size)

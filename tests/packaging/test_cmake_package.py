"""Installs the C++ libraries, then builds and runs delegate/example against what was installed."""

import re
import subprocess
import sys
from pathlib import Path

import ai_edge_litert
import numpy as np
import pytest

import tf_signbin
from tf_signbin.benchmark.networks import network_model
from tf_signbin.benchmark.weights import WeightSpec
from tools import matrix

ROOT = matrix.ROOT
pytestmark = pytest.mark.slow


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """What `cmake --install` of the build that the other tests use puts there."""
    folder = tmp_path_factory.mktemp("prefix")
    build = matrix.native_library().parent
    run("cmake", "--build", str(build), "--target", "tf_signbin_accelerator",
        "tf_signbin_tflite")  # fmt: skip
    run("cmake", "--install", str(build), "--prefix", str(folder))
    return folder


@pytest.fixture(scope="module")
def example(prefix, tmp_path_factory):
    folder = tmp_path_factory.mktemp("example")
    source = str(ROOT / "delegate/example")
    run("cmake", "-S", source, "-B", str(folder), f"-DCMAKE_PREFIX_PATH={prefix}",
        "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")  # fmt: skip
    run("cmake", "--build", str(folder))
    return folder


def test_installed_headers_are_all_that_they_include(prefix):
    include = prefix / "include/tf_signbin"
    headers = {str(path.relative_to(include)) for path in include.rglob("*.*")}
    assert {"engine/conv.h", "tflite/register.h", "litert/accelerator.h"} <= headers
    for header in headers:
        text = (include / header).read_text()
        assert set(re.findall(r'#include "(.*?)"', text)) <= headers, header


def test_package_names_no_folder_of_the_build(prefix):
    files = list(prefix.rglob("*.cmake"))
    assert files
    for path in files:
        assert str(ROOT) not in path.read_text(), path.name
        assert str(prefix) not in path.read_text(), path.name


def test_engine_alone(example):
    assert re.fullmatch(r"144 outputs, largest error \S+\n", run(str(example / "convolve")))


_RESOLVER = """
import ctypes, sys
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.interpreter import InterpreterWithCustomOps
# The library needs the resolver's AddCustom, and the interpreter finds AddSignBinOps by its name.
for library in (f"{tf.sysconfig.get_lib()}/libtensorflow_cc.so.2", sys.argv[1]):
    ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
cases = np.load(sys.argv[2])
right = 0
for i in range(int(sys.argv[3])):
    interpreter = InterpreterWithCustomOps(
        model_content=cases[f"model{i}"].tobytes(), custom_op_registerers=["AddSignBinOps"])
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], cases[f"x{i}"])
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    error = np.abs(y.astype(np.float64) - cases[f"y{i}"])
    right += bool(np.all(error <= cases[f"limit{i}"]))
print("right", right)
"""


def test_operators_in_a_real_op_resolver(example, tmp_path):
    """TensorFlow's interpreter runs random packed layers that RegisterOps made known to it."""
    cases = tmp_path / "cases.npz"
    matrix.write_cases(cases, matrix.native_library())
    count = 2 * matrix.LAYERS
    library = str(example / "libsignbin_ops.so")
    output = run(sys.executable, "-c", _RESOLVER, library, str(cases), str(count))
    assert output.splitlines()[-1] == f"right {count}"


@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_compiled_model_in_the_stock_library(prefix, example, tmp_path, activations):
    """The wheel's libLiteRt.so, the accelerator from where it was installed."""
    data = tf_signbin.convert(network_model("resnet20", activations, WeightSpec(pattern=(3, 7))))
    (tmp_path / "net.tflite").write_bytes(data)
    interpreter = tf_signbin.Interpreter(data)
    interpreter.allocate_tensors()
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    x = np.random.default_rng(0).integers(-100, 100, source["shape"]).astype(source["dtype"])
    (tmp_path / "x.bin").write_bytes(x.tobytes())
    interpreter.set_tensor(source["index"], x)
    interpreter.invoke()
    expected = interpreter.get_tensor(sink["index"])
    runtime = Path(ai_edge_litert.__file__).with_name("libLiteRt.so")
    command = [str(example / "compiled_model"), str(runtime), str(prefix / "lib"),
               *(str(tmp_path / name) for name in ("net.tflite", "x.bin", "y.bin"))]  # fmt: skip
    for options in ([], ["num_threads:2;isa:portable"]):
        run(*command, *options)
        y = np.frombuffer((tmp_path / "y.bin").read_bytes(), sink["dtype"]).reshape(expected.shape)
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    refused = subprocess.run([*command, "threads:2"], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "unknown delegate option 'threads'" in refused.stderr
    assert "LiteRtCreateCompiledModel: status 1" in refused.stderr

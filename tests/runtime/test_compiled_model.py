"""CompiledModel with the accelerator: against reference kernels, float64, and the interpreter."""

import os
import shutil
import subprocess
import sys
import threading

import ai_edge_litert
import numpy as np
import pytest
from ai_edge_litert.compiled_model import CompiledModel as StockModel
from ai_edge_litert.environment import Environment
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.options import CpuOptions, Options

import tf_signbin
from tests.convert.models import two_signature_model
from tests.delegate import models
from tests.delegate.conftest import Runner
from tf_signbin.benchmark.networks import network_model
from tf_signbin.benchmark.weights import WeightSpec
from tf_signbin.runtime import (
    DelegateError,
    RuntimeNotFoundError,
    accelerator_folder,
    compiled_model,
    delegate_path,
)
from tf_signbin.runtime.interpreter import NothingClaimedWarning


@pytest.fixture(scope="module")
def environment():
    return tf_signbin.CompiledModel.create_environment()


@pytest.fixture(scope="module")
def network():
    """A packed int8 network with layers of its own kind, XNNPACK's, and a dense first one."""
    return tf_signbin.convert(network_model("resnet20", "int8", WeightSpec(pattern=(3, 7))))


def run(model, *inputs, key=None):
    """All outputs of a signature, in its order; the first signature without a key."""
    signatures = model.get_signature_list()
    key = key or next(iter(signatures))
    index = model.get_signature_index(key)
    sources, sinks = model.create_input_buffers(index), model.create_output_buffers(index)
    for buffer, values in zip(sources, inputs, strict=True):
        buffer.write(values)
    model.run_by_index(index, sources, sinks)
    details = model.get_output_tensor_details(key)
    results = []
    for buffer, name in zip(sinks, signatures[key]["outputs"], strict=True):
        shape = details[name]["shape"]
        results.append(buffer.read(int(np.prod(shape)), np.dtype(details[name]["dtype"]))
                       .reshape(shape))  # fmt: skip
    return results


def interpret(model, x, **options):
    interpreter = tf_signbin.Interpreter(model, **options)
    interpreter.allocate_tensors()
    return models.all_outputs(interpreter, x)


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "builtin"])
@pytest.mark.parametrize("seed", range(12))
def test_random_layers_equal_the_reference(environment, seed, packed):
    rng = np.random.default_rng(seed)
    layer = models.random_layer(rng, "int8" if seed % 2 else "float32")
    x = models.random_input(rng, layer)
    model = tf_signbin.CompiledModel.from_buffer(
        models.one_layer_model(layer, packed=packed), environment=environment,
        on_unclaimed="error" if packed else "ignore", num_threads=1 + seed % 3,
    )  # fmt: skip
    (y,) = run(model, x)
    if layer.dtype == "int8":
        reference = Runner(delegate_path()).run_builtin_reference(
            models.one_layer_model(layer, packed=False), x
        )
        np.testing.assert_array_equal(y, reference)
    else:
        expected, size = models.float64_result(layer, x)
        assert np.all(np.abs(y - expected) <= 1e-5 * size)


@pytest.mark.parametrize("layout", ["packed", "builtin"])
def test_a_network_equals_the_interpreter(environment, network, layout):
    data = network if layout == "packed" else tf_signbin.unpack(network)
    x = np.random.default_rng(1).integers(-128, 128, (1, 32, 32, 3)).astype(np.int8)
    model = tf_signbin.CompiledModel.from_buffer(data, environment=environment)
    (y,) = run(model, x)
    np.testing.assert_array_equal(y, interpret(network, x)[0])
    names = {layer.layer for layer in model.claimed_layers}
    assert len(names) == len(model.claimed_layers) >= 18
    assert all(layer.kernel for layer in model.claimed_layers)


def test_xnnpack_takes_the_rest(environment):
    """A dense layer before a packed one: no node is left to the runtime's own kernels."""
    data, x = models.dense_then_packed(0, channels=3)
    model = tf_signbin.CompiledModel.from_buffer(data, environment=environment, claim_dense=False)
    found, expected = run(model, x), interpret(data, x, claim_dense=False)
    for y, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(y, right)
    assert len(model.claimed_layers) == 1
    assert model.is_fully_accelerated()


def test_from_file_with_the_default_environment(tmp_path, network):
    (tmp_path / "net.tflite").write_bytes(network)
    x = np.zeros((1, 32, 32, 3), np.int8)
    with tf_signbin.CompiledModel.from_file(tmp_path / "net.tflite", num_threads=2) as model:
        (y,) = run(model, x)
    np.testing.assert_array_equal(y, interpret(network, x)[0])
    with pytest.raises(ValueError, match="closed"):
        _ = model.claimed_layers
    with pytest.raises(FileNotFoundError, match=r"no\.tflite"):
        tf_signbin.CompiledModel.from_file(tmp_path / "no.tflite")


def test_signatures_and_runs_by_name(environment):
    stock = two_signature_model()
    model = tf_signbin.CompiledModel.from_buffer(
        tf_signbin.convert(stock), environment=environment, on_unclaimed="error"
    )
    assert list(model.get_signature_list()) == ["encode", "decode"]
    for key in ("encode", "decode"):
        shape = model.get_input_tensor_details(key)["image"]["shape"]
        x = np.random.default_rng(2).normal(size=shape).astype(np.float32)
        source = model.create_input_buffer_by_name(key, "image")
        sink = model.create_output_buffer_by_name(key, "features")
        source.write(x)
        model.run_by_name(key, {"image": source}, {"features": sink})
        reference = StockModel.from_buffer(stock)
        (expected,) = run(reference, x, key=key)
        y = sink.read(expected.size, np.float32).reshape(expected.shape)
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_resized_inputs(environment, network):
    model = tf_signbin.CompiledModel.from_buffer(network, environment=environment)
    rng = np.random.default_rng(3)
    for batch in (3, 1, 2):
        x = rng.integers(-128, 128, (batch, 32, 32, 3)).astype(np.int8)
        model.resize_input_tensor(0, x.shape, strict=False)
        (y,) = run(model, x)
        single = [interpret(network, sample[None])[0][0] for sample in x]
        np.testing.assert_array_equal(y, single)


def test_several_models_and_environments_in_threads(network):
    """Each thread has an environment, options and models of its own."""
    x = np.random.default_rng(4).integers(-128, 128, (1, 32, 32, 3)).astype(np.int8)
    expected = interpret(network, x)[0]
    found: dict[int, list] = {}

    def work(number):
        isa = ("portable", "auto")[number % 2]
        shared = tf_signbin.CompiledModel.create_environment()
        compiled = [
            tf_signbin.CompiledModel.from_buffer(network, environment=shared, isa=isa)
            for _ in range(2)
        ]
        found[number] = [(run(model, x)[0], model.claimed_layers) for model in compiled]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1, 2, 3]
    for number, results in found.items():
        for y, layers in results:
            np.testing.assert_array_equal(y, expected)
            portable = all("portable" in layer.kernel for layer in layers)
            assert portable == (number % 2 == 0), [layer.kernel for layer in layers]


def test_errors_reach_the_caller(environment, network):
    create = tf_signbin.CompiledModel.from_buffer
    with pytest.raises(DelegateError, match=r"unknown delegate option 'threads'.*num_threads"):
        create(network, environment=environment, threads=2)
    with pytest.raises(DelegateError, match="':'"):
        create(network, environment=environment, isa="avx2;strict:true")
    with pytest.raises(DelegateError, match="too long"):
        create(network, environment=environment, isa="x" * 5000)
    with pytest.raises(ValueError, match="num_threads=0"):
        create(network, environment=environment, num_threads=0)
    with pytest.raises(ValueError, match="inside options"):
        create(network, environment=environment, options=Options(), num_threads=2)
    with pytest.raises(ValueError, match="on_unclaimed='maybe'"):
        create(network, environment=environment, on_unclaimed="maybe")
    with pytest.raises(ValueError, match="no GPU accelerator"):
        create(network, HardwareAccelerator.GPU | HardwareAccelerator.CPU, environment)
    with pytest.raises(RuntimeError):
        create(b"no model", environment=environment)
    layer = models.random_layer(np.random.default_rng(5), "int8")
    damaged = models.one_layer_model(layer, packed=True, options=b"\x00\x01")
    with pytest.raises(RuntimeError, match=r"tf_signbin: TfSignBin.* 'output'"):
        create(damaged, environment=environment)
    # What failed before is not blamed for what fails later.
    with pytest.raises(RuntimeError) as error:
        create(b"no model", environment=environment)
    assert "tf_signbin" not in str(error.value)


_COPY_FIRST = """
import ctypes, pathlib, sys
copy = ctypes.CDLL(sys.argv[1])
import tf_signbin
model = pathlib.Path(sys.argv[2]).read_bytes()
try:
    tf_signbin.CompiledModel.from_buffer(model, threads=2)
except tf_signbin.runtime.DelegateError as error:
    print(error)
print(len(tf_signbin.CompiledModel.from_buffer(model).claimed_layers))
"""


def test_another_copy_of_the_delegate_does_not_hide_errors(network, tmp_path):
    """The linker gives the accelerator the first library of that name in the process."""
    copy = shutil.copy(delegate_path(), tmp_path)
    (tmp_path / "network.tflite").write_bytes(network)
    command = [sys.executable, "-c", _COPY_FIRST, str(copy), str(tmp_path / "network.tflite")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    *reason, claimed = run.stdout.splitlines()
    assert "unknown delegate option 'threads'" in " ".join(reason)
    assert int(claimed) > 0


def test_an_environment_without_the_accelerator_is_an_error(network):
    with pytest.raises(ValueError, match="create_environment"):
        tf_signbin.CompiledModel.from_buffer(
            tf_signbin.unpack(network), environment=Environment.create()
        )


def test_nothing_claimed_is_reported(environment):
    layer = models.random_layer(np.random.default_rng(6), "float32", density=0.5)
    dense = models.dense_model(layer, np.random.default_rng(6))
    with pytest.warns(NothingClaimedWarning, match="claimed no layer"):
        tf_signbin.CompiledModel.from_buffer(dense, environment=environment)
    with pytest.raises(RuntimeError, match="claimed no layer"):
        tf_signbin.CompiledModel.from_buffer(dense, environment=environment, on_unclaimed="error")
    tf_signbin.CompiledModel.from_buffer(dense, environment=environment, on_unclaimed="ignore")


def test_options_of_the_runtime_are_passed_on(environment, network):
    options = Options(cpu_options=CpuOptions(num_threads=2))
    model = tf_signbin.CompiledModel.from_buffer(network, environment=environment, options=options)
    x = np.zeros((1, 32, 32, 3), np.int8)
    np.testing.assert_array_equal(run(model, x)[0], interpret(network, x)[0])


def test_offers_all_that_the_runtimes_class_does(environment, network):
    model = tf_signbin.CompiledModel.from_buffer(network, environment=environment)
    names = {name for name in dir(StockModel) if not name.startswith("_")}
    assert "run_by_index" in names
    assert names <= set(dir(model))
    assert all(callable(getattr(model, name)) for name in names - {"environment"})


def test_too_old_a_runtime_is_named(monkeypatch):
    class Old:
        version = "2.1.6"

    monkeypatch.setattr(compiled_model, "find_runtime", lambda name: Old)
    with pytest.raises(RuntimeNotFoundError, match=r"2\.2 or later, and 2\.1\.6"):
        tf_signbin.CompiledModel.create_environment()


def test_the_runtimes_own_benchmark_runs_a_packed_model(tmp_path, network):
    (tmp_path / "net.tflite").write_bytes(network)
    command = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model",
               "--model", "net.tflite", "--num_runs", "3", "--result_json", "out.json"]  # fmt: skip
    assert os.path.exists(os.path.join(os.path.dirname(ai_edge_litert.__file__), "tools"))
    found = {}
    for folder in (None, accelerator_folder()):
        extra = [] if folder is None else ["--runtime_path", str(folder)]
        result = subprocess.run([*command, *extra], cwd=tmp_path, capture_output=True, text=True)
        found[folder is not None] = result.returncode
    assert found == {False: 1, True: 0}, result.stderr[-2000:]

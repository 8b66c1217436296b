"""The interpreter against the runtime's own builtin reference kernels on the unpacked model."""

import numpy as np
import pytest
from ai_edge_litert import interpreter as litert

from tf_signbin.benchmark.graph import GraphBuilder
from tf_signbin.benchmark.weights import WeightSpec, int8_filters
from tf_signbin.convert.rewrite import pack
from tf_signbin.runtime import (
    Interpreter,
    RuntimeNotFoundError,
    find_runtime,
    installed_runtimes,
)
from tf_signbin.runtime.interpreter import NothingClaimedWarning

SEED = 7


def small_model(activations="float32", kind="signed_binary", batch=1):
    rng = np.random.default_rng(SEED)
    graph = GraphBuilder(activations)
    x = graph.input((batch, 8, 8, 16))
    weights = int8_filters(rng, (24, 3, 3, 16), WeightSpec(kind))
    return graph.finish(graph.global_average_pool(graph.conv(x, weights)))


def reference(model, x):
    """Builtin reference kernels, one sample at a time."""
    interpreter = litert.Interpreter(
        model_content=model, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    results = []
    for sample in x:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sample[None])
        interpreter.invoke()
        results.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return np.concatenate(results)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_predict_equals_the_builtin_reference(batch_size):
    model = small_model()
    x = np.random.default_rng(SEED).normal(size=(10, 8, 8, 16)).astype(np.float32)
    interpreter = Interpreter(pack(model)[0], num_threads=1)
    result = interpreter.predict(x, batch_size=batch_size)
    np.testing.assert_allclose(result, reference(model, x), rtol=1e-5, atol=1e-5)


def test_predict_quantizes_and_dequantizes():
    model = small_model("int8")
    x = np.random.default_rng(SEED).normal(size=(3, 8, 8, 16)).astype(np.float32)
    interpreter = Interpreter(pack(model)[0], num_threads=1)
    (details,) = interpreter.get_output_details()
    scale, zero_point = details["quantization"]
    # x is in steps of 1/40 (GraphBuilder): what predict() makes of it.
    steps = np.clip(np.copysign(np.floor(np.abs(x * np.float32(40)) + 0.5), x), -128, 127)
    expected = (reference(model, steps.astype(np.int8)).astype(np.float32) - zero_point) * scale
    np.testing.assert_allclose(interpreter.predict(x), expected, rtol=1e-6)


def test_predict_of_no_samples():
    interpreter = Interpreter(pack(small_model())[0])
    assert interpreter.predict(np.zeros((0, 8, 8, 16), np.float32)).shape == (0, 24)


def test_predict_names_a_wrong_shape():
    interpreter = Interpreter(pack(small_model())[0])
    with pytest.raises(ValueError, match=r"takes inputs of shape .*got \(1, 9, 8, 16\)"):
        interpreter.predict(np.zeros((1, 9, 8, 16), np.float32))


def test_claimed_layers_name_kernel_memory_and_times():
    interpreter = Interpreter(pack(small_model("int8"))[0], num_threads=1, profile=True)
    interpreter.allocate_tensors()
    (layer,) = interpreter.claimed_layers
    assert layer.op == "TfSignBinConv2D"
    assert layer.kernel
    assert layer.weight_bytes > 0
    assert layer.runs == 0
    interpreter.invoke()
    interpreter.invoke()
    (layer,) = interpreter.claimed_layers
    assert layer.runs == 2
    assert layer.total_us > 0


def test_builtin_layout_is_claimed_too():
    interpreter = Interpreter(small_model("int8"))
    interpreter.allocate_tensors()
    assert [layer.op for layer in interpreter.claimed_layers] == ["TfSignBinConv2D"]


def test_nothing_claimed_is_reported():
    dense = small_model(kind="dense")
    interpreter = Interpreter(dense)
    with pytest.warns(NothingClaimedWarning, match="claimed no layer"):
        interpreter.allocate_tensors()
    with pytest.raises(RuntimeError, match="claimed no layer"):
        Interpreter(dense, on_unclaimed="error").allocate_tensors()
    Interpreter(dense, on_unclaimed="ignore").allocate_tensors()


def test_the_file_is_named_in_errors(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"broken\.tflite"):
        Interpreter(path)
    with pytest.raises(FileNotFoundError):
        Interpreter(tmp_path / "missing.tflite")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_threads": 0}, "num_threads=0"),
        ({"runtime": "onnx"}, "runtime='onnx': must be"),
        ({"on_unclaimed": "cry"}, "on_unclaimed='cry': must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Interpreter(small_model(), **arguments)


def test_runtime_that_is_not_installed():
    missing = {"ai_edge_litert", "tflite_runtime", "tensorflow"} - set(installed_runtimes())
    if not missing:
        pytest.skip("all runtimes are installed")
    name = missing.pop()
    with pytest.raises(RuntimeNotFoundError, match=f"(?s)pip install ai-edge-litert.*{name}"):
        find_runtime(name)


def test_every_installed_runtime_gives_the_same_result():
    packed = pack(small_model("int8"))[0]
    x = np.random.default_rng(SEED).normal(size=(2, 8, 8, 16)).astype(np.float32)
    results = [Interpreter(packed, runtime=name).predict(x) for name in installed_runtimes()]
    assert len(results) >= 1
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_results_do_not_depend_on_threads():
    packed = pack(small_model())[0]
    x = np.random.default_rng(SEED).normal(size=(2, 8, 8, 16)).astype(np.float32)
    one, three = (Interpreter(packed, num_threads=count).predict(x) for count in (1, 3))
    np.testing.assert_array_equal(one, three)

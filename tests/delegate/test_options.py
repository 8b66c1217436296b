"""Delegate options, log lines, errors and profile, as a user of LiteRT sees them."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import interpreter as litert

from tests.delegate import models

KNOWN = (
    "num_threads", "log_level", "claim_builtin", "claim_dense", "strict", "isa", "kernel", "group",
    "profile",
)  # fmt: skip


def small_layer(**fixed) -> models.Layer:
    rng = np.random.default_rng(0)
    fixed = {"shape": (8, 3, 3, 16), "regions": 1, "input_shape": (1, 6, 6, 16), "op": "conv",
                 "stride": (1, 1), "dilation": (1, 1), "density": 0.4, "kind": "two_valued",
                 "activation": "NONE"} | fixed  # fmt: skip
    return models.random_layer(rng, "float32", **fixed)


@pytest.fixture
def packed() -> bytes:
    return models.one_layer_model(small_layer(), packed=True)


def test_unknown_option_lists_the_known_ones(delegate_path):
    with pytest.raises(ValueError, match="unknown delegate option 'threads'") as error:
        litert.load_delegate(str(delegate_path), {"threads": 2})
    for name in KNOWN:
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_threads": 0}, "num_threads is '0'"),
        ({"num_threads": -2}, "num_threads is '-2'"),
        ({"log_level": "chatty"}, "error, warning or info"),
        ({"strict": "perhaps"}, "true or false"),
        ({"isa": "z80"}, "isa 'z80' is not available; this CPU and build offer: auto, "),
        ({"kernel": "slide_rule"}, "kernel 'slide_rule' is not available"),
        ({"group": "many"}, "group is 'many'"),
    ],
)
def test_bad_option_values_are_named(delegate_path, options, message):
    with pytest.raises(ValueError, match=message):
        litert.load_delegate(str(delegate_path), options)


def test_override_that_does_not_fit_the_layer_is_an_error(runner, packed):
    with pytest.raises(RuntimeError, match="kernel=reference, group=4; drop one of these options"):
        runner.interpreter(packed, kernel="reference", group=4).allocate_tensors()


def run_and_capture(runner, capfd, model: bytes, layer: models.Layer, **options) -> str:
    x = models.random_input(np.random.default_rng(1), layer)
    interpreter = runner.interpreter(model, **options)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.allocate_tensors()
    for _ in range(3):
        interpreter.set_tensor(index, x)
        interpreter.invoke()
    del interpreter
    return capfd.readouterr().err


def test_info_names_the_kernel_of_each_layer(runner, packed, capfd):
    log = run_and_capture(runner, capfd, packed, small_layer(), log_level="info")
    assert "tf_signbin info: claimed 1 of 1 nodes" in log
    assert "TfSignBinConv2D 'output': reference_f32" in run_and_capture(
        runner, capfd, packed, small_layer(), log_level="info", kernel="reference"
    )


def test_default_log_is_silent_when_nodes_are_claimed(runner, packed, capfd):
    assert "tf_signbin" not in run_and_capture(runner, capfd, packed, small_layer())


def test_nothing_claimed_is_a_warning(runner, capfd):
    layer = small_layer()
    dense = models.dense_model(layer, np.random.default_rng(2))
    log = run_and_capture(runner, capfd, dense, layer)
    assert "tf_signbin warning: claimed 0 of 1 nodes" in log
    assert run_and_capture(runner, capfd, dense, layer, log_level="error") == ""


def test_profile_counts_runs_and_names_layers(delegate_path, tmp_path):
    """In a process of its own: the table is printed when the delegate is destroyed."""
    (tmp_path / "model.tflite").write_bytes(models.one_layer_model(small_layer(), packed=True))
    script = f"""
from ai_edge_litert.interpreter import Interpreter, load_delegate
delegate = load_delegate({str(delegate_path)!r}, {{"profile": True, "kernel": "reference"}})
interpreter = Interpreter({str(tmp_path / "model.tflite")!r}, experimental_delegates=[delegate])
interpreter.allocate_tensors()
for _ in range(7):
    interpreter.invoke()
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    lines = result.stderr.splitlines()
    (row,) = [line for line in lines if "TfSignBinConv2D, reference_f32, output" in line]
    total, tables, lookup, output, runs = row.split()[:5]
    assert runs == "7"
    assert float(total) >= float(lookup) > 0
    assert float(tables) == float(output) == 0


def test_info_names_the_options_that_arrived(delegate_path, capfd):
    litert.load_delegate(str(delegate_path), {" num_threads ": " 2", "log_level": "info "})
    assert "tf_signbin info: options: num_threads=2, log_level=info\n" in capfd.readouterr().err


class _Pointer:
    """What Interpreter wants of a delegate."""

    def __init__(self, pointer: int) -> None:
        self._get_native_delegate_pointer = lambda: pointer


def test_wrong_option_is_loud_where_nobody_takes_the_error(delegate_path, capfd):
    """As TfLiteExternalDelegateCreate calls it, and with it benchmark_model: no error reporter, and
    no delegate means that the stock kernels are measured. So the model must be refused instead."""
    library = ctypes.CDLL(str(delegate_path))
    create, destroy = library.tflite_plugin_create_delegate, library.tflite_plugin_destroy_delegate
    create.restype = ctypes.c_void_p
    destroy.argtypes = [ctypes.c_void_p]
    words = ctypes.c_char_p * 1
    pointer = create(words(b"threads"), words(b"2"), ctypes.c_size_t(1), None)
    assert "unknown delegate option 'threads'" in capfd.readouterr().err
    dense = models.dense_model(small_layer(), np.random.default_rng(2))
    with pytest.raises(RuntimeError, match="unknown delegate option 'threads'"):
        litert.Interpreter(model_content=dense, experimental_delegates=[_Pointer(pointer)])
    destroy(pointer)
    assert "claimed" not in capfd.readouterr().err


def joined(files: list[bytes]) -> bytes:
    """One model with the subgraph of each, as a model of several signatures has them."""
    trees = [models.schema.ModelT.InitFromPackedBuf(data) for data in files]
    whole = trees[0]
    for tree in trees[1:]:
        buffers, codes = len(whole.buffers), len(whole.operatorCodes)
        for graph in tree.subgraphs:
            for tensor in graph.tensors:
                tensor.buffer += buffers
            for operator in graph.operators:
                operator.opcodeIndex += codes
        whole.buffers += tree.buffers
        whole.operatorCodes += tree.operatorCodes
        whole.subgraphs += tree.subgraphs
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(whole.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("order", ["layers first", "layers last"])
def test_claims_are_counted_over_all_subgraphs(runner, capfd, order):
    """Of several signatures, or behind a loop's body: one graph without layers is no warning."""
    dense = models.dense_model(small_layer(), np.random.default_rng(2))
    parts = [models.one_layer_model(small_layer(), packed=True), dense]
    model = joined(parts if order == "layers first" else parts[::-1])
    interpreter = runner.interpreter(model, log_level="info")
    log = capfd.readouterr().err
    assert "tf_signbin info: claimed 1 of 1 nodes" in log
    assert "tf_signbin info: claimed 0 of 1 nodes" in log
    del interpreter
    assert "warning" not in log + capfd.readouterr().err
    interpreter = runner.interpreter(joined([dense, dense]))
    del interpreter
    assert "tf_signbin warning: claimed 0 of 2 nodes" in capfd.readouterr().err


def test_bad_packed_options_name_layer_key_and_value(runner):
    from flatbuffers import flexbuffers

    layer = small_layer()
    for change, message in [
        ({"version": 2}, "'output': option version is 2; this delegate knows version 1"),
        ({"kind": "septenary"}, "option kind is 'septenary'"),
        ({"stride_h": 0}, "option stride_h is 0; it must be at least 1"),
        ({"zeal": 3}, "option 'zeal' is unknown"),
        ({"out_channels": 9}, r"masks tensor has shape \[1, 8, 18\]"),
        ({"pattern_n": 1, "pattern_m": 16}, "breaks the promised pattern 1:16"),
    ]:
        blob = bytes(flexbuffers.Dumps(layer.options | change))
        model = models.one_layer_model(layer, packed=True, options=blob)
        with pytest.raises((RuntimeError, ValueError), match=message):
            runner.interpreter(model).allocate_tensors()
    model = models.one_layer_model(layer, packed=True, options=b"\x00\x01")
    with pytest.raises((RuntimeError, ValueError), match="not a valid FlexBuffer map"):
        runner.interpreter(model).allocate_tensors()

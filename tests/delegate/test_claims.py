"""Builtin CONV_2D and FULLY_CONNECTED that the delegate claims by the value of their filters."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ai_edge_litert import interpreter as litert

from tests.delegate import models
from tests.format.tflite_builder import Builder
from tf_signbin.runtime.delegate import supported_isas


def claimable(seed: int, dtype: str) -> models.Layer:
    """Large enough that packing pays."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(4, 30)), 3, 3, int(rng.choice([8, 12, 21])))
    op = "conv" if seed % 3 else "fc"
    if op == "fc":
        shape = (shape[0], 1, 1, 40 + shape[3])
    return models.random_layer(rng, dtype, op=op, shape=shape, regions=1)


@pytest.mark.parametrize("seed", range(60))
def test_claimed_int8_equals_builtin_reference(runner, seed):
    layer = claimable(seed, "int8")
    x = models.random_input(np.random.default_rng(seed), layer)
    model = models.one_layer_model(layer, packed=False)
    np.testing.assert_array_equal(
        runner.run(model, x), runner.run_builtin_reference(model, x), err_msg=layer.describe()
    )


@pytest.mark.parametrize("seed", range(60))
def test_claimed_float32_is_close_to_float64(runner, seed):
    layer = claimable(seed, "float32")
    x = models.random_input(np.random.default_rng(seed), layer)
    expected, size = models.float64_result(layer, x)
    actual = runner.run(models.one_layer_model(layer, packed=False), x)
    assert np.max(np.abs(actual - expected) / size) <= 1e-5, layer.describe()


def claimed(runner, model: bytes, **options) -> bool:
    interpreter = runner.interpreter(model, **options)
    return any(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details())


def test_dense_filters_are_left_alone(runner):
    rng = np.random.default_rng(3)
    for dtype in ("float32", "int8"):
        model = models.dense_model(claimable(1, dtype), rng)
        assert not claimed(runner, model)
        assert not claimed(runner, model, strict=True)


def dense_isas() -> list[str]:
    """Instruction sets of this machine, or view of it, with kernels for dense layers."""
    return [isa for isa in supported_isas() if isa in ("avx512vnni", "avxvnni", "avx2")]


def nodes_left(runner, model: bytes, **options) -> int:
    """Builtin operators that the delegate leaves to the runtime."""
    interpreter = runner.interpreter(model, **options)
    interpreter.allocate_tensors()
    nodes = interpreter._get_ops_details()
    delegated = sum(node["op_name"] == "DELEGATE" for node in nodes)
    return len(nodes) - 2 * delegated


@pytest.mark.parametrize("isa", dense_isas())
@pytest.mark.parametrize("seed", range(40))
def test_claimed_dense_equals_builtin_reference(runner, seed, isa):
    model, x = models.dense_then_packed(seed, channels=(1, 2, 3, 4, 9, 12)[seed % 6])
    assert nodes_left(runner, model, isa=isa) == 0
    expected = models.all_outputs(runner.builtin_reference(model), x)
    for threads in (1, 2, 3):
        interpreter = runner.interpreter(model, num_threads=threads, isa=isa)
        for actual, reference in zip(models.all_outputs(interpreter, x), expected, strict=True):
            np.testing.assert_array_equal(actual, reference)


def test_dense_layers_that_are_left_to_the_runtime(runner):
    model, _ = models.dense_then_packed(1, channels=3)
    assert nodes_left(runner, model, claim_dense=False) == 1
    assert nodes_left(runner, model, kernel="reference") == 1
    assert nodes_left(runner, model, isa="portable") == 1
    for channels in (7, 8, 14, 16):  # the runtime pads to a multiple of eight
        assert nodes_left(runner, models.dense_then_packed(1, channels)[0]) == 1


def test_claim_builtin_can_be_switched_off(runner):
    layer = claimable(1, "float32")
    model = models.one_layer_model(layer, packed=False)
    assert claimed(runner, model)
    assert not claimed(runner, model, claim_builtin=False)
    assert claimed(runner, models.one_layer_model(layer, packed=True), claim_builtin=False)


def test_strict_refuses_a_signed_binary_layer_in_an_unknown_form(runner):
    """A hybrid layer: float activations, int8 weights."""
    layer = dataclasses.replace(claimable(3, "int8"), bias=None, activation="NONE")
    assert layer.op == "fc"
    model = models.one_layer_model(layer, packed=False, activation_type="float32")
    assert not claimed(runner, model)
    with pytest.raises(RuntimeError, match="not claimed: activations and weights differ in type"):
        claimed(runner, model, strict=True)


def test_runs_beside_xnnpack_in_one_graph(delegate_path):
    """Packed, builtin and dense layers in a row: XNNPACK takes the dense one."""
    rng = np.random.default_rng(5)
    first = models.random_layer(
        rng, "float32", op="conv", shape=(16, 3, 3, 8), regions=1, input_shape=(1, 9, 9, 8),
        stride=(1, 1), dilation=(1, 1), padding="SAME", activation="NONE", density=0.4,
    )  # fmt: skip
    second = dataclasses.replace(
        first, masks=rng.random((1, 8, 3, 3, 16)) < 0.4, bias=None, pattern=(0, 0),
        values=np.tile(np.float32([0, -0.5]), (8, 1, 1)), input_shape=(1, 9, 9, 16),
    )  # fmt: skip
    builder = Builder()
    source = models.add_input(builder, first)
    middle = models.add_layer(builder, first, source, packed=True, name="middle")
    last = models.add_layer(builder, second, middle, packed=True, name="last")
    dense = models.add_dense(builder, dataclasses.replace(first, bias=None), last, rng, "dense")
    builder.io([source], [dense])
    model = builder.bytes()
    x = rng.standard_normal(first.input_shape).astype(np.float32)

    interpreter = litert.Interpreter(
        model_content=model,
        experimental_delegates=[litert.load_delegate(str(delegate_path))],
        num_threads=2,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(source, x)
    interpreter.invoke()
    y, _ = models.float64_result(first, x)
    y, _ = models.float64_result(second, y)
    weights = models.dense_weights(model, "dense/weights")
    y = models.float64_conv(dataclasses.replace(first, bias=None), y, weights)
    np.testing.assert_allclose(interpreter.get_tensor(dense), y, rtol=1e-4, atol=1e-4)

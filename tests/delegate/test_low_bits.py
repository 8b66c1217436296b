"""Int8 inputs of few bits: the delegate has kernels for them, and stays exact where a value lies
below the zero point after all."""

from __future__ import annotations

import dataclasses
import platform

import numpy as np
import pytest

from tests.delegate import models
from tf_signbin.benchmark.graph import GraphBuilder
from tf_signbin.benchmark.weights import WeightSpec, int8_filters
from tf_signbin.convert.rewrite import pack
from tf_signbin.runtime import Interpreter

BITS = (3, 4, 5, 6)


def low_bit_layer(seed: int, bits: int, **fixed: object) -> models.Layer:
    layer = models.random_layer(np.random.default_rng(seed), "int8", **fixed)
    return dataclasses.replace(layer, input_zero_point=128 - 2**bits)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("seed", range(40))
def test_equals_builtin_reference(runner, seed, bits):
    layer = low_bit_layer(seed, bits)
    x = models.low_bit_input(np.random.default_rng(seed), layer)
    expected = runner.run_builtin_reference(models.one_layer_model(layer, packed=False), x)
    packed = models.one_layer_model(layer, packed=True)
    for threads in (1, 2):
        actual = runner.run(packed, x, num_threads=threads)
        np.testing.assert_array_equal(actual, expected, err_msg=f"seed {seed}: {layer.describe()}")


@pytest.mark.parametrize("seed", range(20))
def test_a_value_below_the_zero_point_is_exact(runner, seed):
    """In the same interpreter calls with such a value and without follow each other."""
    rng = np.random.default_rng(seed)
    layer = low_bit_layer(seed, 4, kind="two_valued")
    good = models.low_bit_input(rng, layer)
    odd = good.copy()
    odd.flat[rng.integers(odd.size)] = rng.integers(-128, layer.input_zero_point)
    builtin = models.one_layer_model(layer, packed=False)
    interpreter = runner.interpreter(models.one_layer_model(layer, packed=True))
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]
    for x in (good, odd, good, odd):
        interpreter.set_tensor(source, x)
        interpreter.invoke()
        expected = runner.run_builtin_reference(builtin, x)
        np.testing.assert_array_equal(
            interpreter.get_tensor(result), expected, err_msg=f"seed {seed}: {layer.describe()}"
        )


def chain(bits: int) -> tuple[bytes, int]:
    """A convolution with ReLU, pooling, and a convolution; its number of signed-binary layers."""
    rng = np.random.default_rng(bits)
    graph = GraphBuilder("int8")
    x = graph.input((1, 18, 18, 24))
    y = graph.conv(x, int8_filters(rng, (40, 3, 3, 24), WeightSpec()), bits=bits)
    y = graph.max_pool(y, 2, 2)
    y = graph.conv(y, int8_filters(rng, (32, 3, 3, 40), WeightSpec()), activation="NONE")
    y = graph.requantize(y, bits)
    return graph.finish(graph.conv(y, int8_filters(rng, (24, 3, 3, 32), WeightSpec()))), 3


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "builtin"])
def test_layers_behind_relu_and_pooling_have_kernels_for_few_bits(packed):
    model, layers = chain(4)
    isa = "avx2" if platform.machine() == "x86_64" else "auto"  # which has tables of bytes
    interpreter = Interpreter(pack(model)[0] if packed else model, isa=isa)
    interpreter.allocate_tensors()
    kernels = [layer.kernel for layer in interpreter.claimed_layers]
    assert len(kernels) == layers
    if any("portable" in kernel for kernel in kernels):
        pytest.skip("the portable kernels have no tables of bytes")
    assert "i8b4" not in kernels[0]
    assert all("i8b4" in kernel for kernel in kernels[1:]), kernels

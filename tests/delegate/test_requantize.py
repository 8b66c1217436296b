"""DEPTHWISE_CONV_2D that only requantizes: the delegate runs it before a layer of its own."""

from __future__ import annotations

import numpy as np
import pytest

from tests.delegate import models
from tests.delegate.test_claims import nodes_left
from tf_signbin.benchmark.graph import INT8, GraphBuilder
from tf_signbin.benchmark.weights import WeightSpec, int8_filters
from tf_signbin.runtime.delegate import supported_isas


def stream_model(
    bits: int, *, reader: bool = True, ones: np.ndarray | None = None, relu: bool = False
) -> bytes:
    """A tensor of 8 bits, requantized, and a signed-binary layer that reads the one or the other.

    ones: other weights of the depthwise convolution; relu: a RELU in its place.
    """
    rng = np.random.default_rng(bits)
    graph = GraphBuilder(INT8)
    x = graph.input((1, 13, 11, 24), 8)
    if relu:
        few = graph._activation(x.shape, x.scale, bits)
        graph._operator("RELU", 1, [x], few, None)
    else:
        few = graph.requantize(x, bits)
    if ones is not None:
        buffer = graph._buffers[graph._tensors[few.index + 1].buffer]
        assert buffer.data.nbytes == 24
        buffer.data = ones.astype(np.int8).view(np.uint8)
    weights = int8_filters(rng, (16, 3, 3, 24), WeightSpec())
    y = graph.conv(few if reader else x, weights, 1)
    return graph.finish(y if reader else graph.add(few, few))


def activations(seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).integers(-128, 128, (1, 13, 11, 24), np.int8)
    x.flat[:256] = np.arange(-128, 128)
    return x


def assert_equal_outputs(runner, model: bytes, x: np.ndarray, **options) -> None:
    expected = models.all_outputs(runner.builtin_reference(model), x)
    for threads in (1, 2):
        interpreter = runner.interpreter(model, num_threads=threads, **options)
        for actual, reference in zip(models.all_outputs(interpreter, x), expected, strict=True):
            np.testing.assert_array_equal(actual, reference)


@pytest.mark.parametrize("isa", supported_isas())
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bits", [3, 4, 5, 6])
def test_equals_the_builtin_reference(runner, bits, relu, isa):
    model, x = stream_model(bits, relu=relu), activations(bits)
    assert nodes_left(runner, model, isa=isa) == (1 if isa == "portable" else 0)
    assert_equal_outputs(runner, model, x, isa=isa)


def test_is_left_to_the_runtime_where_it_is_something_else(runner):
    assert nodes_left(runner, stream_model(4)) == 0
    assert nodes_left(runner, stream_model(4, reader=False)) > 0
    assert nodes_left(runner, stream_model(4), claim_dense=False) == 1
    uneven = np.full(24, 127)
    uneven[7] = 90
    assert nodes_left(runner, stream_model(4, ones=uneven)) == 1
    assert nodes_left(runner, stream_model(4, ones=np.full(24, -127))) == 1
    assert_equal_outputs(runner, stream_model(4, ones=uneven), activations(1))

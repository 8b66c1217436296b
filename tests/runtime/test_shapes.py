"""Models that leave sizes of their inputs open."""

from __future__ import annotations

import numpy as np
import pytest

from tests.format.tflite_builder import conv_model, random_filters
from tf_signbin import Interpreter, unpack
from tf_signbin.benchmark.inputs import random_inputs
from tf_signbin.convert import verify
from tf_signbin.convert.interpret import random_sample, signatures
from tf_signbin.convert.rewrite import pack
from tf_signbin.format.model import read_model, write_model
from tf_signbin.runtime.shapes import chosen_shape


@pytest.mark.parametrize(
    ("shape", "signature", "expected"),
    [
        ([1, 8, 8, 3], None, [1, 8, 8, 3]),
        ([1, 8, 8, 3], [], [1, 8, 8, 3]),
        ([1, 8, 8, 3], [-1, 8, 8, 3], [1, 8, 8, 3]),
        ([1, 1, 1, 3], [-1, -1, -1, 3], [1, 64, 64, 3]),
        ([1, 1, 16], [4, -1, 16], [1, 64, 16]),
        ([0, 1], [0, 1], [1, 1]),
        ([], None, []),
    ],
)
def test_chosen_shape(shape, signature, expected):
    assert chosen_shape(shape, signature) == expected


def open_model() -> tuple[bytes, bytes]:
    """A packed convolution of images of any size, and its stock form."""
    weights = random_filters(np.random.default_rng(0), "two_valued", (8, 3, 3, 16))
    model = read_model(conv_model(weights, (1, 1, 1, 16), bias=np.zeros(8, np.float32)))
    for tensor in model.subgraphs[0].tensors[:1]:
        tensor.shapeSignature = np.array([-1, -1, -1, 16], np.int32)
    stock = write_model(model)
    return pack(stock)[0], stock


@pytest.mark.parametrize("size", [(5, 7), (12, 12), (1, 1)])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_predict(size, batch_size):
    packed, _ = open_model()
    x = np.random.default_rng(1).normal(size=(3, *size, 16)).astype(np.float32)
    result = Interpreter(packed).predict(x, batch_size)
    assert result.shape == (3, *size, 8)
    plain = Interpreter(unpack(packed), claim_builtin=False, on_unclaimed="ignore")
    np.testing.assert_allclose(result, plain.predict(x, batch_size), rtol=1e-4, atol=1e-4)


def test_predict_still_refuses_other_shapes():
    packed, _ = open_model()
    for shape in ((1, 5, 5, 8), (1, 5, 16)):
        with pytest.raises(ValueError, match=r"takes inputs of shape \(-1, -1, -1, 16\), got"):
            Interpreter(packed).predict(np.zeros(shape, np.float32))


def test_verify_and_benchmarks_choose_a_size():
    packed, stock = open_model()
    tree = read_model(stock)
    [signature] = signatures(tree)
    sample = random_sample(tree, signature, np.random.default_rng(0))
    assert sample["x"].shape == (1, 64, 64, 16)
    report = verify(stock, packed, samples=1)
    assert report.ok
    assert len(report.layers) == 1
    interpreter = Interpreter(packed)
    interpreter.allocate_tensors()
    random_inputs(interpreter)
    assert tuple(interpreter.get_input_details()[0]["shape"]) == (1, 64, 64, 16)
    interpreter.invoke()

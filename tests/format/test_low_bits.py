"""Which int8 tensors count as low-bit ones: zero point, and a producer that clamps at it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.format.tflite_builder import Builder, random_filters
from tf_signbin.convert import inspect_model, verify
from tf_signbin.convert.rewrite import pack
from tf_signbin.format.low_bits import ZERO_POINTS, BitCounter

RELU, RELU_N1_TO_1 = 1, 2
THROUGH = {
    "nothing": None, "pool": "MAX_POOL_2D", "average": "AVERAGE_POOL_2D", "reshape": "RESHAPE",
    "requantized": "QUANTIZE", "pad": "PAD", "negated": "NEG", "tanh": "TANH",
}  # fmt: skip


def model(zero: int, activation: int, through: str | None = None, dtype: str = "int8") -> bytes:
    """A convolution, perhaps an operator, and a second convolution that reads its output."""
    rng = np.random.default_rng(0)
    b = Builder()
    quantized = {"scale": 0.1, "zero": zero}
    x = b.tensor((1, 4, 4, 16), "int8", "x", scale=0.1, zero=-128)

    def conv(source: int, name: str, fused: int, **quantization) -> int:
        weights = random_filters(rng, "two_valued", (16, 3, 3, 16), "int8")
        w = b.constant(weights, f"{name}/w", scale=np.full(16, 0.01))
        bias = b.constant(np.zeros(16, np.int32), f"{name}/bias", scale=np.full(16, 0.001))
        y = b.tensor((1, 4, 4, 16), "int8", name, **quantization)
        b.op("CONV_2D", [source, w, bias], [y], "Conv2DOptions", version=3, padding=0,
             strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1,
             fusedActivationFunction=fused)  # fmt: skip
        return y

    middle = conv(x, "first", activation, **quantized)
    if through is not None:
        after = b.tensor((1, 4, 4, 16), "int8", "between", **quantized)
        options = {"filterWidth": 1, "filterHeight": 1, "strideW": 1, "strideH": 1}
        pooling = through.endswith("POOL_2D")
        b.op(through, [middle], [after], "Pool2DOptions" if pooling else "NONE",
             **(options if pooling else {}))  # fmt: skip
        middle = after
    y = conv(middle, "second", 0, scale=0.1, zero=0)
    b.io([x], [y])
    return b.bytes()


def second_bits(data: bytes) -> int:
    return inspect_model(data).layers[1].input_bits


def test_zero_points():
    assert ZERO_POINTS == {120: 3, 112: 4, 96: 5, 64: 6}


@pytest.mark.parametrize("zero", [120, 112, 96, 64, 111, 113, 0, -128, 127])
@pytest.mark.parametrize("packed", [False, True])
def test_zero_point_and_clamp(zero, packed):
    def built(activation: int) -> bytes:
        data = model(zero, activation)
        return pack(data)[0] if packed else data

    assert second_bits(built(RELU)) == ZERO_POINTS.get(zero, 8)
    for activation in (0, RELU_N1_TO_1):  # the zero point alone promises nothing
        assert second_bits(built(activation)) == 8


@pytest.mark.parametrize("name", THROUGH)
def test_operators_between(name):
    expected = 8 if name in ("negated", "tanh") else 4
    assert second_bits(model(112, RELU, THROUGH[name])) == expected
    assert second_bits(model(112, 0, THROUGH[name])) == 8


@pytest.mark.parametrize("other", [RELU, 0])
def test_concatenation_needs_both(other):
    b = Builder()
    quantized = {"scale": 0.1, "zero": 112}
    x = b.tensor((1, 8), "int8", "x", **quantized)
    parts = []
    for activation in (RELU, other):
        parts.append(b.tensor((1, 8), "int8", f"part{len(parts)}", **quantized))
        b.op("ADD", [x, x], [parts[-1]], "AddOptions", fusedActivationFunction=activation)
    y = b.tensor((1, 16), "int8", "y", **quantized)
    b.op("CONCATENATION", parts, [y], "ConcatenationOptions", axis=1)
    b.io([x], [y])
    counter = BitCounter(b.model, b.model.subgraphs[0])
    assert counter.bits(y) == (4 if other == RELU else 8)
    assert counter.bits(x) == 8  # whatever the caller puts there


def test_shown(tmp_path):
    stock = model(96, RELU)
    assert "int8, 5 bits" in str(inspect_model(stock))
    report = verify(stock, pack(stock)[0])
    assert report.ok, report
    assert [check.note for check in report.layers] == ["", "5-bit input"]

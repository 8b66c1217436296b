"""Factors of input channels that a converter multiplied into the filters are taken out again."""

from __future__ import annotations

import numpy as np
import pytest

from tests.convert.models import operators, outputs
from tests.format.tflite_builder import Builder, conv_model, random_filters
from tf_signbin.convert import inspect_model, unpack, verify
from tf_signbin.convert.rewrite import pack
from tf_signbin.convert.unfold import unfold
from tf_signbin.format.pack import unpack_filters

SHAPES = {
    "dense": (48, 1, 1, 64), "few filters": (6, 1, 1, 96), "wide": (96, 1, 1, 256),
    "window": (16, 3, 3, 24),
}  # fmt: skip


def folded(seed: int, kind: str, shape: tuple[int, ...], regions: int = 1, dead: int = 2):
    """Filters with a factor for each input channel, some of them 0, and for each filter."""
    rng = np.random.default_rng(seed)
    few = random_filters(
        rng, "ternary" if kind == "ternary" else "two_valued", shape,
        regions=regions, background=kind == "background", density=0.4,
    )  # fmt: skip
    if kind == "binary":
        few = np.where(few == 0, np.float32(-0.5), np.float32(0.5))
    factors = (rng.normal(size=shape[3]) * np.exp(rng.normal(size=shape[3]))).astype(np.float32)
    factors[rng.choice(shape[3], dead, replace=False)] = 0
    return few * factors * rng.normal(size=(shape[0], 1, 1, 1)).astype(np.float32)


@pytest.mark.parametrize("kind", ["zeros", "background", "binary", "ternary"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_factors_are_found(kind, shape, seed):
    filters = folded(seed, kind, shape)
    factors, packed = unfold(filters)
    again = unpack_filters(packed).astype(np.float64) * factors
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    assert np.max(np.abs(again - filters) / largest) < 2e-6
    assert packed.nbytes < filters.nbytes / 4


@pytest.mark.parametrize("regions", [2, 4])
def test_regions(regions):
    filters = folded(1, "background", (32, 1, 1, 64), regions, dead=0)
    factors, packed = unfold(filters)
    assert packed.regions == regions
    np.testing.assert_allclose(unpack_filters(packed) * factors, filters, rtol=2e-6)


@pytest.mark.parametrize("seed", range(5))
def test_dense_filters_are_no_products(seed):
    rng = np.random.default_rng(seed)
    for shape in ((1, 1, 1, 64), (3, 1, 1, 32), (4, 1, 1, 8), (64, 3, 3, 32), (128, 1, 1, 256)):
        assert unfold(rng.normal(size=shape).astype(np.float32)) is None
    few = folded(seed, "zeros", (32, 1, 1, 64))
    noise = 1 + 1e-4 * rng.normal(size=few.shape)
    assert unfold((few * noise).astype(np.float32)) is None
    half = np.concatenate([few, rng.normal(size=few.shape).astype(np.float32)])
    assert unfold(half) is None
    assert unfold(np.full((8, 1, 1, 16), np.nan, np.float32)) is None
    assert unfold(few.astype(np.int8)) is None


@pytest.mark.parametrize("layout", ["custom_op", "builtin"])
@pytest.mark.parametrize("fully_connected", [True, False])
def test_packed_model_computes_the_same(layout, fully_connected):
    weights = folded(4, "background", SHAPES["dense"])
    x_shape = (3, 64) if fully_connected else (1, 6, 6, 64)
    bias = np.random.default_rng(1).normal(size=len(weights)).astype(np.float32)
    stock = conv_model(weights, x_shape, bias=bias, fully_connected=fully_connected)
    data, [report] = pack(stock, layout=layout)
    assert report.status == ("packed" if layout == "custom_op" else "kept builtin")
    assert operators(data)[0] == "MUL"
    assert len(operators(data)) == 2
    plain = unpack(data)
    # The filters are stored once: 4 bytes a weight, as before.
    assert len(plain) < len(stock) + 4 * weights.shape[3] + 1024
    for key, expected in outputs(stock).items():
        np.testing.assert_allclose(outputs(plain)[key], expected, rtol=1e-5, atol=1e-5)
    assert pack(plain)[0] == pack(stock)[0]
    if layout == "custom_op":
        report = verify(stock, data)  # the layer against the stock one, and the MUL with it
        assert report.ok, report
        assert len(report.layers) == 1
        assert [layer.status for layer in inspect_model(data).layers] == ["already packed"]


def test_verification_notices_wrong_factors():
    stock = conv_model(folded(4, "zeros", SHAPES["dense"]), (3, 64), fully_connected=True)
    data = pack(stock)[0]
    factors = unfold(folded(4, "zeros", SHAPES["dense"]))[0]
    place = data.index(factors.tobytes())
    wrong = factors.copy()
    wrong[np.flatnonzero(factors)[0]] *= 1.01
    data = data[:place] + wrong.tobytes() + data[place + factors.nbytes :]
    report = verify(stock, data)
    assert not report.layers[0].ok
    assert not report.ok


def test_filters_of_two_layers():
    """Each layer gets a MUL of its own, though they share a filter."""
    b = Builder()
    weights = folded(5, "background", (32, 1, 1, 32)).reshape(32, 32)
    x = b.tensor((2, 32), "float32", "x")
    w = b.constant(weights, "w")
    tensors = [x]
    for name in ("y", "z"):
        tensors.append(b.tensor((2, 32), "float32", name))
        b.op("FULLY_CONNECTED", [tensors[-2], w, -1], [tensors[-1]], "FullyConnectedOptions",
             version=5)  # fmt: skip
    b.io([x], [tensors[-1]])
    stock = b.bytes()
    data, reports = pack(stock)
    assert [report.status for report in reports] == ["packed"] * 2
    assert [name.removeprefix("TfSignBin") for name in operators(data)] == [
        "MUL", "FullyConnected", "MUL", "FullyConnected",
    ]  # fmt: skip
    assert verify(stock, data).ok


def test_flattened_input_keeps_its_filters():
    """[1, 4, 4, 4] seen as 64 channels: a factor of 64 channels does not fit the tensor."""
    weights = folded(6, "zeros", (16, 1, 1, 64))
    stock = conv_model(weights, (1, 4, 4, 4), fully_connected=True)
    data, [report] = pack(stock)
    assert data == stock
    assert report.status == "dense"

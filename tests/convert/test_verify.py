"""Verification passes equal models and catches every kind of difference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.convert.models import (
    QUANT,
    int8_conv,
    one_conv,
    shared_filter_model,
    two_signature_model,
    while_model,
)
from tests.format.tflite_builder import conv_model, random_filters
from tf_signbin.convert import ConversionReport, VerificationError, convert, verify
from tf_signbin.convert.converter import LAYOUTS
from tf_signbin.convert.rewrite import pack
from tf_signbin.format import ModelError, decode_options, encode_options
from tf_signbin.format.model import constant, indices, read_model, write_model
from tf_signbin.runtime import DelegateError, delegate_path


def dense_int8() -> bytes:
    weights = random_filters(np.random.default_rng(5), "two_valued", (8, 1, 1, 64), "int8")
    bias = np.arange(8, dtype=np.int32)
    return conv_model(weights, (2, 64), bias=bias, quant=QUANT, fully_connected=True)


MODELS = {
    "float": one_conv, "int8": int8_conv, "fully connected int8": dense_int8,
    "shared filter": shared_filter_model, "two signatures": two_signature_model,
    "control flow": while_model,
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("delegate", [False, True])
def test_equal_models(name, delegate):
    if delegate:
        try:
            delegate_path()
        except DelegateError as error:
            pytest.skip(str(error))
    stock = MODELS[name]()
    report = verify(stock, pack(stock)[0], delegate=delegate)
    assert report.ok, str(report)
    assert report.layers
    assert report.outputs
    assert report.executed_by == ("delegate" if delegate else "unpacked")
    if "int8" in name:
        assert all(check.limit == check.error == 0 for check in report.layers)


def corrupt(packed: bytes, tensor: int, flip) -> bytes:
    """Changes input `tensor` of the first operator of a packed model."""
    model = read_model(packed)
    graph = model.subgraphs[0]
    target = graph.tensors[indices(graph.operators[0].inputs)[tensor]]
    data = constant(model, target).copy()
    flip(data)
    model.buffers[target.buffer].data = np.frombuffer(data.tobytes(), np.uint8)
    return write_model(model)


@pytest.mark.parametrize("name", ["float", "int8", "fully connected int8"])
@pytest.mark.parametrize("tensor", [1, 2, 3])
def test_wrong_constants_are_caught(name, tensor):
    stock = MODELS[name]()

    def flip(data):
        if tensor == 1:
            data[0, 3, 5] ^= 4  # one weight of filter 3
        elif tensor == 2:
            data[3, 0, 1] *= -1
        else:
            data[3] += 1000

    damaged = corrupt(pack(stock)[0], tensor, flip)
    report = verify(stock, damaged, samples=1, delegate=False)
    assert not report.ok
    assert not report.layers[0].ok
    assert not report.outputs[0].ok
    assert "DIFFERS" in str(report)


def test_wrong_options_are_caught():
    stock = one_conv()
    model = read_model(pack(stock)[0])
    operator = model.subgraphs[0].operators[0]
    options = decode_options(bytes(operator.customOptions))
    changed = encode_options(type(options)(**{**vars(options), "stride_h": 2}))
    operator.customOptions = np.frombuffer(changed, np.uint8)
    report = verify(stock, write_model(model), samples=1, delegate=False)
    assert "shape" in report.layers[0].note
    assert not report.ok


def test_a_layer_that_no_sample_reaches_is_caught_too():
    stock = while_model()
    model = read_model(pack(stock)[0])
    graph = model.subgraphs[2]
    masks = graph.tensors[indices(graph.operators[0].inputs)[1]]
    model.buffers[masks.buffer].data = np.asarray(model.buffers[masks.buffer].data) ^ 255
    report = verify(stock, write_model(model), samples=1, delegate=False)
    assert report.outputs[0].ok
    assert not report.layers[0].ok


def test_given_data():
    stock = two_signature_model()
    packed = pack(stock)[0]
    x = np.ones((3, 6, 6, 8), np.float32)
    report = verify(stock, packed, [{"image": x}, [x]], delegate=False)
    assert report.ok
    assert report.samples == 4
    with pytest.raises(ValueError, match="'picture'"):
        verify(stock, packed, [{"picture": x}], delegate=False)
    with pytest.raises(ValueError, match="2 arrays for 1 inputs"):
        verify(stock, packed, [[x, x]], delegate=False)


def test_models_that_do_not_belong_together():
    packed = pack(one_conv())[0]
    with pytest.raises(ModelError, match="subgraphs"):
        verify(two_signature_model(), packed)
    with pytest.raises(ModelError, match="no tensor"):
        verify(shared_filter_model(), packed)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_convert_verifies(layout):
    report = ConversionReport()
    data = convert(int8_conv(), verify=True, layout=layout, report=report)
    assert data
    assert (report.verification is None) == (layout == "builtin")
    assert "y" in str(report)
    assert report.to_dict()["layers"][0]["name"] == "y"


def test_convert_refuses_a_file_that_differs(monkeypatch):
    from tf_signbin.convert import rewrite

    real_pack = rewrite.pack

    def wrong_pack(*args, **kwargs):
        data, reports = real_pack(*args, **kwargs)
        return corrupt(data, 2, lambda values: np.negative(values, out=values)), reports

    monkeypatch.setattr(rewrite, "pack", wrong_pack)
    with pytest.raises(VerificationError, match="DIFFERS"):
        convert(int8_conv(), verify=True)

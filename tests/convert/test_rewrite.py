"""The rewrite of .tflite files, on models built operator by operator; no TensorFlow needed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.convert.models import (
    QUANT,
    Convs,
    assert_same_outputs,
    filters,
    int8_conv,
    one_conv,
    operators,
    shared_filter_model,
    two_signature_model,
    while_model,
)
from tests.format.tflite_builder import conv_model, random_filters
from tf_signbin.convert import inspect_model, unpack
from tf_signbin.convert.rewrite import pack
from tf_signbin.format import ModelError
from tf_signbin.format.model import indices, read_model, text
from tf_signbin.format.reference import Int8Quantization


@pytest.mark.parametrize("kind", ["two_valued", "ternary", "background"])
@pytest.mark.parametrize("regions", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("fully_connected", [False, True])
def test_round_trip(kind, regions, dtype, fully_connected):
    rng = np.random.default_rng(3)
    shape = (8, 1, 1, 64) if fully_connected else (8, 3, 3, 16)
    weights = random_filters(
        rng, "ternary" if kind == "ternary" else "two_valued", shape, dtype,
        regions=regions, background=kind == "background",
    )  # fmt: skip
    quant = QUANT if dtype == "int8" else None
    bias = rng.normal(size=8) if quant is None else rng.integers(-99, 99, 8)
    stock = conv_model(
        weights, (2, 64) if fully_connected else (1, 5, 6, 16), quant=quant,
        bias=bias.astype(np.float32 if quant is None else np.int32), activation="RELU",
        fully_connected=fully_connected,
        **({} if fully_connected else {"stride": (2, 1), "dilation": (1, 2)}),
    )  # fmt: skip
    packed, [report] = pack(stock)
    op = "TfSignBinFullyConnected" if fully_connected else "TfSignBinConv2D"
    assert operators(packed) == [op]
    assert report.status == "packed"
    assert report.kind == ("ternary" if kind == "ternary" else "two_valued")
    assert report.packed_bytes < report.dense_bytes
    assert operators(unpack(packed)) == operators(stock)
    assert_same_outputs(stock, unpack(packed))
    assert pack(unpack(packed))[0] == packed


def test_same_model_same_bytes():
    assert pack(one_conv())[0] == pack(one_conv())[0]


def test_packed_files_stay_as_they_are():
    packed, _ = pack(one_conv())
    again, [report] = pack(packed)
    assert again == packed
    assert report.status == "already packed"


def test_dense_models_stay_as_they_are():
    stock = one_conv(filters(kind="dense"))
    data, [report] = pack(stock)
    assert data == stock
    assert report.status == "dense"
    assert "distinct values" in report.reason
    assert unpack(stock) == stock


def test_builtin_layout_only_reports():
    data, [report] = pack(one_conv(), layout="builtin")
    assert data == one_conv()
    assert report.status == "kept builtin"


def test_inputs_of_a_packed_operator_are_as_specified():
    packed, _ = pack(int8_conv())
    model = read_model(packed)
    [operator], tensors = model.subgraphs[0].operators, model.subgraphs[0].tensors
    x, masks, values, bias = (tensors[i] for i in indices(operator.inputs))
    assert text(x.name) == "x"
    assert text(masks.name) == "w"
    assert text(bias.name) == "bias"
    assert list(masks.shape) == [1, 8, 9]
    assert list(values.shape) == [8, 1, 2]
    np.testing.assert_array_equal(values.quantization.scale, QUANT.filter_scales)
    np.testing.assert_array_equal(values.quantization.zeroPoint, np.zeros(8))
    assert values.quantization.quantizedDimension == 0


def test_missing_bias():
    # TFLite itself runs no convolution without a bias; other runtimes' files may have none.
    stock = conv_model(filters(), (1, 6, 6, 8))
    packed, _ = pack(stock)
    assert indices(read_model(packed).subgraphs[0].operators[0].inputs)[3] == -1
    with_zeros = conv_model(filters(), (1, 6, 6, 8), bias=np.zeros(8, np.float32))
    assert_same_outputs(with_zeros, unpack(packed))
    fully_connected = conv_model(filters(shape=(8, 1, 1, 64)), (2, 64), fully_connected=True)
    assert_same_outputs(fully_connected, unpack(pack(fully_connected)[0]))


@pytest.mark.parametrize("signs", ["positive", "negative", "mixed"])
def test_scales_of_either_sign(signs):
    factor = {"positive": 1, "negative": -1, "mixed": np.where(np.arange(8) % 2, 1, -1)}[signs]
    scales = (QUANT.filter_scales * factor).astype(np.float32)
    stock = int8_conv(Int8Quantization(0.05, -3, scales, 0.2, 7))
    packed, [report] = pack(stock)
    assert report.status == "packed"
    assert_same_outputs(stock, unpack(packed))


def test_one_scale_for_all_filters():
    one = Int8Quantization(0.05, -3, np.array([2e-3], np.float32), 0.2, 7)
    for stock in (
        int8_conv(one),
        conv_model(filters(dtype="int8", shape=(8, 1, 1, 64)), (2, 64), quant=one,
                   bias=np.arange(8, dtype=np.int32), fully_connected=True),
    ):  # fmt: skip
        packed, [report] = pack(stock)
        assert report.status == "packed"
        assert_same_outputs(stock, unpack(packed))


def test_all_zero_filters():
    weights = filters()
    weights[[0, 5]] = 0
    stock = one_conv(weights)
    packed, [report] = pack(stock)
    assert report.status == "packed"
    assert_same_outputs(stock, unpack(packed))
    assert pack(one_conv(np.zeros((8, 3, 3, 8), np.float32)))[1][0].status == "packed"


def test_a_filter_used_twice_is_stored_once():
    stock = shared_filter_model()
    packed, reports = pack(stock)
    assert [report.status for report in reports] == ["packed", "packed"]
    first, second = read_model(packed).subgraphs[0].operators
    assert indices(first.inputs)[1:3] == indices(second.inputs)[1:3]
    assert len(read_model(packed).buffers) == 1 + 3  # masks, values, bias
    assert_same_outputs(stock, unpack(packed))


def test_a_filter_with_another_reader_stays():
    b = Convs()
    x = b.tensor((1, 6, 6, 8), "float32", "x")
    w = b.constant(filters(), "w")
    bias = b.constant(np.ones(8, np.float32), "bias")
    y = b.conv(x, w, bias, "y")
    z = b.tensor((8, 3, 3, 8), "float32", "z")
    b.op("ABS", [w], [z], "AbsOptions")
    b.io([x], [y, z])
    stock = b.bytes()
    packed, _ = pack(stock)
    assert operators(packed) == ["TfSignBinConv2D", "ABS"]
    assert_same_outputs(stock, unpack(packed))


def test_a_filter_that_is_an_output_stays():
    b = Convs()
    x = b.tensor((1, 6, 6, 8), "float32", "x")
    w = b.constant(filters(), "w")
    y = b.conv(x, w, b.constant(np.ones(8, np.float32), "bias"), "y")
    b.io([x], [y, w])
    stock = b.bytes()
    packed, _ = pack(stock)
    assert operators(packed) == ["TfSignBinConv2D"]
    assert_same_outputs(stock, unpack(packed))


def test_subgraphs_signatures_and_metadata():
    stock = two_signature_model()
    packed, reports = pack(stock)
    assert [(r.name, r.subgraph, r.status) for r in reports] == [
        ("encode/conv", 0, "packed"), ("decode/conv", 1, "packed"),
    ]  # fmt: skip
    model = read_model(packed)
    assert [text(s.signatureKey) for s in model.signatureDefs] == ["encode", "decode"]
    [metadata] = model.metadata
    assert bytes(model.buffers[metadata.buffer].data) == b"tests"
    # Empty buffer, masks and values once, two biases, metadata: nothing else is left.
    assert len(model.buffers) == 6
    names = [text(tensor.name) for graph in model.subgraphs for tensor in graph.tensors]
    assert {"encode_x", "encode_y", "decode_x", "decode_y", "encode/conv/Conv2D"} <= set(names)
    assert_same_outputs(stock, unpack(packed))


def test_operator_codes_without_operators_are_dropped():
    packed, _ = pack(shared_filter_model())
    assert len(read_model(packed).operatorCodes) == 1


@pytest.mark.parametrize("stored", ["float16", "int8"])
def test_weights_behind_a_dequantize(stored):
    b = Convs()
    x = b.tensor((1, 6, 6, 8), "float32", "x")
    weights = filters(kind="two_valued", background=True)
    if stored == "float16":
        source = b.constant(weights.astype(np.float16), "w16")
    else:
        levels = filters(dtype="int8", background=True)
        source = b.constant(levels, "w8", scale=QUANT.filter_scales)
    w = b.tensor(weights.shape, "float32", "w")
    b.op("DEQUANTIZE", [source], [w], "DequantizeOptions", version=3)
    bias16 = b.constant(np.arange(8, dtype=np.float16), "bias16")
    bias = b.tensor([8], "float32", "bias")
    b.op("DEQUANTIZE", [bias16], [bias], "DequantizeOptions", version=3)
    y = b.conv(x, w, bias, "y")
    b.io([x], [y])
    stock = b.bytes()
    packed, [report] = pack(stock)
    assert report.status == "packed"
    assert operators(packed) == ["TfSignBinConv2D"]
    assert_same_outputs(stock, unpack(packed))


def test_control_flow_bodies_are_packed():
    stock = while_model()
    packed, [report] = pack(stock)
    assert (report.status, report.subgraph) == ("packed", 2)
    assert_same_outputs(stock, unpack(packed))


# Layers that stay dense, and the words that say why.


def dense_reason(stock: bytes) -> str:
    data, reports = pack(stock)
    assert data == stock
    [report] = [r for r in reports if r.status == "dense"]
    return report.reason


def test_grouped_convolution():
    b = Convs()
    x = b.tensor((1, 6, 6, 16), "float32", "x")
    y = b.conv(x, b.constant(filters(), "w"), b.constant(np.ones(8, np.float32), "b"), "y")
    b.io([x], [y])
    assert "grouped convolution (16 input channels, 8" in dense_reason(b.bytes())


def test_fused_tanh():
    assert "TANH" in dense_reason(one_conv(activation="TANH"))


def test_dynamic_range_quantization():
    b = Convs()
    x = b.tensor((1, 6, 6, 8), "float32", "x")
    w = b.constant(filters(dtype="int8"), "w", scale=QUANT.filter_scales)
    y = b.conv(x, w, b.constant(np.ones(8, np.float32), "b"), "y")
    b.io([x], [y])
    assert "activations='float32' or 'int8'" in dense_reason(b.bytes())


def test_int16_activations():
    b = Convs()
    x = b.tensor((1, 6, 6, 8), "int16", "x", scale=0.1)
    w = b.constant(filters(dtype="int8"), "w", scale=QUANT.filter_scales)
    y = b.tensor((1, 6, 6, 8), "int16", "y", scale=0.1)
    bias = b.constant(np.ones(8, np.int64), "b", scale=QUANT.filter_scales)
    b.op("CONV_2D", [x, w, bias], [y], "Conv2DOptions", strideH=1, strideW=1)
    b.io([x], [y])
    assert "int16" in dense_reason(b.bytes())


def test_zero_points_of_weights():
    b = Convs()
    x = b.tensor((1, 6, 6, 8), "int8", "x", scale=0.1)
    w = b.constant(filters(dtype="int8"), "w", scale=0.01, zero=3)
    y = b.tensor((1, 6, 6, 8), "int8", "y", scale=0.1)
    bias = b.constant(np.ones(8, np.int32), "b", scale=0.001)
    b.op("CONV_2D", [x, w, bias], [y], "Conv2DOptions", strideH=1, strideW=1)
    b.io([x], [y])
    assert "zero point" in dense_reason(b.bytes())


def test_computed_filters():
    b = Convs()
    x = b.tensor((1, 6, 6, 8), "float32", "x")
    w = b.tensor((8, 3, 3, 8), "float32", "w")
    y = b.conv(x, w, b.constant(np.ones(8, np.float32), "b"), "y")
    b.io([x, w], [y])
    assert "not a constant" in dense_reason(b.bytes())


def test_other_operators_with_weights():
    b = Convs()
    x = b.tensor((1, 6, 6, 8), "float32", "x")
    y = b.tensor((1, 6, 6, 8), "float32", "y")
    w = b.constant(filters(shape=(1, 3, 3, 8)), "w")
    b.op("DEPTHWISE_CONV_2D", [x, w, b.constant(np.ones(8, np.float32), "b")], [y],
         "DepthwiseConv2DOptions", strideH=1, strideW=1, depthMultiplier=1)  # fmt: skip
    b.io([x], [y])
    assert "depthwise" in dense_reason(b.bytes())
    b = Convs()
    x = b.tensor((1, 6, 8), "float32", "x")
    y = b.tensor((1, 6, 8), "float32", "y")
    w = b.constant(filters(shape=(1, 1, 8, 8))[0], "w")
    b.op("BATCH_MATMUL", [x, w], [y], "BatchMatMulOptions")
    b.op("BATCH_MATMUL", [x, y], [b.tensor((1, 6, 6), "float32", "z")], "BatchMatMulOptions")
    b.io([x], [y])
    assert "matrix products" in dense_reason(b.bytes())


def test_weights_that_do_not_fill_their_shape():
    b = Convs()
    x = b.tensor((1, 6, 6, 8), "float32", "x")
    w = b.tensor((8, 3, 3, 2**30), "float32", "w", data=filters())
    y = b.conv(x, w, b.constant(np.ones(8, np.float32), "b"), "y")
    b.io([x], [y])
    with pytest.raises(ModelError, match="'w' has 2304 bytes"):
        pack(b.bytes())


@pytest.mark.parametrize("scales", [0, 3])
def test_inconsistent_scale_counts(scales):
    b = Convs()
    x = b.tensor((1, 6, 6, 8), "int8", "x", scale=0.1)
    w = b.constant(filters(dtype="int8"), "w", scale=np.ones(scales, np.float32))
    y = b.tensor((1, 6, 6, 8), "int8", "y", scale=0.1)
    bias = b.constant(np.ones(8, np.int32), "b", scale=0.001)
    b.op("CONV_2D", [x, w, bias], [y], "Conv2DOptions", strideH=1, strideW=1)
    b.io([x], [y])
    assert "scales" in dense_reason(b.bytes())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, op: setattr(op, "inputs", op.inputs[:3]), "has 3 inputs"),
        (lambda m, op: setattr(op, "inputs", np.array([0, -1, 1, 2], np.int32)), "inputs"),
        (lambda m, op: setattr(op, "customOptions", None), "options have 0 bytes"),
        (lambda m, op: setattr(op, "customOptions", op.customOptions[4:]), "options"),
        (lambda m, op: setattr(op, "inputs", np.array([0, 0, 1, 2], np.int32)), "constants"),
        (lambda m, op: setattr(op, "inputs", np.array([0, 2, 2, 2], np.int32)), "masks tensor"),
    ],
)  # fmt: skip
def test_damaged_packed_operators_are_named(change, message):
    packed, _ = pack(int8_conv())
    model = read_model(packed)
    change(model, model.subgraphs[0].operators[0])
    from tf_signbin.format.model import write_model

    damaged = write_model(model)
    for read in (unpack, inspect_model, pack):
        with pytest.raises(ModelError, match=f"model: operator 'y': .*{message}"):
            read(damaged)

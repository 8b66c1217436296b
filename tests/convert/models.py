"""Small models built operator by operator, and how two are compared; no TensorFlow needed."""

from __future__ import annotations

import functools

import numpy as np

from tests.format.tflite_builder import Builder, conv_model, random_filters
from tf_signbin.convert.interpret import Runner, random_sample, signatures
from tf_signbin.convert.rewrite import pack
from tf_signbin.format.model import operator_name, read_model, write_model
from tf_signbin.format.reference import Int8Quantization


def operators(data: bytes, graph: int = 0) -> list[str]:
    model = read_model(data)
    return [operator_name(model, op) for op in model.subgraphs[graph].operators]


def outputs(data: bytes, seed: int = 0) -> dict[str, np.ndarray]:
    """All outputs of all signatures, by TFLite's builtin reference kernels, on random input."""
    model = read_model(data)
    found = {}
    for signature in signatures(model):
        sample = random_sample(model, signature, np.random.default_rng(seed))
        for name, value in Runner(data, signature).run(sample).items():
            found[f"{signature.key}/{name}"] = value
    return found


def assert_same_outputs(expected: bytes, actual: bytes) -> None:
    before, after = outputs(expected), outputs(actual)
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


class Convs(Builder):
    """Adds float convolutions (3x3, SAME) and dense layers to a model."""

    def conv(self, x: int, w: int, bias: int, name: str, **options) -> int:
        graph = self.model.subgraphs[-1]
        shape = [*graph.tensors[x].shape[:3], graph.tensors[w].shape[0]]
        y = self.tensor(shape, "float32", name)
        options = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1} | options
        self.op("CONV_2D", [x, w, bias], [y], "Conv2DOptions", padding=0, **options)
        return y


def filters(seed=0, shape=(8, 3, 3, 8), kind="two_valued", **options) -> np.ndarray:
    return random_filters(np.random.default_rng(seed), kind, shape, **options)


def one_conv(weights: np.ndarray | None = None, **options) -> bytes:
    weights = filters() if weights is None else weights
    bias = np.random.default_rng(9).normal(size=len(weights)).astype(np.float32)
    return conv_model(weights, (1, 6, 6, weights.shape[3]), bias=bias, **options)


QUANT = Int8Quantization(0.05, -3, np.geomspace(1e-3, 1e-2, 8).astype(np.float32), 0.2, 7)


def int8_conv(quant=QUANT, seed=0, **options) -> bytes:
    weights = filters(seed, dtype="int8")
    bias = np.random.default_rng(seed).integers(-999, 999, 8).astype(np.int32)
    return conv_model(weights, (1, 6, 6, 8), bias=bias, quant=quant, **options)


def shared_filter_model() -> bytes:
    b = Convs()
    x = b.tensor((1, 6, 6, 8), "float32", "x")
    w = b.constant(filters(), "w")
    bias = b.constant(np.ones(8, np.float32), "bias")
    y = b.conv(b.conv(x, w, bias, "y0"), w, bias, "y1", fusedActivationFunction=1)
    b.io([x], [y])
    return b.bytes()


def two_signature_model() -> bytes:
    """Two subgraphs with a signature each, whose filters lie in one buffer; and metadata."""
    b = Convs()
    weights, bias = filters(), np.ones(8, np.float32)
    buffer = b.buffer(weights)
    for number, key in enumerate(("encode", "decode")):
        if number:
            b.graph()
        x = b.tensor((1, 6, 6, 8), "float32", f"{key}_x")
        w = b.tensor(weights.shape, "float32", f"{key}/conv/Conv2D", buffer=buffer)
        y = b.conv(x, w, b.constant(bias + number, "bias"), f"{key}_y")
        b.io([x], [y])
        b.signature(key, {"image": x}, {"features": y}, number)
    unused = b.buffer(np.arange(1000))
    assert unused
    b.model.metadata = [b.fb.MetadataT(b"origin", b.buffer(np.frombuffer(b"tests", np.uint8)))]
    return b.bytes()


def while_model() -> bytes:
    """A loop whose body, a convolution, runs never (so that the test ends for any input)."""
    b = Convs()
    x = b.tensor((1, 6, 6, 8), "float32", "x")
    y = b.tensor((1, 6, 6, 8), "float32", "y")
    b.op("WHILE", [x], [y], "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2)
    b.io([x], [y])
    b.graph()
    cx = b.tensor((1, 6, 6, 8), "float32", "cx")
    never = b.constant(np.full((), -1e30, np.float32), "never")
    total = b.tensor((), "float32", "total")
    axes = b.constant(np.arange(4, dtype=np.int32), "axes")
    b.op("SUM", [cx, axes], [total], "ReducerOptions", keepDims=False)
    less = b.tensor((), "bool", "less")
    b.op("LESS", [total, never], [less], "LessOptions")
    b.io([cx], [less])
    b.graph()
    bx = b.tensor((1, 6, 6, 8), "float32", "bx")
    by = b.conv(bx, b.constant(filters(), "w"), b.constant(np.ones(8, np.float32), "b"), "by")
    b.io([bx], [by])
    return b.bytes()


@functools.cache
def sound_files() -> list[bytes]:
    """Stock and packed files with convolutions, two signatures, and a loop."""
    stock = [int8_conv(), two_signature_model(), while_model()]
    return stock + [pack(data)[0] for data in stock]


def without_metadata(data):
    """The file without the record of what it was converted from."""
    model = read_model(data)
    for entry in model.metadata:
        model.buffers[entry.buffer].data = None
    return write_model(model)

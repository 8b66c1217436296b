"""Sensibly damaged models through convert, inspect, unpack and verify: a result, or an error of a
documented type that names the file or the tensor. Replay one with TF_SIGNBIN_SEED=<seed>."""

from __future__ import annotations

import copy
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from flatbuffers import flexbuffers

from tests.convert.models import filters, int8_conv
from tests.delegate import models
from tests.reliability import mutate
from tests.reliability.readers import READERS, outcome
from tf_signbin.cli import main
from tf_signbin.convert import inspect_model, unpack, verify
from tf_signbin.convert.rewrite import pack
from tf_signbin.format import ModelError, reference
from tf_signbin.format.detect import detect
from tf_signbin.format.model import read_model, write_model


def seeds(count: int) -> list[int]:
    named = os.environ.get("TF_SIGNBIN_SEED")
    return [int(named)] if named else list(range(count))


def mutant(seed: int) -> tuple[bytes, bytes]:
    rng = np.random.default_rng(seed)
    sound = mutate.sound_model(rng)
    return sound, mutate.mutate(rng, sound)


def checked(seed: int, name: str, read, *arguments) -> str:
    result = outcome(read, *arguments)
    assert result in ("result", "error"), f"seed {seed}: {name}: {result}"
    return result


@pytest.fixture
def little_memory():
    """256 MiB more than the process has: what a file of kilobytes asks for beyond that is an error
    of the test, MemoryError."""
    resource = pytest.importorskip("resource")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * os.sysconf("SC_PAGE_SIZE") + (256 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_the_limit_works(little_memory):
    with pytest.raises(MemoryError):
        np.ones(512 << 20, np.uint8)


def test_every_way_to_read_a_model(little_memory):
    counts = Counter()
    for seed in seeds(400):
        _, data = mutant(seed)
        for name, read in READERS.items():
            counts[name, checked(seed, name, read, data)] += 1
    if "TF_SIGNBIN_SEED" not in os.environ:
        for name in READERS:
            assert counts[name, "result"] > 100, name
            assert counts[name, "error"] > 100, name


def test_verify_against_the_sound_model():
    """The stock runtime runs both files here, on its reference kernels."""
    counts = Counter()
    for seed in seeds(150):
        counts[checked(seed, "verify", verify, *mutant(seed))] += 1
    if "TF_SIGNBIN_SEED" not in os.environ:
        assert counts["result"] > 10
        assert counts["error"] > 50


def fully_connected(**options) -> bytes:
    layer = models.random_layer(np.random.default_rng(0), "float32", op="fc", shape=(5, 1, 1, 24))
    blob = bytes(flexbuffers.Dumps(layer.options | options))
    return models.one_layer_model(layer, packed=True, options=blob)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_h": 2, "kernel_w": 2, "in_channels": 6}, "kernel_h is 2"),
        ({"stride_w": 2}, "stride_w is 2"),
        ({"padding": "SAME"}, "padding is 'SAME'"),
    ],
)
@pytest.mark.parametrize("read", [unpack, inspect_model])
def test_convolution_options_in_a_fully_connected_layer(read, options, message):
    with pytest.raises(ModelError, match=rf"output.*{message}"):
        read(fully_connected(**options))


def test_operators_that_share_masks_but_not_values():
    packed, _ = pack(int8_conv())
    model = read_model(packed)
    (graph,) = model.subgraphs
    first = graph.operators[0]
    second = copy.deepcopy(first)
    values = copy.deepcopy(graph.tensors[first.inputs[2]])
    output = copy.deepcopy(graph.tensors[first.outputs[0]])
    graph.tensors += [values, output]
    second.inputs = np.array([*first.inputs[:2], len(graph.tensors) - 2, first.inputs[3]], np.int32)
    second.outputs = np.array([len(graph.tensors) - 1], np.int32)
    graph.operators.append(second)
    graph.outputs = np.array([*graph.outputs, len(graph.tensors) - 1], np.int32)
    with pytest.raises(ModelError, match="two operators share it"):
        unpack(write_model(model))


def test_the_specification_needs_no_memory_for_a_huge_dilation():
    packed = detect(filters()).packed
    options = packed.options(dilation_h=2**30, dilation_w=3, padding="SAME")
    x = np.random.default_rng(0).normal(size=(1, 5, 9, 8)).astype(np.float32)
    result = reference.conv_2d(x, packed, options)
    assert result.shape == (1, 5, 9, 8)
    # Only the middle row of the kernel meets the image.
    weights = filters()[:, 1:2]
    alone = detect(weights).packed
    expected = reference.conv_2d(x, alone, alone.options(dilation_w=3, padding="SAME"))
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_verify_names_the_model_that_does_not_run(tmp_path, capsys):
    """On the command line too: a message, no traceback."""
    stock = read_model(int8_conv())
    stock.operatorCodes[0].version = 99
    with pytest.raises(ModelError, match="stock model: the runtime cannot run it"):
        verify(write_model(stock), pack(int8_conv())[0])
    for name, data in (("stock", write_model(stock)), ("packed", pack(int8_conv())[0])):
        (tmp_path / name).write_bytes(data)
    assert main(["verify", str(tmp_path / "stock"), str(tmp_path / "packed")]) == 1
    assert "stock model: the runtime cannot run it" in capsys.readouterr().err


def test_no_random_data_for_a_huge_input():
    packed, _ = pack(int8_conv())
    changed = []
    for data in (int8_conv(), packed):
        model = read_model(data)
        tensor = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
        tensor.shape = np.array([1, 1 << 20, 1 << 20, 8], np.int32)
        changed.append(write_model(model))
    with pytest.raises(ModelError, match=r"too large for random data|the runtime cannot run it"):
        verify(*changed)

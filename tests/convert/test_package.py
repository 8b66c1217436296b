"""What importing and using the converter on .tflite files needs, and how small its files are."""

import subprocess
import sys

import pytest

from tf_signbin.benchmark.networks import network_model
from tf_signbin.benchmark.weights import WeightSpec
from tf_signbin.convert import inspect_model
from tf_signbin.convert.rewrite import pack
from tf_signbin.format.model import indices, read_model, text

PROGRAM = """
import sys
from tests.convert.models import one_conv
import tf_signbin
data = tf_signbin.convert(one_conv(), verify=True)
tf_signbin.inspect_model(data)
tf_signbin.unpack(data)
loaded = {name.split(".")[0] for name in sys.modules} & {"tensorflow", "tf_keras", "keras"}
sys.exit(f"imported {loaded}" if loaded else 0)
"""


def test_tflite_files_are_converted_without_tensorflow():
    pytest.importorskip("ai_edge_litert")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def bytes_of(data: bytes, layers: set[str]) -> int:
    """All bytes of the given layers: constants, quantization (4 + 8 bytes a scale), options."""
    model = read_model(data)
    graph = model.subgraphs[0]
    total = 0
    for operator in graph.operators:
        if text(graph.tensors[indices(operator.outputs)[0]].name) not in layers:
            continue
        total += 0 if operator.customOptions is None else len(operator.customOptions)
        for index in indices(operator.inputs)[1:]:
            tensor = graph.tensors[index]
            total += len(model.buffers[tensor.buffer].data)
            if tensor.quantization is not None and tensor.quantization.scale is not None:
                total += 12 * len(tensor.quantization.scale)
    return total


def test_resnet18_int8_is_at_most_a_seventh():
    stock = network_model("resnet18", "int8", WeightSpec())
    packed, reports = pack(stock)
    layers = {report.tensor for report in reports if report.status == "packed"}
    assert len(layers) == 16
    assert 7 * bytes_of(packed, layers) <= bytes_of(stock, layers)
    totals = inspect_model(packed).totals()
    assert len(packed) < totals["weight_bytes"] * 1.1

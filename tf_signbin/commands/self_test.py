"""One small layer in the delegate under one runtime, against the NumPy specification.

`python -m tf_signbin.commands.self_test RUNTIME ACTIVATIONS` prints the problem, or nothing: doctor
runs it in a process of its own, so that a crash or a chatty runtime cannot spoil the report.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tf_signbin.benchmark.graph import INT8, GraphBuilder
from tf_signbin.benchmark.weights import WeightSpec, int8_filters
from tf_signbin.convert.rewrite import pack
from tf_signbin.format import detect, reference
from tf_signbin.format.model import constant, read_model
from tf_signbin.runtime import Interpreter

_TOLERANCE = 1e-5  # float outputs, relative to the largest


def find_problem(runtime: str, activations: str) -> str | None:
    """What is wrong, or None."""
    rng = np.random.default_rng(0)
    graph = GraphBuilder(activations)
    filters = int8_filters(rng, (12, 3, 3, 8), WeightSpec())
    model = graph.finish(graph.conv(graph.input((1, 6, 6, 8)), filters))
    interpreter = Interpreter(pack(model)[0], runtime=runtime, on_unclaimed="error", num_threads=1)
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    x = rng.normal(size=(1, 6, 6, 8)).astype(np.float32)
    if activations == INT8:
        x = np.clip(np.rint(x * 40), -128, 127).astype(np.int8)
    interpreter.set_tensor(source["index"], x)
    interpreter.invoke()
    own = interpreter.get_tensor(sink["index"])
    expected = _specified(model, x, source, sink)
    error = float(np.abs(own.astype(np.float64) - expected).max())
    limit = 0.0 if activations == INT8 else _TOLERANCE * float(np.abs(expected).max())
    return None if error <= limit else f"differs from the specification by {error:.3g}"


def _specified(
    model: bytes, x: np.ndarray, source: dict[str, Any], sink: dict[str, Any]
) -> np.ndarray:
    """The layer's output by tf_signbin.format.reference, from the stock model's constants."""
    parsed = read_model(model)
    tensors = parsed.subgraphs[0].tensors
    w_index, b_index = (int(i) for i in parsed.subgraphs[0].operators[0].inputs[1:])
    weights = constant(parsed, tensors[w_index])
    packed = None if weights is None else detect(weights).packed
    if packed is None:
        raise ValueError("the self-test's own filters are not signed-binary")
    quantization = None
    if x.dtype == np.int8:
        quantization = reference.Int8Quantization(
            input_scale=source["quantization"][0],
            input_zero_point=source["quantization"][1],
            filter_scales=np.asarray(tensors[w_index].quantization.scale),
            output_scale=sink["quantization"][0],
            output_zero_point=sink["quantization"][1],
        )
    options = packed.options(padding="SAME", activation="RELU")
    return reference.conv_2d(x, packed, options, constant(parsed, tensors[b_index]), quantization)


if __name__ == "__main__":
    problem = find_problem(*sys.argv[1:3])
    if problem:
        print(problem)

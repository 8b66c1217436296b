"""The trade-off in the layers of a converted model."""

from __future__ import annotations

import math
import os
from typing import Any

from tf_signbin.analyze.cost import layer_costs
from tf_signbin.analyze.energy import dense_energy_uj, describe, layer_energy_uj
from tf_signbin.benchmark.machine import describe_machine
from tf_signbin.convert.files import read_source
from tf_signbin.convert.inspect import inspect_model
from tf_signbin.convert.layers import GraphReader
from tf_signbin.convert.rewrite import unpack
from tf_signbin.format import detect
from tf_signbin.format.model import read_model
from tf_signbin.runtime import Interpreter, find_runtime

_RUNS = 30


def analyze_model(
    source: bytes | str | os.PathLike[str], runtime: str = "auto", measure: bool = True
) -> dict[str, Any]:
    """Counts per layer of a .tflite file; with `measure` also its time in the delegate.

    Raises:
      ModelError: the file is damaged.
      ValueError: no layer of it is signed-binary, binary or ternary.
    """
    data, name = read_source(source)
    stock = unpack(source)
    model = read_model(stock, name)
    layers = []
    for info in inspect_model(stock).layers:
        if not info.kind:
            continue
        reader = GraphReader(model, info.subgraph)
        layer = reader.read(model.subgraphs[info.subgraph].operators[info.operator])
        filters = detect(layer.weights).packed
        if filters is None:
            continue
        stride = int(layer.geometry.get("stride_h", 1)) * int(layer.geometry.get("stride_w", 1))
        costs = layer_costs(filters, stride)
        outputs = math.prod(max(size, 1) for size in info.output_shape)
        layers.append(
            {
                "name": info.name,
                "tensor": info.tensor,
                "filter_shape": list(info.filter_shape),
                "pattern": list(info.pattern),
                "macs": info.macs,
                **costs.to_dict(),
                "adds_per_output": costs.best.adds_per_output,
                "weight_bytes": filters.nbytes,
                "energy_uj": layer_energy_uj(
                    outputs, costs.best.adds_per_output, filters.nbytes, info.activation_type
                ),
                "dense_int8_energy_uj": dense_energy_uj(info.macs, info.weights, "int8"),
                "dense_fp32_energy_uj": dense_energy_uj(info.macs, info.weights, "float32"),
            }
        )
    if not layers:
        raise ValueError(f"{name}: no layer is signed-binary, binary or ternary")
    found = find_runtime(runtime)
    if measure:
        _measure(data, layers, runtime)
    return {
        "command": "analyze",
        "model": name,
        "layers": layers,
        "energy": describe(),
        "machine": describe_machine(found),
    }


def _measure(data: bytes, layers: list[dict[str, Any]], runtime: str) -> None:
    """Adds `measured_ms` and `kernel` from the delegate's own profile of the running model."""
    interpreter = Interpreter(
        data, runtime=runtime, num_threads=1, on_unclaimed="error", profile=True, log_level="error"
    )
    interpreter.allocate_tensors()
    for _ in range(_RUNS):
        interpreter.invoke()
    claimed = {layer.layer: layer for layer in interpreter.claimed_layers}
    for layer in layers:
        run = claimed.get(layer["tensor"])
        if run is not None:
            layer["measured_ms"] = run.total_us / 1000
            layer["kernel"] = run.kernel

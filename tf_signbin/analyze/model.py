"""The trade-off in the layers of a converted model."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from tf_signbin.benchmark.contenders import Settings, ours, stock
from tf_signbin.benchmark.graph import FLOAT32, INT8
from tf_signbin.benchmark.machine import describe_machine
from tf_signbin.benchmark.timing import interleave
from tf_signbin.convert.files import read_source
from tf_signbin.convert.inspect import inspect_model
from tf_signbin.convert.layers import GraphReader
from tf_signbin.convert.rewrite import unpack
from tf_signbin.convert.single_layer import extract_operator
from tf_signbin.costs import LayerFacts, describe_energy, sharing_costs
from tf_signbin.format import detect
from tf_signbin.format.model import indices, read_model


def analyze_model(
    source: bytes | str | os.PathLike[str],
    runtime: str = "auto",
    seconds: float = 3.0,
    tick: Callable[[str, float], None] = lambda label, share: None,
) -> dict[str, Any]:
    """Counts per layer of a .tflite file; with seconds > 0 also times, about so long in all.

    Each layer is measured alone, in the delegate and, with the same weights dense, in the stock
    runtime, interleaved and with one thread.

    Raises:
      ModelError: the file is damaged.
      ValueError: no layer of it is signed-binary, binary or ternary.
    """
    name = read_source(source)[1]
    settings = Settings(runtime=runtime, delegate_options={"log_level": "error"})
    machine = describe_machine(settings.find_runtime())
    dense_model = unpack(source)
    model = read_model(dense_model, name)
    layers, places = [], []
    for info in inspect_model(dense_model).layers:
        if info.is_dense:
            continue
        reader = GraphReader(model, info.subgraph)
        operator = model.subgraphs[info.subgraph].operators[info.operator_index]
        layer = reader.read(operator)
        filters = detect(layer.weights).packed
        if filters is None:
            continue
        stride = int(layer.geometry.get("stride_h", 1)) * int(layer.geometry.get("stride_w", 1))
        places.append((info.subgraph, indices(operator.outputs)[0]))
        # Inspected is the unpacked model: what its file stores is dense.
        packed = dataclasses.replace(info, weight_bytes=filters.nbytes)
        layers.append(
            {
                **packed.to_dict(),
                **sharing_costs(filters, stride).to_dict(),
                **{f"dense_{dtype}_nj": dense_energy_nj(info, dtype) for dtype in (INT8, FLOAT32)},
            }
        )
    if not layers:
        raise ValueError(f"{name}: no layer is signed-binary, binary or ternary")
    for number, (row, place) in enumerate(zip(layers, places, strict=True)):
        if seconds <= 0:
            break
        tick(f"measuring {row['name']}", number / len(layers))
        row |= _measure(extract_operator(dense_model, *place), settings, seconds / len(layers))
    return {
        "command": "analyze",
        "model": name,
        "layers": layers,
        "energy": describe_energy(),
        "machine": machine,
    }


def dense_energy_nj(layer: LayerFacts, dtype: str) -> float:
    """Of a sample, had the layer dense weights and activations of that type."""
    return LayerFacts.dense(
        name=layer.name,
        operator=layer.operator,
        activation_type=dtype,
        weights=layer.weights,
        outputs=layer.outputs_per_sample,
        macs=layer.macs_per_sample,
    ).energy_nj_per_sample


def _measure(single: bytes, settings: Settings, seconds: float) -> dict[str, Any]:
    """Times of a model of one layer, packed in the delegate and dense in the stock runtime."""
    interpreter, invoke = ours(single, settings)
    dense, dense_kernels = stock(single, settings)
    timings = interleave({"ours": invoke, "dense": dense}, seconds=seconds)
    return {
        "measured_ms": timings["ours"].median_ms,
        "kernel": interpreter.claimed_layers[0].kernel,
        "dense_ms": timings["dense"].median_ms,
        "dense_kernels": dense_kernels,
    }

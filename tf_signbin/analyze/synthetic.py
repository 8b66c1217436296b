"""The trade-off on one synthetic layer: every weight kind over densities, counted and measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_signbin.benchmark.contenders import Settings, ours, xnnpack
from tf_signbin.benchmark.graph import FLOAT32, INT8
from tf_signbin.benchmark.layers import LayerShape
from tf_signbin.benchmark.machine import describe_machine
from tf_signbin.benchmark.timing import interleave
from tf_signbin.benchmark.weights import (
    BINARY,
    SIGNED_BINARY,
    TERNARY,
    TWN_DENSITY,
    WeightSpec,
    int8_filters,
)
from tf_signbin.costs import LayerFacts, describe_energy, sharing_costs
from tf_signbin.format import PackedFilters, detect
from tf_signbin.format.spec import ENGINE_PATTERNS

DENSITIES = (1.0, 0.75, 0.5, 0.36, 0.25, 0.15, 0.1, 0.05, 0.02)
REFERENCE = LayerShape(28, 128, 128)  # whose measured times make the predictions


def cases(activations: str) -> list[tuple[str, WeightSpec]]:
    """(series, weights): binary once, the others over the densities, patterns at their densest."""
    listed = [("binary", WeightSpec(BINARY))]
    for density in DENSITIES:
        if density < 1.0:
            listed.append(("signed_binary", WeightSpec(SIGNED_BINARY, density)))
            listed.append(("ternary", WeightSpec(TERNARY, density)))
    listed.append(("ternary", WeightSpec(TERNARY, TWN_DENSITY)))
    for n, m in ENGINE_PATTERNS[activations]:
        spec = WeightSpec(SIGNED_BINARY, n / m, pattern=(n, m))
        listed.append((f"signed_binary {n}:{m}", spec))
    return listed


def analyze_layer(
    layer: LayerShape,
    activations: str,
    settings: Settings,
    seconds: float,
    tick: Callable[[str, float], None],
) -> dict[str, Any]:
    """Counts for every case; with seconds > 0 also measured and predicted times.

    A prediction is the additions counted times the time of one addition, or the multiply-adds
    times the time of one: those of the layer 28x28x128, with binary weights and dense, measured in
    the same run. Where predictions fit, counting explains the time.
    """
    points: list[dict[str, Any]] = []
    filters = {}
    listed = cases(activations)
    for number, (series, spec) in enumerate(listed):
        tick(f"counting {series}", number / len(listed))
        filters[number] = _filters(layer, spec)
        points.append(_point(series, layer, filters[number]))
    result = {
        "command": "analyze",
        "layer": layer.name,
        "activations": activations,
        "macs": layer.macs,
        "points": points,
        "dense": [
            LayerFacts.dense(
                name=dtype,
                operator="CONV_2D",
                activation_type=dtype,
                weights=math.prod(layer.filter_shape),
                outputs=_outputs(layer),
                macs=layer.macs,
            ).to_dict()
            for dtype in (FLOAT32, INT8)
        ],
        "energy": describe_energy(),
        "machine": describe_machine(settings.find_runtime()),
    }
    if seconds > 0:
        _measure(result, layer, [spec for _, spec in listed], settings, seconds, tick)
    return result


def _filters(layer: LayerShape, spec: WeightSpec) -> PackedFilters:
    weights = int8_filters(np.random.default_rng(0), layer.filter_shape, spec)
    packed = detect(weights).packed
    if packed is None:
        raise ValueError(f"{layer.name} is too small: its filters have no {spec.kind} structure")
    return packed


def _point(series: str, layer: LayerShape, filters: PackedFilters) -> dict[str, Any]:
    facts = LayerFacts.packed(
        filters,
        name=layer.name,
        operator="CONV_2D",
        positions=layer.macs // math.prod(layer.filter_shape),
    )
    return {
        "series": series,
        **facts.to_dict(),
        **sharing_costs(filters, layer.stride**2).to_dict(),
    }


def _measure(
    result: dict[str, Any],
    layer: LayerShape,
    specs: list[WeightSpec],
    settings: Settings,
    seconds: float,
    tick: Callable[[str, float], None],
) -> None:
    activations = result["activations"]
    dense, binary = WeightSpec("dense"), WeightSpec(BINARY)
    contenders: dict[str, Callable[[], None]] = {}
    for dtype in (FLOAT32, INT8):
        contenders[dtype] = xnnpack(layer.model(dtype, dense), settings)
        contenders[f"reference {dtype}"] = xnnpack(REFERENCE.model(dtype, dense), settings)
    contenders["reference binary"] = ours(REFERENCE.model(activations, binary), settings)[1]
    for number, spec in enumerate(specs):
        interpreter, contenders[str(number)] = ours(layer.model(activations, spec), settings)
        result["points"][number]["kernel"] = interpreter.claimed_layers[0].kernel
    timings = interleave(contenders, seconds=seconds, tick=lambda share: tick("measuring", share))

    counted = sharing_costs(_filters(REFERENCE, binary), REFERENCE.stride**2)
    adds = counted.best.shared_adds_per_output * _outputs(REFERENCE)
    per_add = timings["reference binary"].median_ms / adds
    result["reference"] = {"layer": REFERENCE.name, "ns_per_addition": per_add * 1e6}
    for row in result["dense"]:
        row["measured_ms"] = timings[row["name"]].median_ms
        per_mac = timings[f"reference {row['name']}"].median_ms / REFERENCE.macs
        result["reference"][f"ns_per_mac_{row['name']}"] = per_mac * 1e6
        row["predicted_ms"] = per_mac * layer.macs
    for number, point in enumerate(result["points"]):
        point["measured_ms"] = timings[str(number)].median_ms
        point["predicted_ms"] = per_add * point["shared_adds_per_output"] * _outputs(layer)


def _outputs(layer: LayerShape) -> int:
    return layer.macs // math.prod(layer.filter_shape[1:])

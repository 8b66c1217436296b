"""The trade-off on one synthetic layer: every weight kind over densities, counted and measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tf_signbin.analyze.cost import LayerCosts, layer_costs
from tf_signbin.analyze.energy import dense_energy_uj, describe, layer_energy_uj
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
from tf_signbin.format import PackedFilters, detect
from tf_signbin.format.spec import ENGINE_PATTERNS

DENSITIES = (1.0, 0.75, 0.5, 0.36, 0.25, 0.15, 0.1, 0.05, 0.02)


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

    A prediction is the additions counted times one cost per addition, which is taken from the
    measured time of binary weights: where it fits, the additions explain the time.
    """
    points: list[dict[str, Any]] = []
    filters = {}
    listed = cases(activations)
    for number, (series, spec) in enumerate(listed):
        tick(f"counting {series}", number / len(listed))
        filters[number] = _filters(layer, spec)
        costs = layer_costs(filters[number], layer.stride**2)
        points.append(_point(series, layer, activations, filters[number], costs))
    result = {
        "command": "analyze",
        "layer": layer.name,
        "activations": activations,
        "macs": layer.macs,
        "points": points,
        "dense": [
            {
                "name": dtype,
                "energy_uj": dense_energy_uj(layer.macs, int(np.prod(layer.filter_shape)), dtype),
            }
            for dtype in (FLOAT32, INT8)
        ],
        "energy": describe(),
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


def _point(
    series: str, layer: LayerShape, activations: str, filters: PackedFilters, costs: LayerCosts
) -> dict[str, Any]:
    outputs = layer.macs // costs.macs_per_output
    return {
        "series": series,
        **costs.to_dict(),
        "adds_per_output": costs.best.adds_per_output,
        "weight_bytes": filters.nbytes,
        "energy_uj": layer_energy_uj(
            outputs, costs.best.adds_per_output, filters.nbytes, activations
        ),
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
    contenders: dict[str, Callable[[], None]] = {
        dtype: xnnpack(layer.model(dtype, WeightSpec("dense")), settings)
        for dtype in (FLOAT32, INT8)
    }
    for number, spec in enumerate(specs):
        interpreter, contenders[str(number)] = ours(layer.model(activations, spec), settings)
        result["points"][number]["kernel"] = interpreter.claimed_layers[0].kernel
    timings = interleave(contenders, seconds=seconds, tick=lambda share: tick("measuring", share))
    for dense in result["dense"]:
        dense["measured_ms"] = timings[dense["name"]].median_ms
    measured = [timings[str(number)].median_ms for number in range(len(specs))]
    per_add = measured[0] / result["points"][0]["adds_per_output"]  # binary comes first
    for point, milliseconds in zip(result["points"], measured, strict=True):
        point["measured_ms"] = milliseconds
        point["predicted_ms"] = per_add * point["adds_per_output"]

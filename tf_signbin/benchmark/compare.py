"""The comparisons of `tf-signbin benchmark`; each returns what its JSON file holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tf_signbin.benchmark.contenders import Settings, ours, xnnpack
from tf_signbin.benchmark.graph import FLOAT32, INT8
from tf_signbin.benchmark.layers import LAYER_GROUPS, LayerShape
from tf_signbin.benchmark.machine import describe_machine
from tf_signbin.benchmark.networks import network_model
from tf_signbin.benchmark.timing import Timing, geometric_mean, interleave
from tf_signbin.benchmark.weights import BINARY, SIGNED_BINARY, TERNARY, WeightSpec

Tick = Callable[[str, float], None]  # label, share of all work that is done

# Patterns shown by `kinds`. The last is the densest lookup of the float kernels.
KIND_PATTERNS = {INT8: ((3, 7), (2, 10)), FLOAT32: ((3, 7), (2, 10), (2, 7))}
DENSITIES = (1.0, 0.8, 0.6, 0.5, 0.36, 0.25, 0.15, 0.1, 0.05, 0.02)
_DENSE = WeightSpec("dense")


def compare_layers(
    layers: list[LayerShape],
    activations: str,
    spec: WeightSpec,
    settings: Settings,
    seconds: float,
    tick: Tick,
    input_bits: int = 8,
) -> dict[str, Any]:
    """Each layer with the delegate, and dense with XNNPACK in float32 and int8."""
    rows = []
    for number, layer in enumerate(layers):
        interpreter, invoke = ours(layer.model(activations, spec, input_bits=input_bits), settings)
        timings = interleave(
            {"ours": invoke, **_xnnpack_contenders(layer.model, settings)},
            seconds=seconds,
            tick=_within(tick, layer.name, number, len(layers)),
        )
        rows.append(
            {
                "name": layer.name,
                **_comparison(timings, activations),
                "macs": layer.macs,
                "kernel": interpreter.claimed_layers[0].kernel,
            }
        )
    return {
        **_header("layers", activations, spec, settings),
        "input_bits": input_bits,
        "layers": rows,
        "geomean_ratio": geometric_mean([row["ratio"] for row in rows]),
        "geomean_ratio_int8": geometric_mean([row["ratio_int8"] for row in rows]),
        "geomean_ratio_fp32": geometric_mean([row["ratio_fp32"] for row in rows]),
    }


def compare_model(
    network: str,
    activations: str,
    spec: WeightSpec,
    settings: Settings,
    seconds: float,
    tick: Tick,
    input_bits: int = 8,
) -> dict[str, Any]:
    """A whole network with the delegate, and dense with XNNPACK in float32 and int8."""
    tick("building", 0.0)
    model = network_model(network, activations, spec, input_bits=input_bits)
    start = time.perf_counter()
    interpreter, invoke = ours(model, settings)
    load_seconds = time.perf_counter() - start
    timings = interleave(
        {
            "ours": invoke,
            **_xnnpack_contenders(
                lambda kind, dense: network_model(network, kind, dense), settings
            ),
        },
        seconds=seconds,
        tick=_within(tick, network, 0, 1),
    )
    kernels = [(layer.layer, layer.kernel) for layer in interpreter.claimed_layers]
    return {
        **_header("model", activations, spec, settings),
        "network": network,
        "input_bits": input_bits,
        **_comparison(timings, activations),
        "pack_and_load_seconds": round(load_seconds, 3),
        "claimed_layers": [{"name": name, "kernel": kernel} for name, kernel in kernels],
    }


def compare_kinds(
    activations: str, settings: Settings, seconds: float, tick: Tick
) -> dict[str, Any]:
    """ResNet-18's 3x3 layers: every weight kind in this engine, dense in XNNPACK."""
    specs = {
        "binary": WeightSpec(BINARY),
        "ternary": WeightSpec(TERNARY),
        "signed_binary": WeightSpec(SIGNED_BINARY),
    }
    for n, m in KIND_PATTERNS[activations]:
        specs[f"signed_binary {n}:{m}"] = WeightSpec(SIGNED_BINARY, pattern=(n, m))
    layers = LAYER_GROUPS["3x3"]
    measured: dict[str, list[Timing]] = {name: [] for name in ("fp32", "int8", *specs)}
    kernels: dict[str, list[str]] = {name: [] for name in specs}
    for number, layer in enumerate(layers):
        contenders: dict[str, Callable[[], None]] = dict(
            zip(("fp32", "int8"), _xnnpack_contenders(layer.model, settings).values(), strict=True)
        )
        for name, spec in specs.items():
            interpreter, contenders[name] = ours(layer.model(activations, spec), settings)
            kernels[name].append(interpreter.claimed_layers[0].kernel)
        timings = interleave(
            contenders, seconds=seconds, tick=_within(tick, layer.name, number, len(layers))
        )
        for name, timing in timings.items():
            measured[name].append(timing)
    binary = [timing.median_ms for timing in measured["binary"]]
    kinds = []
    for name, timings_of_kind in measured.items():
        medians = [timing.median_ms for timing in timings_of_kind]
        kinds.append(
            {
                "name": name,
                "ours_ms": sum(medians),
                "ratio_to_binary": geometric_mean(
                    [base / own for base, own in zip(binary, medians, strict=True)]
                ),
                "density": specs[name].effective_density if name in specs else 1.0,
                "layers_ms": dict(zip((layer.name for layer in layers), medians, strict=True)),
                "kernels": kernels.get(name, ["xnnpack"] * len(layers)),
            }
        )
    return {**_header("kinds", activations, None, settings), "kinds": kinds}


def compare_density(
    layers: list[LayerShape],
    activations: str,
    background: bool,
    settings: Settings,
    seconds: float,
    tick: Tick,
) -> dict[str, Any]:
    """Time against density for signed-binary and ternary, beside binary and XNNPACK."""
    curves = []
    for number, layer in enumerate(layers):
        contenders = dict(_xnnpack_contenders(layer.model, settings))
        kernels = {}
        cases = {("binary", 1.0): WeightSpec(BINARY)}
        for density in DENSITIES:
            cases["signed_binary", density] = WeightSpec(
                SIGNED_BINARY, density, background=background
            )
            cases["ternary", density] = WeightSpec(TERNARY, density)
        for (kind, density), spec in cases.items():
            interpreter, invoke = ours(layer.model(activations, spec), settings)
            contenders[f"{kind} {density}"] = invoke
            kernels[kind, density] = interpreter.claimed_layers[0].kernel
        timings = interleave(
            contenders,
            seconds=seconds * len(contenders) / 3,
            tick=_within(tick, layer.name, number, len(layers)),
        )
        curves.append(
            {
                "name": layer.name,
                "xnnpack_fp32_ms": timings["xnnpack_fp32"].median_ms,
                "xnnpack_int8_ms": timings["xnnpack_int8"].median_ms,
                "points": [
                    {
                        "kind": kind,
                        "density": density,
                        "ours_ms": timings[f"{kind} {density}"].median_ms,
                        "spread": timings[f"{kind} {density}"].to_dict(),
                        "kernel": kernels[kind, density],
                    }
                    for kind, density in cases
                ],
            }
        )
    return {**_header("density", activations, None, settings), "layers": curves}


def _xnnpack_contenders(
    build: Callable[[str, WeightSpec], bytes], settings: Settings
) -> dict[str, Callable[[], None]]:
    return {
        "xnnpack_fp32": xnnpack(build(FLOAT32, _DENSE), settings),
        "xnnpack_int8": xnnpack(build(INT8, _DENSE), settings),
    }


def _comparison(timings: dict[str, Timing], activations: str) -> dict[str, Any]:
    """`ratio` is against XNNPACK with the same activations; above 1 the delegate is faster."""
    own = timings["ours"].median_ms
    fp32, int8 = timings["xnnpack_fp32"].median_ms, timings["xnnpack_int8"].median_ms
    base = int8 if activations == INT8 else fp32
    return {
        "ours_ms": own,
        "xnnpack_ms": base,
        "ratio": base / own,
        "xnnpack_fp32_ms": fp32,
        "xnnpack_int8_ms": int8,
        "ratio_fp32": fp32 / own,
        "ratio_int8": int8 / own,
        "spread": {name: timing.to_dict() for name, timing in timings.items()},
    }


def _header(
    command: str, activations: str, spec: WeightSpec | None, settings: Settings
) -> dict[str, Any]:
    header: dict[str, Any] = {
        "command": command,
        "activations": activations,
        "threads": settings.threads,
        "delegate_options": settings.delegate_options,
        "machine": describe_machine(settings.find_runtime()),
    }
    if settings.view is not None:
        header["view"] = settings.view
    if spec is not None:
        header["weights"] = replace(spec, density=spec.effective_density).__dict__
    return header


def _within(tick: Tick, label: str, number: int, total: int) -> Callable[[float], None]:
    return lambda share: tick(label, (number + share) / total)

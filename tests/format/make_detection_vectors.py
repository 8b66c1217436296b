"""Writes detection_vectors.json: small filters and what detection by value makes of them.

A slow, literal transcription of "Detection by value" in docs/format.md that shares no code with
`tf_signbin.format.detect` or `delegate/engine/detect.cc`, whose tests reproduce the file.

  python -m tests.format.make_detection_vectors > tests/format/detection_vectors.json
"""

from __future__ import annotations

import json
import math
import random
import struct
import sys
from typing import Any

PATTERNS = {"int8": [(2, 10), (2, 9), (2, 8), (3, 7)], "float32": [(2, 7), (2, 6)]}
Weights = list[list[list[float]]]  # [filter][tap][channel]


def float32(value: float) -> float:
    return struct.unpack("f", struct.pack("f", value))[0]


def mean(values: list[float]) -> float:
    return float32(math.fsum(values) / len(values))


def two_valued(region: list[float], exact: bool) -> tuple[float, float, list[bool]] | None:
    """Background, effectual value and mask of one region, or None."""
    low, high = min(region), max(region)
    limit = 0.0 if exact else max(abs(low), abs(high)) / 2**20
    is_high = [high - w <= limit for w in region]
    if not all(h or w - low <= limit for h, w in zip(is_high, region, strict=True)):
        return None
    highs = [w for w, h in zip(region, is_high, strict=True) if h]
    lows = [w for w, h in zip(region, is_high, strict=True) if not h]
    if not exact:
        high = mean(highs)
        high = 0.0 if abs(high) <= limit else high
        low = mean(lows) if lows else low
        low = 0.0 if abs(low) <= limit else low
    if not lows:
        return (0.0, high, [True] * len(region)) if high != 0 else (0.0, 0.0, [False] * len(region))
    if low == 0:
        take_high = True
    elif high == 0:
        take_high = False
    elif len(highs) != len(lows):
        take_high = len(highs) < len(lows)
    else:
        take_high = abs(high) >= abs(low)
    if take_high:
        return low, high, is_high
    return high, low, [not h for h in is_high]


def ternary(region: list[float], exact: bool) -> tuple[float, list[bool], list[bool]] | None:
    """The value s and the masks of +s and -s of one region, or None."""
    largest = max(abs(w) for w in region)
    if exact and largest > 127:
        return None
    limit = 0.0 if exact else largest / 2**20
    near = [largest > 0 and largest - abs(w) <= limit for w in region]
    if not all(n or abs(w) <= limit for n, w in zip(near, region, strict=True)):
        return None
    value = largest
    if not exact and any(near):
        value = mean([abs(w) for w, n in zip(region, near, strict=True) if n])
    plus = [n and w > 0 for n, w in zip(near, region, strict=True)]
    return value, plus, [n and w < 0 for n, w in zip(near, region, strict=True)]


def keeps(mask: list[list[bool]], n: int, m: int) -> bool:
    return all(sum(tap[c : c + m]) <= n for tap in mask for c in range(0, len(tap), m))


def to_bytes(mask: list[list[bool]]) -> list[int]:
    bits = [bit for tap in mask for bit in tap]
    return [
        sum(bit << i for i, bit in enumerate(bits[start : start + 8]))
        for start in range(0, len(bits), 8)
    ]


def detect(weights: Weights, exact: bool) -> dict[str, Any] | None:
    taps, channels = len(weights[0]), len(weights[0][0])
    if not all(math.isfinite(w) for f in weights for tap in f for w in tap):
        return None
    for kind in ("two_valued", "ternary"):
        for regions in range(1, channels + 1):
            if channels % regions:
                continue
            planes, per_region = (1, 2) if kind == "two_valued" else (2, 1)
            filter_bytes = planes * math.ceil(taps * channels / 8)
            filter_bytes += regions * per_region * (1 if exact else 4)
            if filter_bytes >= taps * channels * (1 if exact else 4):
                continue
            packed = pack(weights, kind, regions, exact)
            if packed is not None:
                return packed
    return None


def pack(weights: Weights, kind: str, regions: int, exact: bool) -> dict[str, Any] | None:
    taps, channels = len(weights[0]), len(weights[0][0])
    width = channels // regions
    planes = 1 if kind == "two_valued" else 2
    masks = [[[[False] * channels for _ in range(taps)] for _ in weights] for _ in range(planes)]
    values: list[list[list[float]]] = []
    for f, filter_weights in enumerate(weights):
        values.append([])
        for r in range(regions):
            where = [(t, c) for t in range(taps) for c in range(r * width, (r + 1) * width)]
            region = [filter_weights[t][c] for t, c in where]
            if kind == "two_valued":
                two = two_valued(region, exact)
                if two is None:
                    return None
                values[-1].append([two[0], two[1]])
                found = [two[2]]
            else:
                three = ternary(region, exact)
                if three is None:
                    return None
                values[-1].append([three[0]])
                found = [three[1], three[2]]
            for plane, bits in enumerate(found):
                for (t, c), bit in zip(where, bits, strict=True):
                    masks[plane][f][t][c] = bit
    pattern = [0, 0]
    if kind == "two_valued":
        for n, m in PATTERNS["int8" if exact else "float32"]:
            swaps = []
            for f, mask in enumerate(masks[0]):
                inverse = [[not bit for bit in tap] for tap in mask]
                swappable = regions == 1 and all(v != 0 for v in values[f][0])
                if keeps(mask, n, m):
                    continue
                if not (swappable and keeps(inverse, n, m)):
                    break
                swaps.append((f, inverse))
            else:
                for f, inverse in swaps:
                    masks[0][f] = inverse
                    values[f][0].reverse()
                pattern = [n, m]
                break
    return {
        "kind": kind,
        "regions": regions,
        "pattern": pattern,
        "masks": [[to_bytes(mask) for mask in plane] for plane in masks],
        "values": values,
    }


def random_case(rng: random.Random, exact: bool) -> Weights:
    taps, filters = rng.choice([1, 2, 4, 9]), rng.randint(1, 3)
    channels = rng.choice([1, 2, 3, 4, 6, 7, 8, 10, 12, 16, 20, 21])
    style = rng.choice(["zero", "zero", "values", "values", "ternary", "dense", "pattern", "swap"])
    regions = rng.choice([r for r in range(1, channels + 1) if channels % r == 0])
    regions = 1 if rng.random() < 0.6 else regions
    noise = 0.0 if exact or rng.random() < 0.5 else rng.choice([2**-23, 2**-21, 2**-19, 2**-10])
    density = rng.choice([0.0, 0.1, 0.3, 0.5, 0.9, 1.0])

    def value() -> float:
        number = float(rng.choice([-128, -127, -50, -1, 1, 2, 60, 127]))
        return number if exact else float32(number * rng.choice([0.01, 0.3, 1e-9]))

    result: Weights = []
    for _ in range(filters):
        pairs = [
            (0.0 if style in ("zero", "pattern") else value(), value()) for _ in range(regions)
        ]
        rows: list[list[float]] = []
        for _ in range(taps):
            row: list[float] = []
            for c in range(channels):
                background, effectual = pairs[c * regions // channels]
                chosen = rng.random() < density
                if style in ("pattern", "swap"):  # at most two of ten
                    chosen = (c % 10 in (1, 6)) != (style == "swap" and density > 0.4)
                if style == "dense":
                    weight = value()
                elif style == "ternary":
                    weight = effectual * rng.choice([-1, 0, 1]) if effectual > -128 else 0.0
                else:
                    weight = effectual if chosen else background
                weight += noise * abs(effectual) * rng.choice([-1, 0, 0, 1])
                row.append(weight if exact else float32(weight))
            rows.append(row)
        result.append(rows)
    return result


def main() -> None:
    rng = random.Random(20)
    cases = []
    for index in range(240):
        exact = index % 2 == 0
        weights = random_case(rng, exact)
        packed = detect(weights, exact)
        cases.append(
            {
                "name": f"{index}: {'dense' if packed is None else packed['kind']}",
                "type": "int8" if exact else "float32",
                "shape": [len(weights), len(weights[0]), 1, len(weights[0][0])],
                "weights": [w for f in weights for tap in f for w in tap],
                "packed": packed,
            }
        )
    sys.stdout.write(
        "[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n"
    )


if __name__ == "__main__":
    main()

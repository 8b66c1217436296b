"""Choice of a pattern per layer, from those that the engine accelerates."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tf_signbin.format.spec import ENGINE_PATTERNS
from tf_signbin.train.rules import functional, patterns
from tf_signbin.train.rules.namespace import NUMPY
from tf_signbin.train.rules.quantizers import SignedBinaryQuantizer

Choice = patterns.Pattern | None


@dataclasses.dataclass(frozen=True)
class AutoPattern:
    """Picks each layer's pattern under a budget; `pattern='auto'` is AutoPattern().

    The measure is the energy of a layer: the sum of W² over its effectual latent weights. What a
    pattern retains of it tells, without data, how much of a layer is cut.

    Args:
      retained: accuracy budget. Each layer gets the fastest pattern that retains at least this
        share of its energy, or none.
      density: density budget, instead of `retained`. Patterns are tightened one layer at a time,
        always where the least energy is lost per effectual weight removed, until the effectual
        share of all quantized weights is at most this.
    """

    retained: float | None = None
    density: float | None = None

    def __post_init__(self) -> None:
        if self.retained is not None and self.density is not None:
            raise ValueError("AutoPattern takes retained=... or density=..., not both.")
        for name, value in (("retained", self.retained), ("density", self.density)):
            if value is not None and not 0.0 < value < 1.0:
                raise ValueError(f"AutoPattern: {name}={value} must be in (0, 1).")

    def choose(
        self, kernels: dict[str, Any], quantizer: SignedBinaryQuantizer, activations: str
    ) -> dict[str, Choice]:
        """Pattern of each layer.

        Args:
          kernels: latent weights [..., Ci, Co] by layer name.
          quantizer: gives delta and signs; its own pattern is ignored.
          activations: 'float32' or 'int8': which patterns are fast.

        Raises:
          ValueError: the density budget cannot be reached with the fastest patterns.
        """
        # Slowest first: no pattern, then those that cover more and more weights a look-up.
        options: list[Choice] = [None, *reversed(ENGINE_PATTERNS[activations])]
        tables = {
            name: [_measure(kernel, quantizer, option) for option in options]
            for name, kernel in kernels.items()
        }
        if self.density is None:
            retained = 0.9 if self.retained is None else self.retained
            picked = {
                name: max(
                    i for i, (energy, _) in enumerate(table) if energy >= retained * table[0][0]
                )
                for name, table in tables.items()
            }
        else:
            picked = _within_density(tables, sum(k.size for k in kernels.values()), self.density)
        return {name: options[i] for name, i in picked.items()}


def _measure(
    kernel: np.ndarray, quantizer: SignedBinaryQuantizer, pattern: Choice
) -> tuple[float, float]:
    """Energy and number of effectual weights that `pattern` leaves."""
    w = quantizer.latent(NUMPY, np.asarray(kernel, np.float32))
    threshold = functional.max_threshold(NUMPY, w, np.float32(quantizer.delta))
    beta = quantizer.beta(NUMPY, w)
    mask = functional.signed_binary_mask(NUMPY, w, beta, threshold, pattern)
    return float(np.sum(mask * w * w, dtype=np.float64)), float(np.sum(mask))


def _within_density(
    tables: dict[str, list[tuple[float, float]]], weights: int, density: float
) -> dict[str, int]:
    """Tightens the cheapest layer until at most density * weights are effectual."""
    picked = dict.fromkeys(tables, 0)
    while True:
        effectual = sum(tables[name][i][1] for name, i in picked.items())
        if effectual <= density * weights:
            return picked
        costs = {}
        for name, i in picked.items():
            if i + 1 < len(tables[name]):
                (energy, count), (next_energy, next_count) = tables[name][i : i + 2]
                lost = (energy - next_energy) / max(tables[name][0][0], 1e-30)
                costs[name] = lost / max(count - next_count, 1.0)
        if not costs:
            raise ValueError(
                f"AutoPattern: density={density} cannot be reached; the fastest patterns leave "
                f"{effectual / weights:.3f}. Raise delta, use DensitySchedule, or allow more."
            )
        picked[min(costs, key=costs.__getitem__)] += 1

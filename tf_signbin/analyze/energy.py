"""Energy estimates from published costs of single operations.

M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014: 45 nm, 0.9 V.
Counted are the arithmetic and, once an inference, the weights' way from DRAM; not counted are
registers, caches, instruction fetch and control, which dominate on a CPU. So these figures compare
methods; they do not predict a battery's life.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# pJ an operation.
ADD_PJ = {"int8": 0.03, "int16": 0.05, "int32": 0.1, "float32": 0.9}
MULTIPLY_PJ = {"int8": 0.2, "int32": 3.1, "float32": 3.7}
# pJ a byte: 1.3 nJ (the low end) for 64 bits.
DRAM_PJ_PER_BYTE = 1300 / 8

SOURCE = (
    "per-operation energies of Horowitz, ISSCC 2014 (45 nm); arithmetic and weight traffic only"
)


@dataclass(frozen=True)
class Energy:
    """Microjoules of one inference: arithmetic, and the weights' way from DRAM."""

    arithmetic_uj: float
    weights_uj: float

    @property
    def total_uj(self) -> float:
        return self.arithmetic_uj + self.weights_uj

    def to_dict(self) -> dict[str, Any]:
        parts = {"arithmetic": self.arithmetic_uj, "weights": self.weights_uj}
        return {"energy_uj": self.total_uj, "energy_parts_uj": parts}


def dense_energy(macs: int, weights: int, dtype: str) -> Energy:
    """A dense layer, weights read from DRAM once; dtype 'float32' or 'int8'."""
    accumulate = ADD_PJ["float32" if dtype == "float32" else "int32"]
    weight_bytes = weights * (4 if dtype == "float32" else 1)
    return Energy(
        macs * (MULTIPLY_PJ[dtype] + accumulate) * 1e-6, weight_bytes * DRAM_PJ_PER_BYTE * 1e-6
    )


def layer_energy(
    outputs: int, adds_per_output: float, weight_bytes: int, activations: str
) -> Energy:
    """A packed layer.

    Args:
      outputs: number of output values.
      adds_per_output: table building and lookups (LayerCosts.best.adds_per_output).
      weight_bytes: packed masks and values, read from DRAM once.
      activations: 'float32' (tables of float32) or 'int8' (tables of int16).
    """
    each = adds_per_output * ADD_PJ["float32" if activations == "float32" else "int16"]
    # One multiplication scales each output.
    scale = MULTIPLY_PJ["float32" if activations == "float32" else "int32"]
    return Energy(outputs * (each + scale) * 1e-6, weight_bytes * DRAM_PJ_PER_BYTE * 1e-6)


def describe() -> dict[str, Any]:
    """The constants, for reports."""
    return {
        "source": SOURCE,
        "add_pj": ADD_PJ,
        "multiply_pj": MULTIPLY_PJ,
        "dram_pj_per_byte": DRAM_PJ_PER_BYTE,
    }

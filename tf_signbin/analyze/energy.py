"""Energy estimates from published costs of single operations.

M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014: 45 nm, 0.9 V.
Counted are the arithmetic and, once an inference, the weights' way from DRAM; not counted are
registers, caches, instruction fetch and control, which dominate on a CPU. So these figures compare
methods; they do not predict a battery's life.
"""

from __future__ import annotations

from typing import Any

# pJ an operation.
ADD_PJ = {"int8": 0.03, "int16": 0.05, "int32": 0.1, "float32": 0.9}
MULTIPLY_PJ = {"int8": 0.2, "int32": 3.1, "float32": 3.7}
# pJ a byte: 1.3 nJ (the low end) for 64 bits.
DRAM_PJ_PER_BYTE = 1300 / 8

SOURCE = (
    "per-operation energies of Horowitz, ISSCC 2014 (45 nm); arithmetic and weight traffic only"
)


def dense_energy_uj(macs: int, weights: int, dtype: str) -> float:
    """Microjoules of a dense layer, weights read from DRAM once; dtype 'float32' or 'int8'."""
    accumulate = ADD_PJ["float32" if dtype == "float32" else "int32"]
    weight_bytes = weights * (4 if dtype == "float32" else 1)
    picojoules = macs * (MULTIPLY_PJ[dtype] + accumulate) + weight_bytes * DRAM_PJ_PER_BYTE
    return picojoules * 1e-6


def layer_energy_uj(
    outputs: int, adds_per_output: float, weight_bytes: int, activations: str
) -> float:
    """Microjoules of a packed layer.

    Args:
      outputs: number of output values.
      adds_per_output: table building and lookups (LayerCosts.best.adds_per_output).
      weight_bytes: packed masks and values, read from DRAM once.
      activations: 'float32' (tables of float32) or 'int8' (tables of int16).
    """
    each = adds_per_output * ADD_PJ["float32" if activations == "float32" else "int16"]
    # One multiplication scales each output.
    scale = MULTIPLY_PJ["float32" if activations == "float32" else "int32"]
    return (outputs * (each + scale) + weight_bytes * DRAM_PJ_PER_BYTE) * 1e-6


def describe() -> dict[str, Any]:
    """The constants, for reports."""
    return {
        "source": SOURCE,
        "add_pj": ADD_PJ,
        "multiply_pj": MULTIPLY_PJ,
        "dram_pj_per_byte": DRAM_PJ_PER_BYTE,
    }

"""Energy of a layer's arithmetic and of its weights' way from memory: an estimate.

M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9:
45 nm, 0.9 V. Priced are the operations in the paper's terms (see the package) and every weight's
way from DRAM once a sample. Not priced are caches, registers, instructions and control, which
dominate on a CPU, nor what sharing saves: a look-up saves additions of 0.1 pJ by reading a table,
and even the smallest memory of the figure (8 KB, 64 bits) takes 10 pJ a read. So the figures
compare methods; they do not predict a battery's life.
"""

from __future__ import annotations

from typing import Any

# pJ an addition. Sums of int8 inputs count as int32: the engine's are int16 on the way, which the
# figure does not list, and the next larger type overstates ours.
ADDITION_PJ = {"float32": 0.9, "int8": 0.1}
# pJ an input times a weight.
PRODUCT_PJ = {"float32": 3.7, "int8": 0.2}
# pJ an accumulator times a factor; that of int8 inputs is int32.
SCALING_PJ = {"float32": 3.7, "int8": 3.1}
# The figure gives 1.3 to 2.6 nJ for 64 bits. The low end: it is the reading of most papers (640 pJ
# for 32 bits is the same number, rounded), and weight traffic is where packed weights save most, so
# it understates ours.
DRAM_PJ_PER_BYTE = 1300 / 8

SOURCE = (
    "per-operation energies of Horowitz, ISSCC 2014 (45 nm); arithmetic and weight traffic only"
)


def arithmetic_nj(
    additions: float, products: float, scalings: float, activation_type: str
) -> float:
    """nJ of that many operations; activation_type: 'float32' or 'int8'."""
    picojoules = (
        additions * ADDITION_PJ[activation_type]
        + products * PRODUCT_PJ[activation_type]
        + scalings * SCALING_PJ[activation_type]
    )
    return picojoules / 1000


def dram_nj(read_bytes: float) -> float:
    """nJ of reading so many bytes from DRAM."""
    return read_bytes * DRAM_PJ_PER_BYTE / 1000


def describe_energy() -> dict[str, Any]:
    """The constants, for reports."""
    return {
        "source": SOURCE,
        "addition_pj": ADDITION_PJ,
        "product_pj": PRODUCT_PJ,
        "scaling_pj": SCALING_PJ,
        "dram_pj_per_byte": DRAM_PJ_PER_BYTE,
    }

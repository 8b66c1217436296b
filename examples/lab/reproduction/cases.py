"""What is trained: every case is a method of making weights, at a width.

Float activations throughout, as in the paper.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tf_signbin.training.methods import Method

FULL_PRECISION, BINARY, TERNARY = map(Method, ("full_precision", "binary", "ternary"))
PAPER = Method("signed_binary", background="none")
CENTERED = Method("signed_binary", background="centered")

# A network of width 2w has four times the quantized weights of one of width w, so at density 0.25
# it has as many effectual ones as the narrower binary network has weights.
WIDTHS = (0.25, 0.5, 1.0)
DENSITIES = (0.36, 0.25, 0.2, 0.1)
EQUAL_EFFECTUAL_DENSITY = 0.25
CENTERED_WIDTHS = WIDTHS[1:]
ABLATION_WIDTH = 0.5


@dataclasses.dataclass(frozen=True)
class Case:
    """A method at a width."""

    method: Method
    width: float

    @property
    def key(self) -> str:
        return f"w{self.width:g}-{self.method.key}"

    @property
    def name(self) -> str:
        return f"{self.method.name}, {self.width:g}"


def at_density(method: Method, density: float) -> Method:
    """`method` with a schedule that brings it to this density."""
    return dataclasses.replace(method, target_density=density)


def _paper(**choices: Any) -> Method:
    return dataclasses.replace(PAPER, **choices)


# Each ablation changes one choice of the paper's form: title, then label -> method.
ABLATIONS: dict[str, dict[str, Method]] = {
    "Threshold factor Δ": {f"{d:g}": _paper(delta=d) for d in (0.01, 0.05, 0.1, 0.2, 0.4)},
    "Share of positive filters β": {
        f"{s:g}": _paper(positive_share=s) for s in (0.0, 0.25, 0.5, 1.0)
    },
    "Estimator": {e: _paper(estimator=e) for e in ("ste", "ede", "approx_sign")},
    "Region (input channels)": {
        "whole filter": PAPER,
        **{str(c): _paper(region_channels=c) for c in (8, 4, 2)},
    },
    "Scale": {s: _paper(scale=s) for s in ("none", "mean", "learned")},
    "Background (not in the paper)": {
        b: _paper(background=b) for b in ("none", "centered", "learned")
    },
}


def comparison() -> list[Case]:
    """Accuracy against effectual and total weights: all kinds, several densities and widths."""
    kinds = (FULL_PRECISION, BINARY, TERNARY, PAPER, *(at_density(PAPER, d) for d in DENSITIES))
    ours = (CENTERED, *(at_density(CENTERED, d) for d in DENSITIES))
    return [
        *(Case(m, w) for w in WIDTHS for m in kinds),
        *(Case(m, w) for w in CENTERED_WIDTHS for m in ours),
    ]


def ablation(title: str) -> dict[str, Case]:
    return {label: Case(m, ABLATION_WIDTH) for label, m in ABLATIONS[title].items()}


def all_cases() -> list[Case]:
    ablated = [case for title in ABLATIONS for case in ablation(title).values()]
    return list(dict.fromkeys(comparison() + ablated))

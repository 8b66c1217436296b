"""The paper's claims that a small task can test, each with a verdict from the seeds' spread."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping

import numpy as np

from lab.reproduction.cases import (
    BINARY,
    CENTERED,
    CENTERED_WIDTHS,
    DENSITIES,
    EQUAL_EFFECTUAL_DENSITY,
    PAPER,
    WIDTHS,
    Case,
    at_density,
)
from lab.reproduction.runs import Outcome

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
# A claim is decided when it holds or fails by more than this many standard errors.
STANDARD_ERRORS = 2.0
NEAR = 0.01  # accuracy: what counts as kept
PAPER_DENSITY = 0.36
PAPER_DENSITY_RATIO = 2.8


@dataclasses.dataclass(frozen=True)
class Margin:
    """By how much a quantity exceeds what a claim asks, and that margin's standard error."""

    value: float
    error: float

    @property
    def verdict(self) -> str:
        """Undecided also when there is one seed, whose spread is unknown."""
        if math.isnan(self.error) or abs(self.value) <= STANDARD_ERRORS * self.error:
            return UNDECIDED
        return SUPPORTED if self.value > 0 else CONTRADICTED


@dataclasses.dataclass(frozen=True)
class Claim:
    """source: 'paper', or 'ours' for what this project claims about its own form."""

    source: str
    text: str
    verdict: str
    figures: str

    def cells(self) -> tuple[str, ...]:
        return (self.text, self.source, self.verdict, self.figures)


def exceeds(a: np.ndarray, b: np.ndarray, by: float = 0.0) -> Margin:
    """mean(a) - mean(b) - by, with the standard error of the difference of two means (Welch)."""
    return Margin(float(a.mean() - b.mean()) - by, math.hypot(_error(a), _error(b)))


def _error(values: np.ndarray) -> float:
    """Standard error of the mean; NaN for a single value."""
    if len(values) < 2:
        return math.nan
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def claims(outcomes: Mapping[Case, Outcome]) -> list[Claim]:
    return [*_competitive(outcomes), *_sparser(outcomes), *_nested(outcomes), *_kept(outcomes)]


def _competitive(outcomes: Mapping[Case, Outcome]) -> list[Claim]:
    rows = []
    for width in WIDTHS:
        signed = outcomes[Case(at_density(PAPER, PAPER_DENSITY), width)]
        binary = outcomes[Case(BINARY, width)]
        rows.append(
            Claim(
                "paper",
                f"at density {PAPER_DENSITY} at most 1 point below binary, width {width:g}",
                exceeds(signed.accuracies, binary.accuracies, -NEAR).verdict,
                f"{_percent(signed)} against {_percent(binary)}",
            )
        )
    return rows


def _sparser(outcomes: Mapping[Case, Outcome]) -> list[Claim]:
    rows = []
    for width in WIDTHS:
        ratios = outcomes[Case(BINARY, width)].total / outcomes[Case(PAPER, width)].effectual
        margin = Margin(float(ratios.mean()) - 0.9 * PAPER_DENSITY_RATIO, _error(ratios))
        rows.append(
            Claim(
                "paper",
                f"Δ = 0.05 leaves about {PAPER_DENSITY_RATIO}x fewer effectual weights than "
                f"binary (at least 90% of that), width {width:g}",
                margin.verdict,
                f"{ratios.mean():.2f}x",
            )
        )
    return rows


def _nested(outcomes: Mapping[Case, Outcome]) -> list[Claim]:
    """A wide signed-binary network against a narrower binary one with as many effectual weights."""
    rows = []
    for narrow, wide in itertools.pairwise(WIDTHS):
        signed = outcomes[Case(at_density(PAPER, EQUAL_EFFECTUAL_DENSITY), wide)]
        binary = outcomes[Case(BINARY, narrow)]
        rows.append(
            Claim(
                "paper",
                "more accurate than binary with as many effectual weights, widths "
                f"{wide:g} and {narrow:g}",
                exceeds(signed.accuracies, binary.accuracies).verdict,
                f"{_percent(signed)} with {signed.effectual.mean():,.0f} against "
                f"{_percent(binary)} with {binary.effectual.mean():,.0f}",
            )
        )
    return rows


def _kept(outcomes: Mapping[Case, Outcome]) -> list[Claim]:
    """Whether a density target costs accuracy."""
    rows = []
    for method, widths, source in ((PAPER, WIDTHS, "paper"), (CENTERED, CENTERED_WIDTHS, "ours")):
        for width, density in itertools.product(widths, DENSITIES):
            sparse = outcomes[Case(at_density(method, density), width)]
            free = outcomes[Case(method, width)]
            rows.append(
                Claim(
                    source,
                    f"{method.label}: accuracy kept (at most 1 point lower) at density "
                    f"{density:g}, width {width:g}",
                    exceeds(sparse.accuracies, free.accuracies, -NEAR).verdict,
                    f"{_percent(sparse)} at {sparse.density:.3f} against {_percent(free)} at "
                    f"{free.density:.3f}",
                )
            )
    return rows


def _percent(outcome: Outcome) -> str:
    return f"{100 * outcome.mean:.2f}%"

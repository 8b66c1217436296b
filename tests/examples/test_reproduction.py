"""The reproduction of the paper: cases, statistics and verdicts, report, resumption."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
from lab.reproduction import claims, report, runs
from lab.reproduction.cases import (
    ABLATIONS,
    BINARY,
    CENTERED,
    DENSITIES,
    PAPER,
    WIDTHS,
    Case,
    ablation,
    all_cases,
    at_density,
    comparison,
)

import tf_signbin
from tf_signbin.training import datasets, fit
from tf_signbin.training.methods import Method, schedules
from tf_signbin.training.recipes import Recipe

RECIPE = Recipe(1, 64, "adam", 0.01, "cosine")


def invented(accuracy_of, seeds=3, spread=0.002):
    """Outcomes with the accuracies that the function of a case gives, and the wanted densities."""
    shifts = spread * np.linspace(-1, 1, seeds)
    outcomes = {}
    for case in all_cases():
        density = case.method.target_density or 0.36
        share = 1.0 if case.method.weights != "signed_binary" else density
        total = round(16_000 * case.width**2)
        outcomes[case] = runs.Outcome(accuracy_of(case) + shifts, share * total + shifts, total)
    return outcomes


def write_runs(outcomes, folder):
    folder.mkdir()
    for case, result in outcomes.items():
        for seed, (accuracy, effectual) in enumerate(
            zip(result.accuracies, result.effectual, strict=True)
        ):
            content = {"accuracy": accuracy, "effectual": effectual, "total": result.total}
            (folder / f"{case.key}-seed{seed}.json").write_text(json.dumps(content))


def test_cases_have_unique_keys_and_the_wider_network_as_many_effectual_weights():
    cases = all_cases()
    assert len({c.key for c in cases}) == len(cases)
    assert {c.method.target_density for c in comparison()} >= set(DENSITIES)
    assert all(wide == 2 * narrow for narrow, wide in itertools.pairwise(WIDTHS))


def test_ablations_change_one_choice_each():
    for title in ABLATIONS:
        for case in ablation(title).values():
            changed = [
                f.name for f in dataclasses.fields(Method)
                if getattr(case.method, f.name) != getattr(PAPER, f.name)
            ]  # fmt: skip
            assert len(changed) <= 1, title


class TestMargin:
    def test_welch_by_hand(self):
        """Means 2 and 5, variances 1 and 4: sqrt(1/3 + 4/3)."""
        margin = claims.exceeds(np.array([4.0, 5.0, 6.0]), np.array([0.0, 2.0, 4.0]), 1.0)
        assert margin.value == 2.0
        assert margin.error == pytest.approx(np.sqrt(5 / 3))

    @pytest.mark.parametrize(
        ("value", "error", "verdict"),
        [
            (2.1, 1.0, claims.SUPPORTED),
            (1.9, 1.0, claims.UNDECIDED),
            (-1.9, 1.0, claims.UNDECIDED),
            (-2.1, 1.0, claims.CONTRADICTED),
            (9.0, float("nan"), claims.UNDECIDED),
        ],
    )
    def test_verdict(self, value, error, verdict):
        assert claims.Margin(value, error).verdict == verdict

    def test_one_seed_decides_nothing(self):
        found = claims.claims(invented(lambda case: 0.5 + 0.4 * (case.method == BINARY), seeds=1))
        assert {c.verdict for c in found} == {claims.UNDECIDED}


class TestClaims:
    def verdicts(self, accuracy_of):
        found = claims.claims(invented(accuracy_of))
        return {c.text: c.verdict for c in found if c.source == "paper" and "leaves" not in c.text}

    def test_better_binary_contradicts(self):
        found = self.verdicts(lambda case: {BINARY: 0.97, PAPER: 0.95}.get(case.method, 0.9))
        assert set(found.values()) == {claims.CONTRADICTED}

    def test_better_signed_binary_supports(self):
        found = self.verdicts(lambda case: 0.9 if case.method == BINARY else 0.95)
        assert set(found.values()) == {claims.SUPPORTED}

    def test_density_ratio(self):
        outcomes = invented(lambda case: 0.9)
        ratios = [c for c in claims.claims(outcomes) if "leaves" in c.text]
        assert {(c.verdict, c.figures) for c in ratios} == {(claims.SUPPORTED, "2.78x")}
        for width in WIDTHS:
            case = Case(PAPER, width)
            outcomes[case] = dataclasses.replace(
                outcomes[case], effectual=1.5 * outcomes[case].effectual
            )
        ratios = [c for c in claims.claims(outcomes) if "leaves" in c.text]
        assert {c.verdict for c in ratios} == {claims.CONTRADICTED}


def test_report(tmp_path):
    outcomes = invented(lambda case: 0.9 if case.method == BINARY else 0.95)
    write_runs(outcomes, tmp_path / "runs")
    path = tmp_path / "report.md"
    data = datasets.load("digits")
    rows = report.write((0, 1, 2), data, RECIPE, tmp_path / "runs", path)
    assert len(rows) == len(comparison())
    text = path.read_text()
    assert "| binary, 0.5 | 90.00 ± 0.20 | 1.000 | 4,000 | 4,000 |" in text
    assert (
        "| signed-binary paper, density 0.25, 1 | 95.00 ± 0.20 | 0.250 | 4,000 | 16,000 |" in text
    )
    assert "one image is 0.28 points" in text
    assert all(f"| {title} |" in text for title in ABLATIONS)
    for name in ("weights", "densities", "ablations"):
        assert f"images/reproduction_{name}.png" in text
        assert (tmp_path / "images" / f"reproduction_{name}.png").stat().st_size > 10_000
    stored = json.loads((tmp_path / "results" / "training_reproduction.json").read_text())
    assert len(stored["cases"]) == len(all_cases())
    assert stored["seeds"] == [0, 1, 2]


def test_density_target_belongs_to_signed_binary():
    (schedule,) = schedules(at_density(CENTERED, 0.2), 9)
    assert isinstance(schedule, tf_signbin.DensitySchedule)
    assert (schedule.target, schedule.begin, schedule.end) == (0.2, 0, 4)
    with pytest.raises(ValueError, match="target_density"):
        Method("binary", target_density=0.2)


@pytest.mark.slow
def test_trains_each_case_once_and_reaches_its_density(tmp_path, monkeypatch):
    decayed = dataclasses.replace(PAPER, estimator="ede")
    cases = [Case(m, 0.25) for m in (at_density(PAPER, 0.1), decayed)]
    recipe = dataclasses.replace(RECIPE, epochs=2)
    for _ in range(2):
        runs.train_all(cases, (0,), datasets.load("digits"), recipe, 1, tmp_path)
        monkeypatch.setattr(fit, "train", None)
    assert runs.outcome(cases[0], (0,), tmp_path).density == pytest.approx(0.1, abs=0.01)
    assert 0 < runs.outcome(cases[1], (0,), tmp_path).effectual[0] < 5000

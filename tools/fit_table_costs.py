"""Fits the unit costs of the memory tables' planner to times of one processor.

    build/bench/bench/table_costs isa=avx2 > int16.csv
    build/bench/bench/table_costs isa=avx2 type=float32 > float.csv
    build/bench/bench/table_costs isa=avx2 input_bits=4 > bytes.csv
    python tools/fit_table_costs.py int16.csv float.csv bytes.csv

prints a column of kUnitCosts and one of kNearBytes (delegate/engine/kernels/table/costs.cc), and
what the planner's choice among the timed configurations loses with the costs that it had and with
these. Files of other options (background=1, pattern=2:10) may be added: all lines of the same
elements are fitted together.

A unit cost is at least 0. Two things count: what the choice loses in each layer, softened to the
expected loss of a configuration drawn with probability ~ predicted time ^ -SHARPNESS, so that it
has a gradient; and, less, how far off the predictions are, since tables compete with other kernel
families by them. The time of a configuration is the geometric mean of what it takes with warm and
with cold caches.
"""

from __future__ import annotations

import argparse
import collections
import csv
import dataclasses
import pathlib

import numpy as np
from scipy import optimize

COUNTS = (
    "loads",
    "misses",
    "offsets",
    "passes",
    "accumulates",
    "shifts",
    "branch_misses",
    "stores",
    "elements_in",
    "elements_out",
    "summed_in",
    "backgrounds",
    "widenings",
)
ELEMENTS = ("bytes", "int16", "float")
SHARPNESS = (25.0, 100.0)  # one after the other: the choice itself has no gradient
ERROR_WEIGHT = 0.3  # of the predictions' errors against what choices lose
NEAR_BYTES = tuple(1024 * kib for kib in (28, 32, 36, 40, 42, 44, 48, 56, 64, 80, 96, 128))


@dataclasses.dataclass
class Timed:
    """Configurations of one type of table elements: arrays of one value each, `work` a row each."""

    layer: np.ndarray  # index of the layer, and of the file that it was timed in
    direct: np.ndarray
    chunk_bytes: np.ndarray
    predicted: np.ndarray  # ns, by the costs that the planner had
    measured: np.ndarray  # ns
    work: np.ndarray


def read(paths: list[pathlib.Path]) -> dict[str, Timed]:
    """What was timed, by table elements."""
    rows = collections.defaultdict(list)
    layers: dict[tuple[pathlib.Path, str, str], int] = {}
    for path in paths:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                key = (path, row["layer"], row["elements"])
                index = layers.setdefault(key, len(layers))
                measured = np.sqrt(float(row["warm"]) * float(row["cold"]))
                head = [index, row["direct"], row["chunk_bytes"], row["predicted"], measured]
                rows[row["elements"]].append([*head, *(row[name] for name in COUNTS)])
    timed = {}
    for elements, values in rows.items():
        array = np.array(values, float)
        timed[elements] = Timed(*(array[:, i] for i in range(5)), work=array[:, 5:])
    return timed


def with_misses(timed: Timed, near_bytes: float, level1_bytes: float) -> np.ndarray:
    """`timed.work` where caches hold so much of the tables; as planner.cc estimates it."""
    near = np.where(timed.direct > 0, level1_bytes, near_bytes)
    share = np.maximum(0, 1 - near / timed.chunk_bytes)
    work = timed.work.copy()
    accessed = work[:, COUNTS.index("loads")] + work[:, COUNTS.index("stores")]
    work[:, COUNTS.index("misses")] = share * accessed
    return work


def choice_losses(timed: Timed, predicted: np.ndarray) -> np.ndarray:
    """By which factor the configuration of the least prediction is slower than the fastest."""
    losses = []
    for layer in np.unique(timed.layer):
        of_layer = timed.layer == layer
        measured = timed.measured[of_layer]
        losses.append(measured[predicted[of_layer].argmin()] / measured.min())
    return np.array(losses)


def fit(timed: Timed, work: np.ndarray) -> tuple[np.ndarray, float]:
    """Nanoseconds of a unit of each count, and the objective that they reach."""
    log_measured = np.log(timed.measured)
    layers = [np.flatnonzero(timed.layer == layer) for layer in np.unique(timed.layer)]
    used = work.any(axis=0)
    start, _ = optimize.nnls(work / timed.measured[:, None], np.ones(len(work)))

    def objective(log_costs: np.ndarray, sharpness: float) -> tuple[float, np.ndarray]:
        parts = work * np.where(used, np.exp(log_costs), 0)
        predicted = parts.sum(axis=1)
        error = np.log(predicted) - log_measured
        smooth = np.sqrt(error**2 + 1e-4)
        value = ERROR_WEIGHT * smooth.mean()
        slope = ERROR_WEIGHT * error / smooth / len(error)
        for rows in layers:
            weights = (predicted[rows] / predicted[rows].min()) ** -sharpness
            weights /= weights.sum()
            loss = log_measured[rows] - log_measured[rows].min()
            value += weights @ loss / len(layers)
            slope[rows] -= sharpness * weights * (loss - weights @ loss) / len(layers)
        return value, slope @ (parts / predicted[:, None])

    log_costs, value = np.log(np.maximum(start, 1e-3)), 0.0
    for sharpness in SHARPNESS:
        found = optimize.minimize(
            objective,
            log_costs,
            args=(sharpness,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(np.log(1e-4), np.log(100))] * len(COUNTS),
            options={"maxiter": 2000},
        )
        log_costs, value = found.x, float(found.fun)
    return np.where(used, np.exp(log_costs), 0), value


def summary(losses: np.ndarray) -> str:
    mean = np.exp(np.log(losses).mean()) - 1
    within = f"{int((losses <= 1.1).sum())} of {len(losses)} within 10%"
    return f"{within}, mean loss {mean:.1%}, largest {losses.max() - 1:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=pathlib.Path, help="what table_costs printed")
    parser.add_argument(
        "--level1_bytes",
        type=float,
        help="of direct tables that the first level holds (AVX2: 7/8 of it); default: kNearBytes",
    )
    arguments = parser.parse_args()
    columns, near_bytes = {}, {}
    for elements, timed in read(arguments.files).items():
        best = None
        for near in NEAR_BYTES:
            if near < (arguments.level1_bytes or 0):
                continue
            work = with_misses(timed, near, arguments.level1_bytes or near)
            costs, value = fit(timed, work)
            if best is None or value < best[0]:
                best = (value, near, costs, work @ costs)
        assert best is not None
        _, near_bytes[elements], columns[elements], predicted = best
        error = np.exp(np.abs(np.log(predicted / timed.measured)).mean()) - 1
        print(f"{elements}: {len(predicted)} configurations, predictions off by {error:.1%}")
        print("  before:", summary(choice_losses(timed, timed.predicted)))
        print("  now:   ", summary(choice_losses(timed, predicted)))
    for index, name in enumerate(COUNTS):
        costs = (columns[e][index] if e in columns else 0 for e in ELEMENTS)
        print(f"{name:14} {{{', '.join(f'{c:.3g}' for c in costs)}}}")
    print(f"kNearBytes     {{{', '.join(str(near_bytes.get(e, 0)) for e in ELEMENTS)}}}")


if __name__ == "__main__":
    main()

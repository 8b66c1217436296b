"""One progress bar over all runs of a program; plain lines where the output is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class StepProgress:
    """Counts steps of different kinds: with StepProgress("measuring", 3) as p: p.step("this")."""

    def __init__(self, title: str, steps: int):
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._title = title
        self._task = self._bar.add_task(title, total=steps, completed=-1)

    def __enter__(self) -> StepProgress:
        self._bar.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.stop()

    def step(self, label: str) -> None:
        """Begins the next step."""
        self._bar.update(self._task, advance=1, description=f"{self._title}: {label}")


class RunProgress:
    """Counts epochs of several runs.

    with RunProgress(total_epochs) as progress:
        fit.train(..., Run(report=progress.run("centered, seed 0")))
    """

    def __init__(self, total_epochs: int):
        self.console = Console(stderr=True)
        self._total = total_epochs
        self._done = 0
        self._start = time.perf_counter()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total} epochs"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("", total=total_epochs)

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.stop()

    def run(self, label: str) -> Callable[[int, int, dict[str, float]], None]:
        """The report function of one run (tf_signbin.training.fit.Run)."""
        last = [0]

        def report(epoch: int, epochs: int, logs: dict[str, float]) -> None:
            # A resumed run starts behind epoch 1; its earlier epochs count as done.
            self._done += epoch - last[0]
            last[0] = epoch
            text = f"{label}: epoch {epoch}/{epochs}, test {100 * logs['val_accuracy']:.1f}%"
            self._bar.update(self._task, completed=self._done, description=text)
            if epoch == epochs:
                seconds = time.perf_counter() - self._start
                self.console.print(
                    f"[{self._done}/{self._total} epochs, {seconds:.0f} s] {text}",
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )

        return report

    def skip(self, epochs: int) -> None:
        """Counts epochs that an earlier session has done."""
        self._done += epochs
        self._bar.update(self._task, completed=self._done)

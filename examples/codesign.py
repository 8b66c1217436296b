"""The co-design study: what backgrounds and patterns cost in accuracy and buy in time.

    python examples/codesign.py --quick          # under 10 minutes on 2 cores
    python examples/codesign.py                  # some hours; continues where it was stopped

Full precision, tfmot's int8 training, binary, ternary and signed-binary weights with and without
background and pattern, at several widths, over three seeds, on glyphs and digits. Writes a
Markdown report with tables and plots to --out.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from absl import app, flags, logging
from lab import tables
from lab.progress import RunProgress
from lab.study import measure, points, report, train
from rich.console import Console

FLAGS = flags.FLAGS

flags.DEFINE_bool("quick", False, "A small version: one width, two seeds, fewer images.")
flags.DEFINE_string("out", "out/codesign", "Folder for runs and report.")
flags.DEFINE_list("seeds", None, "Seeds; default 0,1,2 (quick: 0,1).")
flags.DEFINE_bool("report_only", False, "Measure and report what is trained already.")
flags.DEFINE_string("report_dir", None, "Folder of the report; default: inside --out.")
flags.DEFINE_float("seconds", None, "Measuring time for each contender; default 2 (quick: 0.5).")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.WARNING)
    out = Path(FLAGS.out) / ("quick" if FLAGS.quick else "full")
    study = points.quick_study() if FLAGS.quick else points.full_study()
    default = points.SEEDS[:2] if FLAGS.quick else points.SEEDS
    seeds = [int(s) for s in FLAGS.seeds] if FLAGS.seeds else list(default)
    if not FLAGS.report_only:
        _train(study, seeds, out)
    seconds = FLAGS.seconds or (0.5 if FLAGS.quick else 2.0)
    measure.measure(study, seeds[0], out, seconds)
    groups = report.collect(study, seeds, out)
    console = Console()
    for group, rows in groups.items():
        tables.show(console, group, report.HEADER, [row.cells() for row in rows])
    path = report.write(groups, Path(FLAGS.report_dir or out / "report"))
    console.print(f"Report: {path}", highlight=False, soft_wrap=True)


def _train(study: list[points.Point], seeds: list[int], out: Path) -> None:
    data = {task: train.load_data(task) for task in dict.fromkeys(p.task for p in study)}
    groups = [list(g) for _, g in itertools.groupby(study, lambda point: point.group)]
    epochs = sum(g[0].task.teacher.epochs + sum(p.recipe.epochs for p in g) for g in groups)
    with RunProgress(len(seeds) * epochs) as progress:
        # Group by group and seed by seed, so that comparisons are complete early.
        for group, seed in itertools.product(groups, seeds):
            train.train_teacher(group[0], seed, data[group[0].task], out, progress)
            for point in group:
                train.run(point, seed, data[point.task], out, progress)


if __name__ == "__main__":
    app.run(main)

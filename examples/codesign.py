"""The co-design study: what backgrounds and patterns cost in accuracy and buy in time.

    python examples/codesign.py --quick          # under 10 minutes on 2 cores
    python examples/codesign.py                  # some hours; continues where it was stopped
    python examples/codesign.py --random_filters # the layers' time alone, without training
    python examples/codesign.py --input_bits     # the study of input bits; resumes, too
    python examples/codesign.py --input_bits --report_only --as=avx2   # its times on a lesser PC

Full precision, dense int8 training, binary, ternary and signed-binary weights with and without
background and pattern, at several widths, over three seeds, on glyphs and digits. Writes a
Markdown report with tables and plots to --out.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from absl import app, flags, logging
from lab.study import bits, bits_report, measure, points, report, train
from rich.console import Console

from tf_signbin.benchmark import views
from tf_signbin.runtime import find_runtime
from tf_signbin.training import tables
from tf_signbin.training.progress import RunProgress

FLAGS = flags.FLAGS

flags.DEFINE_bool("quick", False, "A small version: one width, two seeds, fewer images.")
flags.DEFINE_string("out", "out/codesign", "Folder for runs and report.")
flags.DEFINE_list("seeds", None, "Seeds; default 0,1,2 (quick: 0,1).")
flags.DEFINE_bool("report_only", False, "Measure and report what is trained already.")
flags.DEFINE_bool("input_bits", False, "The study of input bits instead.")
flags.DEFINE_enum(
    "as", None, list(views.VIEWS), "With --input_bits --report_only: time as on such a machine."
)
flags.DEFINE_bool("random_filters", False, "Only measure the layers, with random filters.")
flags.DEFINE_string("report_dir", None, "Folder of the report; default: inside --out.")
flags.DEFINE_float("seconds", None, "Measuring time for each contender; default 2 (quick: 0.5).")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.WARNING)
    view = FLAGS["as"].value
    if view and not (FLAGS.input_bits and FLAGS.report_only):
        raise app.UsageError("--as times what is trained: it takes --input_bits --report_only")
    if FLAGS.input_bits:
        if view:
            try:
                views.enter(view, find_runtime("auto").name)
            except views.ViewError as error:
                raise app.UsageError(str(error)) from error
        out = Path(FLAGS.out) / "bits"
        if not FLAGS.report_only:
            bits.train_all(out)
        bits_report.measure(out, FLAGS.seconds or 0.5, view)
        path = bits_report.write(out, Path(FLAGS.report_dir or out / "report"))
        Console().print(f"Report: {path}", highlight=False, soft_wrap=True)
        return
    out = Path(FLAGS.out) / ("quick" if FLAGS.quick else "full")
    study = points.quick_study() if FLAGS.quick else points.full_study()
    default = points.SEEDS[:2] if FLAGS.quick else points.SEEDS
    seeds = [int(s) for s in FLAGS.seeds] if FLAGS.seeds else list(default)
    seconds = FLAGS.seconds or (0.5 if FLAGS.quick else 2.0)
    if FLAGS.random_filters:
        _show_random(study, measure.measure_random(study, seconds))
        return
    if not FLAGS.report_only:
        _train(study, seeds, out)
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


def _show_random(study: list[points.Point], times: dict[str, dict[int, float]]) -> None:
    header = ["weights"]
    for scale in measure.IMAGE_SCALES:
        image = f" ({scale}x image)" if scale != 1 else ""
        header += [f"layers us{image}", f"vs binary{image}", f"vs XNNPACK int8{image}"]
    for group in dict.fromkeys(point.group for point in study):
        rows = []
        for point in (p for p in study if p.group == group):
            dense = times[measure.dense_key(point)]
            own = dense if point.method.weights == "full_precision" else times[point.key]
            binary = next(
                times[p.key] for p in study if p.group == group and p.method.weights == "binary"
            )
            cells = [point.method.label]
            for scale, us in own.items():
                cells += [f"{us:.1f}", f"{binary[scale] / us:.2f}x", f"{dense[scale] / us:.2f}x"]
            rows.append(cells)
        tables.show(Console(), f"{group}, random filters", header, rows)


if __name__ == "__main__":
    app.run(main)

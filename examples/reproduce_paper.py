"""Reproduces the paper's comparison and ablations on a small dataset.

    python examples/reproduce_paper.py                       # digits, three seeds
    python examples/reproduce_paper.py --dataset=fashion_mnist --data_dir=~/fashion --epochs=20

Full precision, binary, ternary and signed-binary weights at several densities and widths; accuracy
against effectual and against total weights; threshold, share of positive filters, estimator,
region and scale one at a time. Prints the main table; writes a Markdown report with plots. An
interrupted reproduction continues when it is started again, and processes with different --seeds
may fill one --out; the last call, with all seeds, then only writes the report.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from absl import app, flags, logging
from lab.reproduction import report, runs
from lab.reproduction.cases import all_cases
from rich.console import Console

from tf_signbin.training import datasets, tables
from tf_signbin.training.recipes import FOR_DATASET, RECIPES

FLAGS = flags.FLAGS

flags.DEFINE_enum("dataset", "digits", datasets.NAMES, "Dataset.")
flags.DEFINE_string("data_dir", None, "Folder with the dataset's files in their original format.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")
flags.DEFINE_integer("epochs", None, "Epochs; default: the dataset's recipe.")
flags.DEFINE_string("out", "out/reproduce_paper", "Folder of the finished runs.")
flags.DEFINE_string("report", None, "Markdown file of the report; default: inside --out.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.WARNING)
    recipe = RECIPES[FOR_DATASET[FLAGS.dataset]]
    if FLAGS.epochs:
        recipe = dataclasses.replace(recipe, epochs=FLAGS.epochs)
    try:
        data = datasets.load(FLAGS.dataset, FLAGS.data_dir)
    except datasets.DatasetError as error:
        raise app.UsageError(str(error)) from error
    seeds = [int(seed) for seed in FLAGS.seeds]
    # Results of other epochs must not be mixed in.
    folder = Path(FLAGS.out) / f"{FLAGS.dataset}-{recipe.epochs}-epochs"
    stride = 2 if FLAGS.dataset == "glyphs" else 1
    runs.train_all(all_cases(), seeds, data, recipe, stride, folder)
    path = Path(FLAGS.report or folder / "report" / "reproduction.md")
    rows = report.write(seeds, data, recipe, folder, path)
    console = Console()
    tables.show(console, f"{data.name}, {recipe.epochs} epochs", report.HEADER, rows)
    console.print(f"Report: {path}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app.run(main)

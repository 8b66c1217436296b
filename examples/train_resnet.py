"""Trains, converts and measures a residual network with signed-binary weights.

    python examples/train_resnet.py --demo                   # what `make demo` runs
    python examples/train_resnet.py --dataset=glyphs --pattern=2:10 --run_dir=out/glyphs
    python examples/train_resnet.py --dataset=cifar10 --data_dir=~/cifar-10-batches-bin \\
        --model=resnet20 --weights=full_precision --run_dir=out/teacher
    python examples/train_resnet.py --dataset=cifar10 --data_dir=~/cifar-10-batches-bin \\
        --model=resnet20 --teacher=out/teacher/model.keras --run_dir=out/student --tensorboard

A run that was killed continues when the same command is given again. In --run_dir it keeps its
checkpoints, log.csv, curves.png, and at the end model.keras and model.tflite.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

from absl import app, flags, logging
from lab import datasets, demo, distribution, single_run, training
from lab.methods import WEIGHTS, Method
from lab.recipes import AUGMENTATIONS, FOR_DATASET, OPTIMIZERS, RECIPES, SCHEDULES, Recipe
from lab.resnet import ACTIVATIONS, NAMES, Options

FLAGS = flags.FLAGS

flags.DEFINE_bool("demo", False, "The demonstration on digits: several networks, one table.")
flags.DEFINE_string("out", "out", "Folder for the demonstration's files.")

flags.DEFINE_enum("dataset", "digits", datasets.NAMES, "Dataset.")
flags.DEFINE_string("data_dir", None, "Folder with the dataset's files in their original format.")
flags.DEFINE_integer("image_size", None, "Side in pixels (glyphs, image_folder, tfrecords).")
flags.DEFINE_integer("train_size", None, "Number of training images (glyphs).")

flags.DEFINE_enum("model", "resnet8", NAMES, "Network.")
flags.DEFINE_float("width", 1.0, "Multiplies the number of channels.")
flags.DEFINE_enum("activation", "relu", ACTIVATIONS, "Non-linearity.")
flags.DEFINE_bool("residual_per_conv", False, "A shortcut around each convolution.")
flags.DEFINE_bool("activation_biases", False, "Learned biases around each activation.")
flags.DEFINE_integer("stem_stride", None, "Stride of the first convolution; default 2 for glyphs.")

flags.DEFINE_enum("weights", "signed_binary", WEIGHTS, "Kind of weights.")
flags.DEFINE_enum("activations", "float32", ("float32", "int8"), "Type of the activations.")
flags.DEFINE_enum(
    "background", "centered", ("none", "centered", "learned"), "none is the paper's form."
)
flags.DEFINE_string("pattern", None, "n:m, at most n effectual weights of m input channels.")
flags.DEFINE_float("delta", 0.05, "Threshold factor of signed-binary weights.")
flags.DEFINE_enum("estimator", "ste", ("ste", "ede", "approx_sign"), "Gradient of the step.")
flags.DEFINE_float("target_density", None, "Move delta to this density in the first half.")
flags.DEFINE_integer("tighten_epochs", 0, "Epochs over which the pattern's limit tightens.")

flags.DEFINE_integer("epochs", None, "Default: the recipe's, as for all that follow.")
flags.DEFINE_integer("batch_size", None, "Global batch size.")
flags.DEFINE_enum("optimizer", None, OPTIMIZERS, "Optimiser.")
flags.DEFINE_float("learning_rate", None, "At the first step.")
flags.DEFINE_enum("schedule", None, SCHEDULES, "Learning rate over the run.")
flags.DEFINE_float("weight_decay", None, "L2 factor.")
flags.DEFINE_enum("augmentation", None, AUGMENTATIONS, "Augmentation.")

flags.DEFINE_string("teacher", None, "model.keras of a run whose outputs are learned instead.")
flags.DEFINE_string("start", None, "model.keras of a run whose weights are the start.")
flags.DEFINE_enum(
    "precision", "float32", ("float32", "mixed_float16", "mixed_bfloat16"), "Of the computation."
)
flags.DEFINE_enum("strategy", "none", distribution.NAMES, "multi_worker reads TF_CONFIG.")
flags.DEFINE_integer("cpu_replicas", 0, "mirrored without GPUs: devices made of the CPU.")
flags.DEFINE_bool("deterministic", False, "Bit-for-bit repeatable operators; slower on GPUs.")
flags.DEFINE_integer("seed", 0, "Of weights, data order and augmentation.")
flags.DEFINE_string("run_dir", "out/run", "Folder of the run.")
flags.DEFINE_string("json", None, "Write the result of the run there; - for stdout.")
flags.DEFINE_bool("tensorboard", False, "Write TensorBoard events into run_dir/tensorboard.")


def _pattern() -> tuple[int, int] | None:
    if not FLAGS.pattern:
        return None
    try:
        n, m = map(int, FLAGS.pattern.split(":"))
    except ValueError:
        raise app.UsageError(f"--pattern={FLAGS.pattern}: write n:m, for example 2:10.") from None
    return n, m


def _recipe() -> Recipe:
    base = RECIPES[FOR_DATASET[FLAGS.dataset]]
    given = {f.name: FLAGS[f.name].value for f in dataclasses.fields(Recipe)}
    return dataclasses.replace(base, **{k: v for k, v in given.items() if v is not None})


def _setup() -> single_run.Setup:
    stride = FLAGS.stem_stride or (2 if FLAGS.dataset == "glyphs" else 1)
    method_fields = ("weights", "background", "delta", "estimator", "target_density")
    return single_run.Setup(
        model=FLAGS.model,
        options=Options(
            activation=FLAGS.activation,
            residual_per_conv=FLAGS.residual_per_conv,
            activation_biases=FLAGS.activation_biases,
            width=FLAGS.width,
            stem_stride=stride,
        ),
        method=Method(pattern=_pattern(), **{f: FLAGS[f].value for f in method_fields}),
        activations=FLAGS.activations,
        recipe=_recipe(),
        seed=FLAGS.seed,
        folder=Path(FLAGS.run_dir).expanduser(),
        teacher=FLAGS.teacher,
        start=FLAGS.start,
        precision=FLAGS.precision,
        tensorboard=FLAGS.tensorboard,
        tighten_epochs=FLAGS.tighten_epochs,
        json=FLAGS.json,
    )


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.WARNING)
    if FLAGS.demo:
        demo.run(Path(FLAGS.out))
        return
    if FLAGS.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise app.UsageError("--tensorboard needs the package tensorboard: pip install tensorboard")
    strategy = distribution.make_strategy(FLAGS.strategy, FLAGS.cpu_replicas)
    try:
        setup = _setup()
        data = datasets.load(FLAGS.dataset, FLAGS.data_dir, FLAGS.image_size, FLAGS.train_size)
        single_run.run(setup, data, strategy, FLAGS.deterministic)
    except ValueError as error:
        raise app.UsageError(str(error)) from error
    except (OSError, training.CheckpointError) as error:
        raise SystemExit(f"train_resnet.py: {error}") from error


if __name__ == "__main__":
    app.run(main)

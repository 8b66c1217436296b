"""Train, convert and measure a residual network with signed-binary weights.

A run that was killed continues when the same command is given again. In --run_dir it keeps its
checkpoints, log.csv, curves.png, and at the end model.keras and model.tflite.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tf_signbin import console
from tf_signbin.arguments import output_file, pattern, positive
from tf_signbin.training import choices

if TYPE_CHECKING:
    from tf_signbin.training.recipes import Recipe
    from tf_signbin.training.run import Setup

EXAMPLES = """examples:
  tf-signbin train --demo                  what `make demo` runs
  tf-signbin train --dataset=glyphs --pattern=2:10 --run_dir=out/glyphs
  tf-signbin train --epochs=5 --json=-
  tf-signbin train --dataset=cifar10 --data_dir=~/cifar-10-batches-bin --model=resnet20 \\
    --teacher=out/teacher/model.keras --run_dir=out/student --tensorboard
"""
BACKGROUNDS = ("none", "centered", "learned")
ESTIMATORS = ("ste", "ede", "approx_sign")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    def add(group: Any, name: str, help: str, **options: Any) -> None:
        default = options.get("default")
        shown = "" if default in (None, False, 0) else f" (default {default})"
        if "type" in options and options["type"] is not positive:
            options.setdefault("metavar", name.upper())
        group.add_argument(f"--{name}", help=help + shown, **options)

    group = parser.add_argument_group("what is trained on")
    add(group, "demo", "the demonstration on digits: several networks, one table",
        action="store_true")  # fmt: skip
    add(group, "out", "folder for the demonstration's files", default="out")
    add(group, "dataset", "images", choices=choices.DATASETS, default="digits")
    add(group, "data_dir", "folder with the dataset's files in their original format")
    add(group, "image_size", "side in pixels (glyphs, image_folder, tfrecords)", type=positive)
    add(group, "train_size", "number of training images (glyphs)", type=positive)

    group = parser.add_argument_group("network")
    add(group, "model", "network", choices=choices.NETWORKS, default="resnet8")
    add(group, "width", "multiplies the number of channels", type=float, default=1.0)
    add(group, "features", "multiplies the filters of the last convolution besides", type=float,
        default=1.0)  # fmt: skip
    add(group, "activation", "non-linearity", choices=choices.NON_LINEARITIES, default="relu")
    add(group, "residual_per_conv", "a shortcut around each convolution", action="store_true")
    add(group, "activation_biases", "learned biases around each activation", action="store_true")
    add(group, "stem_stride", "stride of the first convolution (default: glyphs 2, others 1)",
        type=int, choices=(1, 2, 4))  # fmt: skip

    group = parser.add_argument_group("quantization")
    add(group, "weights", "kind of weights", choices=choices.WEIGHTS, default="signed_binary")
    add(group, "activations", "type of the activations", choices=("float32", "int8"),
        default="float32")  # fmt: skip
    group.add_argument(
        "--input-bits", "--input_bits", type=int, choices=(3, 4, 5, 6, 8), default=8,
        help="of the int8 inputs of quantized layers; fewer run faster (default 8)",
    )  # fmt: skip
    add(group, "background", "none is the paper's form", choices=BACKGROUNDS, default="centered")
    add(group, "pattern", "n:m, at most n effectual weights of m input channels", type=pattern)
    add(group, "delta", "threshold factor of signed-binary weights", type=float, default=0.05)
    add(group, "estimator", "gradient of the step", choices=ESTIMATORS, default="ste")
    add(group, "target_density", "move delta to this density in the first half", type=float)
    add(group, "tighten_epochs", "epochs over which the pattern's limit tightens", type=int,
        default=0)  # fmt: skip

    group = parser.add_argument_group("recipe; the dataset's own where nothing is given")
    add(group, "epochs", "epochs", type=positive)
    add(group, "batch_size", "global batch size", type=positive)
    add(group, "optimizer", "optimiser", choices=choices.OPTIMIZERS)
    add(group, "learning_rate", "at the first step", type=float)
    add(group, "schedule", "learning rate over the run", choices=choices.SCHEDULES)
    add(group, "weight_decay", "L2 factor", type=float)
    add(group, "augmentation", "augmentation", choices=choices.AUGMENTATIONS)

    group = parser.add_argument_group("run")
    add(group, "teacher", "model.keras of a run whose outputs are learned instead")
    add(group, "start", "model.keras of a run whose weights are the start")
    add(group, "precision", "of the computation", choices=choices.PRECISIONS, default="float32")
    add(group, "strategy", "multi_worker reads TF_CONFIG", choices=choices.STRATEGIES,
        default="none")  # fmt: skip
    add(group, "cpu_replicas", "mirrored without GPUs: devices made of the CPU", type=int,
        default=0)  # fmt: skip
    add(group, "deterministic", "bit-for-bit repeatable operators; slower on GPUs",
        action="store_true")  # fmt: skip
    add(group, "seed", "of weights, data order and augmentation", type=int, default=0)
    add(group, "run_dir", "folder of the run", default="out/run")
    add(group, "json", "write the result of the run there; - for stdout", type=output_file)
    add(group, "tensorboard", "write TensorBoard events into run_dir/tensorboard",
        action="store_true")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    if args.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise console.UsageError("--tensorboard needs the package: pip install tensorboard")
    try:
        if args.demo:
            from tf_signbin.training import demo

            demo.run(Path(args.out))
            return console.OK
        from tf_signbin.training import datasets, distribution
        from tf_signbin.training import run as training_run

        # Before other TensorFlow work.
        strategy = distribution.make_strategy(args.strategy, args.cpu_replicas)
        setup = _setup(args)
        data = datasets.load(args.dataset, args.data_dir, args.image_size, args.train_size)
        training_run.run(setup, data, strategy, args.deterministic)
    except ImportError as error:
        raise console.CommandError(str(error)) from error
    except ValueError as error:
        raise console.UsageError(str(error)) from error
    except (OSError, RuntimeError) as error:
        raise console.CommandError(str(error)) from error
    return console.OK


def _setup(args: argparse.Namespace) -> Setup:
    from tf_signbin.training.methods import Method
    from tf_signbin.training.resnet import Options
    from tf_signbin.training.run import Setup

    return Setup(
        model=args.model,
        options=Options(
            activation=args.activation,
            residual_per_conv=args.residual_per_conv,
            activation_biases=args.activation_biases,
            width=args.width,
            stem_stride=args.stem_stride or (2 if args.dataset == "glyphs" else 1),
            features=args.features,
        ),
        method=Method(
            weights=args.weights,
            background=args.background,
            pattern=args.pattern if args.pattern and args.pattern[1] else None,
            delta=args.delta,
            estimator=args.estimator,
            input_bits=args.input_bits,
            target_density=args.target_density,
        ),
        activations=args.activations,
        recipe=_recipe(args),
        seed=args.seed,
        folder=Path(args.run_dir).expanduser(),
        teacher=args.teacher,
        start=args.start,
        precision=args.precision,
        tensorboard=args.tensorboard,
        tighten_epochs=args.tighten_epochs,
        json=args.json,
    )


def _recipe(args: argparse.Namespace) -> Recipe:
    from tf_signbin.training.recipes import FOR_DATASET, RECIPES, Recipe

    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(Recipe)}
    base = RECIPES[FOR_DATASET[args.dataset]]
    return dataclasses.replace(base, **{k: v for k, v in given.items() if v is not None})

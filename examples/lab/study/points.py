"""What the study compares."""

from __future__ import annotations

import dataclasses

from tf_signbin.training.methods import Method
from tf_signbin.training.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Task:
    """A dataset with the network and the recipes that all methods share on it.

    One float network a width and seed is trained by `teacher`. Every method then starts from its
    weights, learns its outputs (distillation) and trains with int8 activations by `student`. The
    int8 network is what is converted and measured.
    """

    name: str
    dataset: str
    model: str
    stem_stride: int
    teacher: Recipe
    student: Recipe
    image_size: int | None = None
    train_size: int | None = None


@dataclasses.dataclass(frozen=True)
class Point:
    """A method at a width on a task; trained once for each seed."""

    task: Task
    method: Method
    width: float

    @property
    def group(self) -> str:
        """Task and width: what is compared with each other, and what shares a teacher."""
        return f"{self.task.name}-w{self.width:g}"

    @property
    def key(self) -> str:
        """Folder name."""
        return f"{self.group}-{self.method.key}"

    @property
    def recipe(self) -> Recipe:
        rate = LEARNING_RATE.get(self.method.weights, self.task.student.learning_rate)
        return dataclasses.replace(self.task.student, learning_rate=rate)


# Adam's first rate where it is not the recipe's: int8 weights move less than those of one bit.
# Found on glyphs, seed 0 (docs/codesign.md).
LEARNING_RATE = {"full_precision": 0.004}

# Stem and, at width 4, channels of ResNet-18: the shapes that people deploy.
GLYPHS = Task(
    "glyphs",
    "glyphs",
    "resnet8",
    4,
    Recipe(6, 128, "adam", 0.004, "cosine"),
    Recipe(5, 128, "adam", 0.01, "cosine"),
    image_size=24,
)
DIGITS = Task(
    "digits",
    "digits",
    "resnet8",
    1,
    Recipe(20, 64, "adam", 0.004, "cosine", augmentation="shift"),
    Recipe(12, 64, "adam", 0.01, "cosine", augmentation="shift"),
)
QUICK = dataclasses.replace(GLYPHS, name="quick", train_size=5000)

BASELINES = (Method("full_precision"), Method("binary"), Method("ternary"))
PAPER = Method(background="none")
CENTERED = Method(background="centered")
CENTERED_3_OF_7 = Method(background="centered", pattern=(3, 7))
CENTERED_2_OF_8 = Method(background="centered", pattern=(2, 8))
CENTERED_2_OF_10 = Method(background="centered", pattern=(2, 10))
MAIN = (*BASELINES[:2], CENTERED_3_OF_7, CENTERED_2_OF_10)
# Every background with and without a pattern.
OTHERS = (
    BASELINES[2],
    PAPER,
    CENTERED,
    CENTERED_2_OF_8,
    Method(background="learned"),
    Method(background="learned", pattern=(2, 10)),
    Method(background="none", pattern=(2, 10)),
)
SEEDS = (0, 1, 2)


def full_study() -> list[Point]:
    """All points, those that decide the targets first."""
    points = [Point(GLYPHS, m, 4.0) for m in MAIN]
    points += [Point(GLYPHS, m, 2.0) for m in (*MAIN, *OTHERS)]
    points += [Point(DIGITS, m, 1.0) for m in (*MAIN, *OTHERS[:3])]
    points += [Point(GLYPHS, m, 4.0) for m in (PAPER, CENTERED_2_OF_8)]
    return points


def quick_study() -> list[Point]:
    """A few minutes: the main methods on a quarter of the glyphs, at two seeds."""
    methods = (*MAIN[:2], PAPER, *MAIN[2:])
    return [Point(QUICK, m, 2.0) for m in methods]

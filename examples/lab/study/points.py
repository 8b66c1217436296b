"""What the study compares."""

from __future__ import annotations

import dataclasses

from lab.methods import Method
from lab.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Task:
    """A dataset with the network and the recipes that all methods share on it.

    Every network trains with float activations by `recipe`, then with int8 activations by
    `int8_recipe` from those weights. The int8 network is the one that is converted and measured.
    """

    name: str
    dataset: str
    model: str
    stem_stride: int
    recipe: Recipe
    int8_recipe: Recipe
    image_size: int | None = None
    train_size: int | None = None


@dataclasses.dataclass(frozen=True)
class Point:
    """A method at a width on a task; trained once for each seed."""

    task: Task
    method: Method
    width: float

    @property
    def key(self) -> str:
        """Folder name."""
        return f"{self.task.name}-w{self.width:g}-{self.method.key}"

    @property
    def recipe(self) -> Recipe:
        rate = LEARNING_RATE.get(self.method.weights, self.task.recipe.learning_rate)
        return dataclasses.replace(self.task.recipe, learning_rate=rate)

    @property
    def epochs(self) -> int:
        return self.task.recipe.epochs + self.task.int8_recipe.epochs


# Adam's first rate; found on glyphs, seed 0, among 0.001 to 0.02 (docs/codesign.md).
LEARNING_RATE = {"full_precision": 0.004, "binary": 0.01, "ternary": 0.01, "signed_binary": 0.01}

# The widths and the stem of ResNet-18, for images of 32x32 pixels: the shapes that people deploy.
GLYPHS_32 = Task(
    "glyphs32",
    "glyphs",
    "resnet8",
    4,
    Recipe(12, 128, "adam", 0.01, "cosine"),
    Recipe(3, 128, "adam", 5e-4, "cosine"),
    image_size=32,
)
# CIFAR's narrow networks.
GLYPHS_24 = Task(
    "glyphs24",
    "glyphs",
    "resnet8",
    2,
    Recipe(20, 128, "adam", 0.01, "cosine"),
    Recipe(4, 128, "adam", 5e-4, "cosine"),
    image_size=24,
)
DIGITS = Task(
    "digits",
    "digits",
    "resnet8",
    1,
    Recipe(30, 64, "adam", 0.01, "cosine", augmentation="shift"),
    Recipe(5, 64, "adam", 5e-4, "cosine", augmentation="shift"),
)
QUICK = dataclasses.replace(
    GLYPHS_24,
    name="quick",
    recipe=dataclasses.replace(GLYPHS_24.recipe, epochs=8),
    int8_recipe=dataclasses.replace(GLYPHS_24.int8_recipe, epochs=2),
    train_size=5000,
)

BASELINES = (Method("full_precision"), Method("binary"), Method("ternary"))
PAPER = Method(background="none")
CENTERED = Method(background="centered")
CENTERED_3_OF_7 = Method(background="centered", pattern=(3, 7))
CENTERED_2_OF_10 = Method(background="centered", pattern=(2, 10))
OTHERS = (
    Method(background="learned"),
    Method(background="learned", pattern=(3, 7)),
    Method(background="learned", pattern=(2, 10)),
    Method(background="none", pattern=(3, 7)),
    Method(background="none", pattern=(2, 10)),
)
MAIN = (*BASELINES[:2], CENTERED_3_OF_7, CENTERED_2_OF_10)
SEEDS = (0, 1, 2)


def full_study() -> list[Point]:
    """All points, those that decide the targets first."""
    second = (PAPER, CENTERED, BASELINES[2])
    points = [Point(GLYPHS_32, m, 4.0) for m in (*MAIN, *second)]
    points += [Point(GLYPHS_24, m, 2.0) for m in MAIN]
    points += [Point(DIGITS, m, 1.0) for m in (*MAIN, *second)]
    points += [Point(GLYPHS_24, m, 1.0) for m in (*MAIN, *second, *OTHERS)]
    points += [Point(GLYPHS_24, m, 2.0) for m in second]
    return points


def quick_study() -> list[Point]:
    """A few minutes: the main methods on a quarter of the glyphs, at two seeds."""
    methods = (*MAIN[:2], PAPER, *MAIN[2:])
    return [Point(QUICK, m, 1.0) for m in methods]

"""How networks are trained: optimiser, schedule, augmentation. Sources beside each recipe."""

from __future__ import annotations

import dataclasses
from typing import Any

from tf_signbin.training import augment
from tf_signbin.training.choices import AUGMENTATIONS, OPTIMIZERS, SCHEDULES
from tf_signbin.training.datasets.base import Augmentation
from tf_signbin.training.keras import keras


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A training run apart from data and model.

    learning_rate: at the first step; `schedule` takes it to 0 at the last one, or keeps it.
    weight_decay: factor of the L2 term wd/2 * sum(w²) over all trained variables.
    """

    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    schedule: str
    weight_decay: float = 0.0
    augmentation: str = "none"

    def __post_init__(self) -> None:
        for field, choices in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("augmentation", AUGMENTATIONS),
        ):
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"{field}={getattr(self, field)!r} is not one of {', '.join(choices)}."
                )
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0:
            raise ValueError("epochs, batch_size and learning_rate must be positive.")

    def learning_rates(self, steps_per_epoch: int) -> Any:
        """The learning rate: a Keras schedule over all steps, or a number if it is constant."""
        steps = self.epochs * steps_per_epoch
        schedules = keras.optimizers.schedules
        if self.schedule == "cosine":
            return schedules.CosineDecay(self.learning_rate, steps)
        if self.schedule == "linear":
            return schedules.PolynomialDecay(self.learning_rate, steps, end_learning_rate=0.0)
        return self.learning_rate

    def make_optimizer(self, steps_per_epoch: int) -> Any:
        """A Keras optimizer for `steps_per_epoch * epochs` steps."""
        rate = self.learning_rates(steps_per_epoch)
        if self.optimizer == "adam":
            return keras.optimizers.Adam(rate)
        return keras.optimizers.SGD(rate, momentum=0.9)

    def make_augmentation(self) -> Augmentation | None:
        return {
            "none": None,
            "shift": augment.pad_and_crop(1),
            "cifar": augment.chain(augment.pad_and_crop(4), augment.flip),
            "imagenet": augment.chain(augment.flip, augment.color_jitter(0.4)),
        }[self.augmentation]


RECIPES = {
    # Small tasks of our own; 8x8 digits saturate within a few epochs.
    "digits": Recipe(40, 64, "adam", 4e-3, "cosine", augmentation="shift"),
    "glyphs": Recipe(20, 128, "adam", 4e-3, "cosine"),
    # IR-Net's ResNet-20 (Qin et al., CVPR 2020); the signed-binary paper's own is unknown.
    "cifar": Recipe(400, 128, "sgd", 0.1, "cosine", 1e-4, "cifar"),
    # The signed-binary paper's ResNet-18 (published training code); random resized crops come with
    # the dataset. It distils from a full-precision teacher.
    "imagenet": Recipe(320, 64, "adam", 2e-4, "linear", 0.0, "imagenet"),
}

FOR_DATASET = {
    "digits": "digits",
    "glyphs": "glyphs",
    "cifar10": "cifar",
    "cifar100": "cifar",
    "fashion_mnist": "cifar",
    "image_folder": "imagenet",
    "tfrecords": "imagenet",
}

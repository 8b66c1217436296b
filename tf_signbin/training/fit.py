"""One training run: fit with exact resume, logs and a progress report."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tf_signbin.convert import write_file
from tf_signbin.training.datasets.base import ImageDataset, repeat_epochs
from tf_signbin.training.keras import keras, tf
from tf_signbin.training.objective import Objective
from tf_signbin.training.recipes import Recipe

History = list[dict[str, float]]


@dataclasses.dataclass
class Run:
    """Where a run keeps its state and what it reports to.

    folder: checkpoints, log.csv and TensorBoard events; None keeps nothing.
    report: called after each epoch with (epoch from 1, epochs, logs).
    """

    folder: Path | None = None
    tensorboard: bool = False
    report: Callable[[int, int, dict[str, float]], None] | None = None
    callbacks: Sequence[Any] = ()


def train(
    model: Any,
    data: ImageDataset,
    recipe: Recipe,
    seed: int,
    run: Run | None = None,
    teacher: Any = None,
) -> History:
    """Trains `model`; continues where a killed run in the same folder had stopped.

    What a run does depends on its arguments alone: a resumed run ends with the weights of an
    uninterrupted one (bit for bit with tf.config.experimental.enable_op_determinism). Call it
    inside `strategy.scope()`, with the model made there, to distribute it; the batch of the recipe
    is the global one.

    Returns:
      One dictionary an epoch: epoch, loss, accuracy, val_loss, val_accuracy.
    """
    run = run or Run()
    steps = data.steps_per_epoch(recipe.batch_size)
    objective = Objective(model, recipe.weight_decay, teacher)
    objective.compile(recipe.make_optimizer(steps), metrics=[_accuracy()])
    log = EpochLog(run)
    first = 0
    if run.folder:
        run.folder.mkdir(parents=True, exist_ok=True)
        # Slots of the optimiser must exist before a checkpoint is restored into them.
        objective.optimizer.build(objective.trainable_variables)
        checkpoints = Checkpoints(objective, run.folder)
        first = checkpoints.restore()
        log.keep(first)
    if first < recipe.epochs:
        batches = data.train_batches(recipe.batch_size, seed, recipe.make_augmentation())
        callbacks = [*run.callbacks, log]
        if run.folder:
            callbacks.append(checkpoints)
            if run.tensorboard and is_chief():
                callbacks.append(keras.callbacks.TensorBoard(str(run.folder / "tensorboard")))
        objective.fit(
            repeat_epochs(batches, first, recipe.epochs),
            epochs=recipe.epochs,
            initial_epoch=first,
            steps_per_epoch=steps,
            shuffle=False,  # the data are shuffled
            validation_data=data.test_batches(_validation_batch(data.test_size)),
            callbacks=callbacks,
            verbose=0,
        )
    return log.history


def _validation_batch(images: int, largest: int = 500) -> int:
    """Images of a batch, such that the last one has some for every replica: the mean loss of no
    image is none."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if images < replicas:
        raise ValueError(f"{images} test images are too few for {replicas} replicas.")
    return next(b for b in range(largest, 0, -1) if images % b == 0 or images % b >= replicas)


def _accuracy() -> Any:
    return keras.metrics.SparseCategoricalAccuracy("accuracy")


def is_chief() -> bool:
    """Whether this process writes what workers share: worker 0, or the only one."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    return resolver is None or resolver.task_type in (None, "chief") or resolver.task_id == 0


class EpochLog(keras.callbacks.Callback):
    """The history, in memory and as log.csv, and the report after each epoch."""

    def __init__(self, run: Run):
        super().__init__()
        self.history: History = []
        self._run = run
        self._file = run.folder / "log.csv" if run.folder and is_chief() else None

    def keep(self, epochs: int) -> None:
        """Takes over the rows of epochs that a resumed run does not repeat."""
        if self._file and self._file.exists():
            with self._file.open(newline="") as file:
                rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
            self.history = rows[:epochs]
            self._write()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        names = sorted(logs, key=lambda name: not name.endswith("loss"))  # losses first
        row = {"epoch": float(epoch + 1), **{name: float(logs[name]) for name in names}}
        self.history.append(row)
        self._write()
        if self._run.report:
            self._run.report(epoch + 1, self.params["epochs"], row)

    def _write(self) -> None:
        if not self._file:
            return
        columns = list(dict.fromkeys(k for row in self.history for k in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(self.history)
        write_file(self._file, text.getvalue().encode())


class CheckpointError(RuntimeError):
    """A run cannot save its state, or cannot go on from what it saved; says what to do."""


class Checkpoints(keras.callbacks.Callback):
    """Model, optimiser and number of finished epochs, after each epoch; the last two are kept.

    TensorFlow writes a checkpoint's index last and the manager then renames its list, so a process
    that is killed while it saves leaves the one before.
    """

    def __init__(self, objective: Any, folder: Path):
        super().__init__()
        self._epochs = tf.Variable(0, dtype=tf.int64, trainable=False)
        state = tf.train.Checkpoint(
            model=objective, optimizer=objective.optimizer, epochs=self._epochs
        )
        # Every worker must take part in saving; all but the chief write where nobody reads.
        own = "checkpoints" if is_chief() else f"checkpoints_worker_{_task_id()}"
        self._folder = folder / own
        self._set_damaged_list_aside()
        self._manager = tf.train.CheckpointManager(state, str(self._folder), max_to_keep=2)
        self._state = state

    def restore(self) -> int:
        """Restores the newest sound checkpoint; returns the number of epochs it has behind it.

        Raises:
          CheckpointError: there are checkpoints, and none can be read.
        """
        paths = self._saved()
        for path in paths:
            try:
                status = self._state.restore(path)
                with contextlib.suppress(AttributeError):
                    status.expect_partial()
                status.assert_existing_objects_matched()
            except (tf.errors.OpError, ValueError, IndexError, AssertionError) as error:
                reason = str(error).strip().splitlines()[0]
                logging.warning("checkpoint %s cannot be read (%s)", path, reason)
                continue
            if path != paths[0]:
                logging.warning("going on from the checkpoint before, %s", path)
            return int(self._epochs.numpy())
        if paths:
            raise CheckpointError(
                f"none of the checkpoints in {self._folder} can be read, or they belong to another "
                "model; delete that folder to train from the beginning"
            )
        return 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epochs.assign(epoch + 1)
        try:
            self._manager.save()
        except (tf.errors.OpError, OSError) as error:
            raise CheckpointError(
                f"epoch {epoch + 1} cannot be saved in {self._folder}: "
                f"{str(error).strip().splitlines()[0]}. Earlier checkpoints are kept; make room or "
                "give it write permission, and run the same command again to go on."
            ) from error

    def _set_damaged_list_aside(self) -> None:
        """TensorFlow's list of checkpoints is a convenience: their files say the same."""
        path = self._folder / "checkpoint"
        try:
            sound = tf.train.get_checkpoint_state(str(self._folder)) is not None
        except UnicodeDecodeError:
            sound = False
        if path.exists() and not sound:
            logging.warning("%s cannot be read; it is now %s.damaged", path, path.name)
            path.rename(path.with_name("checkpoint.damaged"))

    def _saved(self) -> list[str]:
        """Newest first, by their files: the list that TensorFlow keeps may be damaged itself."""
        numbered = {
            int(path.stem.rpartition("-")[2]): str(path.with_suffix(""))
            for path in self._folder.glob("ckpt-*.index")
        }
        return [numbered[number] for number in sorted(numbered, reverse=True)]


def _task_id() -> int:
    return tf.distribute.get_strategy().cluster_resolver.task_id

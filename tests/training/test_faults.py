"""Training and conversion while the disk fails: nothing is lost, the message says what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.convert.models import int8_conv
from tf_signbin.training import datasets, distribution, fit, resnet, run
from tf_signbin.training.keras import keras
from tf_signbin.training.methods import Method
from tf_signbin.training.recipes import Recipe


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def model(seed=0):
    keras.utils.set_random_seed(seed)
    return resnet.build("resnet8", (8, 8, 1), 10, resnet.Options(width=0.25))


def train(digits, folder, epochs=3, seed=0):
    recipe = Recipe(epochs, 64, "adam", 4e-3, "cosine", 1e-4)
    return fit.train(model(seed), digits, recipe, 7, fit.Run(folder))


@pytest.mark.slow
class TestCheckpoints:
    @pytest.fixture
    def run(self, digits, tmp_path):
        """A run of two epochs, with the checkpoints of both."""
        train(digits, tmp_path, 2)
        assert len(list((tmp_path / "checkpoints").glob("*.index"))) == 2
        return tmp_path

    @pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
    @pytest.mark.parametrize("damage", ["truncated", "overwritten"])
    def test_a_damaged_one_is_named_and_the_one_before_serves(
        self, run, digits, caplog, suffix, damage
    ):
        path = run / "checkpoints" / f"ckpt-2{suffix}"
        size = path.stat().st_size
        path.write_bytes(path.read_bytes()[: size // 2] if damage == "truncated" else b"x" * size)
        history = train(digits, run, 3, seed=99)
        assert [row["epoch"] for row in history] == [1, 2, 3]
        assert "ckpt-2 cannot be read" in caplog.text
        assert "going on from the checkpoint before" in caplog.text

    def test_a_damaged_list_is_not_needed(self, run, digits):
        (run / "checkpoints" / "checkpoint").write_bytes(b"\xff\x00nonsense")
        history = train(digits, run, 3, seed=99)
        assert [row["epoch"] for row in history] == [1, 2, 3]
        assert history[0]["loss"] != history[2]["loss"]

    def test_none_left_is_an_error_that_keeps_the_files(self, run, digits):
        for path in (run / "checkpoints").glob("*.index"):
            path.write_bytes(b"x" * 100)
        before = sorted(p.name for p in (run / "checkpoints").iterdir())
        with pytest.raises(fit.CheckpointError, match=r"checkpoints can be read.*delete that"):
            train(digits, run, 3)
        assert sorted(p.name for p in (run / "checkpoints").iterdir()) == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of some hundred kilobytes, and a function that makes it larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a file system needs root")
    yield (
        folder,
        lambda: subprocess.run(["mount", "-o", "remount,size=50m", str(folder)], check=True),
    )
    subprocess.run(["umount", "-l", str(folder)], check=True)


# Saves as fast as it can; every weight of epoch n is n.
_SAVER = """
import sys
from pathlib import Path
from tf_signbin.training import fit
from tf_signbin.training.keras import keras
model = keras.Sequential([keras.layers.Dense(2000, input_shape=(500,)) for _ in range(2)])
model.compile("sgd", "mse")
checkpoints = fit.Checkpoints(model, Path(sys.argv[1]))
epoch = checkpoints.restore()
if epoch:
    assert all((weights == epoch).all() for weights in model.get_weights()), "half of an epoch"
print("restored", epoch, flush=True)
while True:
    model.set_weights([0 * weights + epoch + 1 for weights in model.get_weights()])
    checkpoints.on_epoch_end(epoch)
    epoch += 1
    print("saved", epoch, flush=True)
"""


@pytest.mark.slow
def test_killed_while_saving(tmp_path):
    """SIGKILL at a random moment of a save: what had been saved before is there, and whole."""
    rng, saved = np.random.default_rng(0), 0
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", _SAVER, str(tmp_path)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        lines = [process.stdout.readline() for _ in range(int(rng.integers(2, 6)))]
        time.sleep(rng.random() * 0.1)
        process.kill()
        rest, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors
        words = [
            line.split()
            for line in (*lines, *rest.splitlines(keepends=True))
            if line.endswith("\n")
        ]
        assert words[0][0] == "restored"
        # The save in progress may have been complete, but for the line that says so.
        assert int(words[0][1]) in (saved, saved + 1)
        saved = int(words[-1][1])
    assert saved > 6


def fill(folder, free_blocks):
    space = os.statvfs(folder)
    size = max(0, (space.f_bavail - free_blocks) * space.f_frsize)
    (folder / "filler").write_bytes(b"x" * size)


@pytest.mark.slow
def test_full_disk_while_saving(small_disk, digits):
    """The first checkpoints fit, a later one does not; with more room the run goes on."""
    folder, grow = small_disk
    train(digits, folder, 1)
    fill(folder, free_blocks=4)
    with pytest.raises(fit.CheckpointError, match=rf"epoch 2 cannot be saved in {folder}"):
        train(digits, folder, 3)
    grow()
    history = train(digits, folder, 3, seed=99)
    assert [row["epoch"] for row in history] == [1, 2, 3]


@pytest.mark.slow
def test_full_disk_while_the_finished_model_is_written(small_disk, digits):
    """The model and the pictures of the run before stay; with room again, the rest is written."""
    folder, grow = small_disk
    grow()
    recipe = Recipe(1, 64, "adam", 4e-3, "cosine", 1e-4)
    setup = run.Setup("resnet8", resnet.Options(width=0.25), Method(), "float32", recipe, 0, folder)
    strategy = distribution.make_strategy("none", 0)
    run.run(setup, digits, strategy)
    before = (folder / "model.keras").read_bytes()
    tflite = (folder / "model.tflite").read_bytes()
    fill(folder, free_blocks=4)
    with pytest.raises(OSError, match="No space left on device"):
        run.run(setup, digits, strategy)
    assert (folder / "model.keras").read_bytes() == before
    assert (folder / "model.tflite").read_bytes() == tflite
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    (folder / "filler").unlink()
    run.run(setup, digits, strategy)


def test_full_disk_while_converting(small_disk):
    folder, _ = small_disk
    source = folder.parent / "model.tflite"
    source.write_bytes(int8_conv())
    target = folder / "packed.tflite"
    target.write_bytes(b"the old file")
    fill(folder, free_blocks=0)
    result = convert(source, target)
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert target.read_bytes() == b"the old file"
    assert sorted(p.name for p in folder.iterdir()) == ["filler", "packed.tflite"]


def test_output_that_cannot_be_written(tmp_path):
    source = tmp_path / "model.tflite"
    source.write_bytes(int8_conv())
    # /proc takes no files, root or not.
    result = convert(source, Path("/proc/packed.tflite"))
    assert result.returncode == 1
    assert "/proc" in result.stderr
    assert "Traceback" not in result.stderr


def convert(source, target, **options):
    command = [sys.executable, "-m", "tf_signbin", "convert", str(source), "-o", str(target)]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.mark.slow
def test_killed_conversions_leave_the_old_file(tmp_path):
    """Killed at any moment: the target is the old file or a whole new one."""
    source, target = tmp_path / "model.tflite", tmp_path / "packed.tflite"
    source.write_bytes(int8_conv())
    assert convert(source, target).returncode == 0
    new = target.read_bytes()
    command = [sys.executable, "-m", "tf_signbin", "convert", str(source), "-o", str(target)]
    start = time.monotonic()
    assert subprocess.run(command, capture_output=True).returncode == 0
    duration = time.monotonic() - start
    states = set()
    for moment in np.linspace(0.5, 1.05, 12):
        target.write_bytes(b"the old file")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment * duration)
        process.send_signal(signal.SIGKILL)
        process.wait()
        content = target.read_bytes()
        assert content in (b"the old file", new)
        states.add(content == new)
    assert False in states

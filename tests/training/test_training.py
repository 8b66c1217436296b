"""Models, recipes, objective, and runs that go on after an interruption."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tf_signbin
from tf_signbin.training import augment, datasets, fit, methods, resnet
from tf_signbin.training.keras import keras, tf
from tf_signbin.training.objective import Objective
from tf_signbin.training.recipes import RECIPES, Recipe

ROOT = Path(__file__).resolve().parents[2]
TINY = resnet.Options(width=0.25)
RECIPE = Recipe(3, 64, "adam", 4e-3, "cosine", 1e-4, "shift")


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def _model(seed=0, method=None):
    keras.utils.set_random_seed(seed)
    plain = resnet.build("resnet8", (8, 8, 1), 10, TINY)
    return method.apply(plain, "float32") if method else plain


class TestModels:
    # He et al. 2016, table 6: millions of parameters of the CIFAR networks (their shortcuts have
    # none; ours are two 1x1 convolutions with BatchNorm).
    @pytest.mark.parametrize(
        ("name", "millions"),
        [("resnet20", 0.27), ("resnet32", 0.46), ("resnet44", 0.66), ("resnet56", 0.85)],
    )
    def test_cifar_parameters(self, name, millions):
        model = resnet.build(name, (32, 32, 3), 10, resnet.Options())
        shortcuts = sum(w.shape.num_elements() for w in model.trainable_weights
                        if "shortcut" in w.path)  # fmt: skip
        count = sum(w.shape.num_elements() for w in model.trainable_weights)
        assert abs((count - shortcuts) / 1e6 - millions) < 0.006

    # Slow for its many layers. The counts that torchvision documents for these networks.
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "count"), [("resnet18", 11_689_512), ("resnet34", 21_797_672),
                            ("resnet50", 25_557_032)]
    )  # fmt: skip
    def test_imagenet_parameters(self, name, count):
        model = resnet.build(name, (64, 64, 3), 1000, resnet.Options())
        assert sum(w.shape.num_elements() for w in model.trainable_weights) == count

    @pytest.mark.slow
    def test_resnet110_and_width(self):
        model = resnet.build("resnet110", (16, 16, 3), 10, resnet.Options(width=0.25))
        convs = [v for v in model.layers if isinstance(v, keras.layers.Conv2D)]
        assert len([c for c in convs if c.kernel_size == (3, 3)]) == 109
        assert convs[0].filters == 4

    @pytest.mark.parametrize("activation", resnet.ACTIVATIONS)
    def test_options(self, activation):
        options = resnet.Options(activation, True, True, 0.25)
        model = resnet.build("resnet8", (8, 8, 1), 10, options)
        adds = [v for v in model.layers if isinstance(v, keras.layers.Add)]
        biases = [v for v in model.layers if isinstance(v, resnet.ChannelBias)]
        assert (len(adds), len(biases)) == (6, 14)  # one addition a convolution
        quantized = methods.Method().apply(model, "float32")
        x = np.random.default_rng(0).random((2, 8, 8, 1)).astype("f")
        assert np.isfinite(quantized(x)).all()

    @pytest.mark.parametrize("per_conv", [False, True])
    def test_features_are_more_filters_of_the_last_convolution(self, per_conv):
        options = {"width": 0.5, "residual_per_conv": per_conv}
        plain, wide = (
            {v.name: v.filters for v in resnet.build("resnet8", (8, 8, 1), 10, resnet.Options(
                **options, features=features)).layers if isinstance(v, keras.layers.Conv2D)}
            for features in (1.0, 1.5)
        )  # fmt: skip
        changed = {name: filters for name, filters in wide.items() if plain.get(name) != filters}
        block = "stage3_block1_part2" if per_conv else "stage3_block1"
        assert changed == {f"{block}_{1 if per_conv else 2}_conv": 48, f"{block}_shortcut_conv": 48}

    def test_clamp(self):
        assert resnet.Clamp()(tf.constant([-3.0, 0.5, 9.0])).numpy().tolist() == [-2.0, 0.5, 2.0]

    def test_only_3x3_convolutions_are_quantized(self):
        kernels = methods.quantized_weights(_model(method=methods.Method()))
        assert len(kernels) == 6
        assert all(kernel.shape[:2] == (3, 3) for kernel in kernels.values())

    def test_unknown_names(self):
        with pytest.raises(ValueError, match="choose one of resnet8"):
            resnet.build("vgg", (8, 8, 1), 10, TINY)
        with pytest.raises(ValueError, match="activation='gelu'"):
            resnet.Options("gelu")
        with pytest.raises(ValueError, match="features=0 must be more than 0"):
            resnet.Options(features=0)


class TestMethods:
    @pytest.mark.parametrize(
        ("method", "values", "density"),
        [
            (methods.Method("binary"), {2}, (1, 1)),
            (methods.Method("ternary"), {2, 3}, (0.3, 0.8)),
            (methods.Method(background="none"), {2}, (0.2, 0.6)),
            (methods.Method(pattern=(2, 10)), {2}, (0.1, 0.3)),
        ],
    )
    def test_values_of_a_filter_and_density(self, method, values, density):
        model = method.apply(resnet.build("resnet8", (8, 8, 1), 10, resnet.Options()), "float32")
        for kernel in methods.quantized_weights(model).values():
            for f in range(kernel.shape[-1]):
                assert len(np.unique(kernel[..., f])) in values
        effective, total = methods.effectual(model)
        assert density[0] <= effective / total <= density[1]

    def test_pattern_of_wide_layers_alone(self):
        method = methods.Method(pattern=(2, 10), pattern_from=16)
        network = resnet.build("resnet8", (8, 8, 1), 10, resnet.Options(width=0.5))
        kernels = tf_signbin.quantized_kernels(method.apply(network, "float32"))
        patterns = {k.latent.shape[-2]: k.quantizer.pattern for k in kernels}
        assert patterns == {8: None, 16: (2, 10), 32: (2, 10)}
        assert method.of_layer(8).weight_spec().pattern == (0, 0)
        assert method.of_layer(16) == methods.Method(pattern=(2, 10))
        with pytest.raises(ValueError, match="needs a pattern"):
            methods.Method(pattern_from=16)

    def test_layers_that_keep_int8_weights(self):
        method = methods.Method(int8_layers=("stage1_block1_1_conv",), input_bits=5)
        network = resnet.build("resnet8", (8, 8, 1), 10, resnet.Options())
        model = method.apply(network, "int8")
        names = {kernel.name for kernel in tf_signbin.quantized_kernels(model)}
        all_names = {layer.name for layer in network.layers if methods.is_quantizable(layer)}
        assert names == all_names - {"stage1_block1_1_conv"}
        assert len(tf_signbin.low_bit_inputs(model)) == len(names)
        assert "stage1_block1_1_conv" in method.label

    def test_weights_carry_over_to_int8(self):
        source = _model(method=methods.Method(background="learned", pattern=(2, 10)))
        for v in source.trainable_variables:
            v.assign_add(tf.random.normal(v.shape, stddev=0.1))
        method = methods.Method(background="learned", pattern=(2, 10))
        target = method.apply(resnet.build("resnet8", (8, 8, 1), 10, TINY), "int8")
        methods.copy_weights(source, target)
        pairs = zip(*map(tf_signbin.quantized_kernels, (source, target)), strict=True)
        for before, after in pairs:
            np.testing.assert_array_equal(before.mask(), after.mask())

    def test_a_second_int8_network_gets_everything(self):
        """Ranges of activations and statistics too: what train_resnet saves is such a copy."""
        method = methods.Method(pattern=(2, 10))
        source, target = (
            method.apply(resnet.build("resnet8", (8, 8, 1), 10, TINY), "int8") for _ in range(2)
        )
        for v in source.variables:
            if "float" in v.dtype:
                v.assign_add(tf.random.uniform(v.shape, 0.01, 0.1))
        methods.copy_weights(source, target)
        for before, after in zip(source.variables, target.variables, strict=True):
            np.testing.assert_array_equal(before.numpy(), after.numpy(), err_msg=before.path)

    def test_missing_counterpart(self):
        with pytest.raises(ValueError, match="background"):
            methods.copy_weights(_model(), _model(method=methods.Method(background="learned")))


class TestObjective:
    def _loss(self, logits, labels, weight_decay=0.0, teacher_logits=None):
        x = keras.Input((3,))
        model = keras.Model(x, keras.layers.Dense(3, use_bias=False, name="d")(x))
        model.layers[1].kernel.assign(np.eye(3))
        teacher = None
        if teacher_logits is not None:
            t = keras.Input((3,))
            teacher = keras.Model(t, keras.layers.Lambda(lambda v: v * 0 + teacher_logits)(t))
        objective = Objective(model, weight_decay, teacher)
        objective.compile("sgd")
        return float(objective.compute_loss(logits, labels, model(logits)))

    def test_cross_entropy_and_weight_decay(self):
        logits, labels = np.array([[1.0, 2, 0], [0, 1, 5]], np.float32), np.array([1, 0])
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        expected = -np.log(p[[0, 1], labels]).mean()
        assert self._loss(logits, labels) == pytest.approx(expected, rel=1e-5)
        decayed = self._loss(logits, labels, weight_decay=0.1)
        assert decayed == pytest.approx(expected + 0.1 / 2 * 3, rel=1e-5)

    def test_distillation_is_the_kl_divergence(self):
        student, teacher = np.array([[1.0, 2, 0]]), np.array([[0.0, 3, 1]])
        p, q = (np.exp(v) / np.exp(v).sum() for v in (teacher, student))
        got = self._loss(student.astype("f"), np.array([0]), teacher_logits=teacher.astype("f"))
        assert got == pytest.approx((p * np.log(p / q)).sum(), rel=1e-5)

    def test_teacher_is_not_trained(self, digits):
        teacher, student = _model(1), _model(2)
        before = teacher.get_weights()
        objective = Objective(student, 1e-4, teacher)
        assert len(objective.trainable_variables) == len(student.trainable_variables)
        fit.train(student, digits, dataclasses.replace(RECIPE, epochs=1), 0, teacher=teacher)
        for a, b in zip(before, teacher.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


class TestRecipes:
    def test_schedules_end_at_zero(self):
        for name, recipe in RECIPES.items():
            rates = recipe.learning_rates(10)
            assert float(rates(0)) == pytest.approx(recipe.learning_rate), name
            assert float(rates(10 * recipe.epochs)) == pytest.approx(0.0, abs=1e-9), name

    def test_bad_values(self):
        with pytest.raises(ValueError, match="optimizer='lion'"):
            Recipe(1, 1, "lion", 0.1, "cosine")
        with pytest.raises(ValueError, match="must be positive"):
            Recipe(0, 1, "sgd", 0.1, "cosine")


class TestAugmentation:
    images = np.random.default_rng(0).random((64, 8, 8, 3)).astype("f")

    @pytest.mark.parametrize("name", ["shift", "cifar", "imagenet"])
    def test_depends_on_the_seed_alone(self, name):
        step = Recipe(1, 1, "sgd", 0.1, "cosine", augmentation=name).make_augmentation()
        first, again, other = (step(self.images, tf.constant(s)) for s in ([1, 2], [1, 2], [1, 3]))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)
        assert first.shape == self.images.shape
        assert 0 <= float(tf.reduce_min(first)) <= float(tf.reduce_max(first)) <= 1

    def test_crop_is_a_shift_with_zeros(self):
        moved = augment.pad_and_crop(2)(self.images, tf.constant([0, 0])).numpy()
        padded = np.pad(self.images, ((0, 0), (2, 2), (2, 2), (0, 0)))
        seen = set()
        for image, result in zip(padded, moved, strict=True):
            places = [(r, c) for r in range(5) for c in range(5)
                      if np.array_equal(image[r : r + 8, c : c + 8], result)]  # fmt: skip
            assert len(places) == 1
            seen.update(places)
        assert len(seen) > 15

    def test_flip_mirrors_some(self):
        flipped = augment.flip(self.images, tf.constant([0, 0])).numpy()
        mirrored = [
            np.array_equal(a, b[:, ::-1]) for a, b in zip(flipped, self.images, strict=True)
        ]
        assert 16 < sum(mirrored) < 48


class Stop(keras.callbacks.Callback):
    """Breaks a run in the middle of its third epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 2 * self.params["steps"] + 5:
            raise KeyboardInterrupt


def test_resumed_run_equals_uninterrupted_one(digits, tmp_path):
    method = methods.Method(pattern=(2, 10))
    whole = _model(method=method)
    complete = fit.train(whole, digits, RECIPE, 7, fit.Run(tmp_path / "a"))
    run = fit.Run(tmp_path / "b", callbacks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        fit.train(_model(method=method), digits, RECIPE, 7, run)
    # Another start: everything must come from the checkpoint.
    resumed = _model(seed=99, method=method)
    history = fit.train(resumed, digits, RECIPE, 7, fit.Run(tmp_path / "b"))
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[-1]["val_loss"] == pytest.approx(complete[-1]["val_loss"], rel=1e-4)
    for a, b in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4, err_msg=a.path)
    assert len((tmp_path / "b" / "log.csv").read_text().splitlines()) == 4


def _command(folder, *flags):
    return [sys.executable, "-m", "tf_signbin", "train", "--width=0.25",
            f"--run_dir={folder}", "--deterministic", *flags]  # fmt: skip


def _environment(**extra):
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **extra}


def _weights(folder):
    with tf_signbin.quantize_scope():
        model = keras.models.load_model(folder / "model.keras", compile=False)
    return {v.path: v.numpy() for v in model.variables}


@pytest.mark.slow
def test_killed_run_continues_bit_for_bit(tmp_path):
    flags = ("--epochs=6", "--pattern=2:10", "--weight_decay=1e-4")
    subprocess.run(_command(tmp_path / "a", *flags), env=_environment(), check=True)
    process = subprocess.Popen(_command(tmp_path / "b", *flags), env=_environment())
    log = tmp_path / "b" / "log.csv"
    while not (log.exists() and len(log.read_text().splitlines()) >= 3):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "b" / "model.keras").exists()
    subprocess.run(_command(tmp_path / "b", *flags), env=_environment(), check=True)
    whole, resumed = _weights(tmp_path / "a"), _weights(tmp_path / "b")
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)
    assert (tmp_path / "a" / "model.tflite").read_bytes() == (
        tmp_path / "b" / "model.tflite"
    ).read_bytes()


@pytest.mark.slow
def test_mirrored_replicas(tmp_path):
    flags = ("--epochs=2", "--strategy=mirrored", "--cpu_replicas=2")
    subprocess.run(_command(tmp_path, *flags), env=_environment(), check=True)
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert float(rows[2].split(",")[1]) < float(rows[1].split(",")[1]), "the loss must fall"


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("localhost", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


_WORKER = """
import sys, numpy as np
from tf_signbin.training import distribution
strategy = distribution.make_strategy("multi_worker")
from tf_signbin.training import datasets, methods, resnet, fit
from tf_signbin.training.keras import keras
from tf_signbin.training.recipes import Recipe
from pathlib import Path
folder, worker = Path(sys.argv[1]), sys.argv[2]
keras.utils.set_random_seed(int(worker))  # different on purpose: the strategy must align them
with strategy.scope():
    plain = resnet.build("resnet8", (8, 8, 1), 10, resnet.Options(width=0.25))
    model = methods.Method(pattern=(2, 10)).apply(plain, "float32")
    run = fit.Run(folder / "run")
    history = fit.train(model, datasets.load("digits"),
                             Recipe(2, 64, "adam", 4e-3, "cosine"), 0, run)
np.savez(folder / f"worker{worker}.npz",
         loss=[row["loss"] for row in history],
         **{v.path.replace("/", "|"): v.numpy() for v in model.trainable_variables})
"""


@pytest.mark.slow
def test_two_workers_end_with_the_same_weights(tmp_path):
    hosts = [f"localhost:{port}" for port in _free_ports(2)]
    script = tmp_path / "worker.py"
    script.write_text(_WORKER)
    workers = []
    for i in range(2):
        config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": i}}
        workers.append(
            subprocess.Popen(
                [sys.executable, str(script), str(tmp_path), str(i)],
                env=_environment(TF_CONFIG=json.dumps(config)),
            )
        )
    try:
        assert [w.wait(timeout=240) for w in workers] == [0, 0]
    finally:
        for w in workers:
            w.kill()
    first, second = (np.load(tmp_path / f"worker{i}.npz") for i in range(2))
    assert set(first.files) == set(second.files)
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert first["loss"][1] < first["loss"][0]

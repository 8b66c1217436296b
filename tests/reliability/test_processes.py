"""What a long-running process does with the delegate: threads, loops, forks, resizing, failures."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.delegate import models
from tests.delegate.conftest import invoke


def conv(seed: int, **fixed) -> models.Layer:
    fixed = {"op": "conv", "kind": "two_valued", "regions": 1, "shape": (16, 3, 3, 24),
             "stride": (1, 1), "dilation": (1, 1), "padding": "SAME", "pattern": (0, 0),
             "density": 0.4, "input_shape": (1, 9, 11, 24)} | fixed  # fmt: skip
    return models.random_layer(np.random.default_rng(seed), "int8", **fixed)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_interpreters_in_several_threads(runner):
    """Each thread makes, runs and drops interpreters of its own; every result is exact."""
    layers = [conv(seed) for seed in range(4)]
    inputs = [models.random_input(np.random.default_rng(9), layer) for layer in layers]
    expected = [
        runner.run_builtin_reference(models.one_layer_model(layer, packed=False), x)
        for layer, x in zip(layers, inputs, strict=True)
    ]
    failures: list[str] = []

    def work(number: int) -> None:
        try:
            model = models.one_layer_model(layers[number], packed=True)
            for cycle in range(10):
                result = runner.run(model, inputs[number], num_threads=1 + cycle % 3)
                np.testing.assert_array_equal(result, expected[number])
        except BaseException as error:  # a thread's exception would be lost
            failures.append(f"thread {number}: {error!r}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(layers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_create_and_destroy_keeps_memory(runner):
    """1,000 interpreters one after another; the first 200 warm the allocator up."""
    layer = conv(0)
    model = models.one_layer_model(layer, packed=True)
    x = models.random_input(np.random.default_rng(0), layer)
    before = 0
    for cycle in range(1000):
        if cycle == 200:
            before = resident_bytes()
        runner.run(model, x, num_threads=2)
    growth = resident_bytes() - before
    assert growth < 4 << 20, f"{growth} bytes more after 800 cycles"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork in a process with threads
def test_fork_after_load(runner):
    """A child goes on with its parent's interpreter: the workers are gone, the result is not."""
    layer = conv(1)
    x = models.random_input(np.random.default_rng(1), layer)
    interpreter = runner.interpreter(models.one_layer_model(layer, packed=True), num_threads=2)
    expected = invoke(interpreter, x).copy()
    child = os.fork()
    if child == 0:
        try:
            same = np.array_equal(invoke(interpreter, x), expected)
            del interpreter
            os._exit(0 if same else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(invoke(interpreter, x), expected)


def test_resize_between_invokes(runner):
    layer = conv(2)
    interpreter = runner.interpreter(models.one_layer_model(layer, packed=True), num_threads=2)
    rng = np.random.default_rng(2)
    for shape in [(1, 9, 11, 24), (3, 4, 4, 24), (1, 1, 1, 24), (2, 20, 3, 24), (1, 9, 11, 24)]:
        layer.input_shape = shape
        x = rng.integers(-128, 128, shape).astype(np.int8)
        expected = runner.run_builtin_reference(models.one_layer_model(layer, packed=False), x)
        np.testing.assert_array_equal(invoke(interpreter, x), expected, err_msg=str(shape))


def test_invoke_after_a_failed_prepare(runner):
    """A shape smaller than the window is an error that names the layer; the next shape runs."""
    layer = conv(3, padding="VALID")
    x = models.random_input(np.random.default_rng(3), layer)
    expected = runner.run_builtin_reference(models.one_layer_model(layer, packed=False), x)
    interpreter = runner.interpreter(models.one_layer_model(layer, packed=True))
    np.testing.assert_array_equal(invoke(interpreter, x), expected)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, (1, 2, 2, 24))
    with pytest.raises(RuntimeError, match=r"'output'.*smaller than the kernel's window"):
        interpreter.allocate_tensors()
    with pytest.raises(RuntimeError):
        interpreter.invoke()
    interpreter.resize_tensor_input(index, x.shape)
    np.testing.assert_array_equal(invoke(interpreter, x), expected)

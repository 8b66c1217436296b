"""Shapes that change: resizing between invokes, empty batches, dynamic sizes, many threads."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import threading

import numpy as np
import pytest

from tests.delegate import conftest, models


def layer_of(dtype: str, op: str = "conv", **fixed) -> models.Layer:
    rng = np.random.default_rng(11)
    shape = (24, 3, 3, 20) if op == "conv" else (24, 1, 1, 20)
    if op == "conv":
        fixed |= {"padding": "SAME", "stride": (1, 1), "dilation": (1, 1)}
    return models.random_layer(
        rng, dtype, op=op, shape=shape, regions=1, kind="two_valued", density=0.4, **fixed
    )


def expected(runner, layer: models.Layer, x: np.ndarray) -> np.ndarray:
    layer = dataclasses.replace(layer, input_shape=x.shape)
    if layer.dtype == "float32":
        return models.float64_result(layer, x)[0]
    return runner.run_builtin_reference(models.one_layer_model(layer, packed=False), x)


def check(actual: np.ndarray, wanted: np.ndarray) -> None:
    assert actual.shape == wanted.shape
    if actual.dtype == np.int8:
        np.testing.assert_array_equal(actual, wanted)
    else:
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_resize_between_invokes(runner, dtype):
    layer = layer_of(dtype, input_shape=(1, 8, 8, 20))
    interpreter = runner.interpreter(models.one_layer_model(layer, packed=True))
    rng = np.random.default_rng(0)
    for shape in [(1, 8, 8, 20), (2, 5, 7, 20), (1, 1, 1, 20), (3, 13, 2, 20), (1, 8, 8, 20)]:
        x = models.random_input(rng, dataclasses.replace(layer, input_shape=shape))
        check(conftest.invoke(interpreter, x), expected(runner, layer, x))


@pytest.mark.parametrize("op", ["conv", "fc"])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_batch_of_nothing_and_of_many(runner, dtype, op):
    layer = layer_of(dtype, op, input_shape=(1, 4, 4, 20) if op == "conv" else (1, 20))
    interpreter = runner.interpreter(models.one_layer_model(layer, packed=True))
    rng = np.random.default_rng(0)
    for batch in (0, 1, 0, 9):
        shape = (batch, *layer.input_shape[1:])
        x = models.random_input(rng, dataclasses.replace(layer, input_shape=shape))
        actual = conftest.invoke(interpreter, x)
        if batch:
            check(actual, expected(runner, layer, x))
        else:
            assert actual.size == 0
            assert actual.shape[-1] == 24


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_fully_connected_of_any_rank(runner, dtype):
    for shape, keep in [
        ((3, 4, 20), True),
        ((3, 4, 20), False),
        ((2, 2, 10), False),
        ((20,), True),
    ]:
        layer = layer_of(dtype, "fc", input_shape=shape, keep_num_dims=keep)
        x = models.random_input(np.random.default_rng(2), layer)
        check(runner.run(models.one_layer_model(layer, packed=True), x), expected(runner, layer, x))


def test_input_too_small_for_the_window_is_an_error_and_leaves_a_usable_interpreter(runner):
    layer = dataclasses.replace(layer_of("float32", input_shape=(1, 5, 5, 20)), padding="VALID")
    interpreter = runner.interpreter(models.one_layer_model(layer, packed=True))
    small = np.zeros((1, 2, 5, 20), np.float32)
    with pytest.raises(RuntimeError, match="'output': input height 2 is smaller than the kernel"):
        conftest.invoke(interpreter, small)
    with pytest.raises(RuntimeError):
        interpreter.invoke()
    x = models.random_input(np.random.default_rng(3), layer)
    check(conftest.invoke(interpreter, x), expected(runner, layer, x))


def test_wrong_channels_are_an_error(runner):
    layer = layer_of("float32", input_shape=(1, 5, 5, 20))
    interpreter = runner.interpreter(models.one_layer_model(layer, packed=True))
    with pytest.raises(RuntimeError, match=r"shape \[1, 5, 5, 19\]; it must be \[N, H, W, 20\]"):
        conftest.invoke(interpreter, np.zeros((1, 5, 5, 19), np.float32))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_shape_that_only_the_run_decides(runner, dtype):
    """The convolution's input comes from a RESHAPE whose target is an input of the model."""
    layer = layer_of(dtype, input_shape=(1, 4, 6, 20))
    model = models.reshaped_model(layer)
    interpreter = runner.interpreter(model)
    interpreter.allocate_tensors()
    flat, target = (detail["index"] for detail in interpreter.get_input_details())
    rng = np.random.default_rng(4)
    for shape in [(1, 4, 6, 20), (1, 6, 4, 20), (2, 3, 4, 20)]:
        x = models.random_input(rng, dataclasses.replace(layer, input_shape=shape))
        interpreter.set_tensor(flat, x.reshape(-1))
        interpreter.set_tensor(target, np.array(shape, np.int32))
        interpreter.invoke()
        actual = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        check(actual, expected(runner, layer, x))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_results_do_not_depend_on_threads(runner, dtype):
    layer = layer_of(dtype, input_shape=(2, 11, 9, 20))
    x = models.random_input(np.random.default_rng(5), layer)
    model = models.one_layer_model(layer, packed=True)
    one = runner.run(model, x, num_threads=1)
    for threads in (2, 3, 8):
        np.testing.assert_array_equal(runner.run(model, x, num_threads=threads), one)


def test_interpreters_in_several_threads(runner):
    layer = layer_of("int8", input_shape=(1, 9, 9, 20))
    model = models.one_layer_model(layer, packed=True)
    x = models.random_input(np.random.default_rng(6), layer)
    wanted = expected(runner, layer, x)
    failures = []

    def work():
        for _ in range(10):
            if not np.array_equal(runner.run(model, x, num_threads=2), wanted):
                failures.append("differs")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_creating_and_destroying_does_not_leak(runner):
    layer = layer_of("int8", input_shape=(1, 9, 9, 20))
    model = models.one_layer_model(layer, packed=True)
    x = models.random_input(np.random.default_rng(7), layer)

    def resident_pages() -> int:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1])

    def cycle(count: int) -> None:
        for _ in range(count):
            runner.run(model, x, num_threads=2)

    cycle(100)  # allocators warm up
    before = resident_pages()
    cycle(400)
    grown = (resident_pages() - before) * os.sysconf("SC_PAGE_SIZE")
    assert grown < 400 * 4096, f"{grown} bytes in 400 cycles"


def _run_in_child(interpreter, x, queue):
    queue.put(conftest.invoke(interpreter, x))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_invoke_after_fork(runner):
    layer = layer_of("int8", input_shape=(1, 9, 9, 20))
    x = models.random_input(np.random.default_rng(8), layer)
    interpreter = runner.interpreter(models.one_layer_model(layer, packed=True), num_threads=3)
    wanted = conftest.invoke(interpreter, x)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_run_in_child, args=(interpreter, x, queue))
    child.start()
    result = queue.get(timeout=30)
    child.join(timeout=30)
    assert child.exitcode == 0
    np.testing.assert_array_equal(result, wanted)
    np.testing.assert_array_equal(conftest.invoke(interpreter, x), wanted)

"""Inputs of few bits by the rules alone: ranges, the argument `input_bits`, the search."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

from tf_signbin.train.rules import inputs, lower_bits
from tf_signbin.train.rules.inputs import InputQuantizer, LowBitInput, wanted_bits
from tf_signbin.train.rules.layers import LayerFacts
from tf_signbin.train.rules.namespace import NUMPY


def start(quantizer):
    return {spec.name: np.float32(spec.initial) for spec in quantizer.variables()}


@pytest.mark.parametrize("bits", [3, 4, 5, 6, 8])
def test_limits_are_those_of_the_zero_point(bits):
    """An 8-bit range with 2^bits values from 0 up has the zero point 127 - (2^bits - 1)."""
    low, high = InputQuantizer(bits).limits(NUMPY, start(InputQuantizer(bits)))
    step = (float(high) - float(low)) / 255
    assert -128 - float(low) / step == pytest.approx(128 - 2**bits, abs=1e-3)
    assert float(high) / step == pytest.approx(2**bits - 1, abs=1e-3)


@pytest.mark.parametrize("bits", [3, 4, 5, 6, 8])
def test_start_is_near_the_least_squared_error(bits):
    """For a ReLU's normally distributed inputs, against a search over clips in float64."""
    x = np.maximum(np.random.default_rng(0).normal(size=200_000), 0.0)
    levels = 2**bits - 1

    def error(step):
        return np.mean((np.clip(np.round(x / step), 0, levels) * step - x) ** 2)

    best = min(error(clip / levels) for clip in np.linspace(1.0, 8.0, 200))
    quantizer = InputQuantizer(bits)
    values = start(quantizer) | quantizer.observed(NUMPY, x.astype(np.float32), start(quantizer))
    assert error(float(quantizer.step(NUMPY, values))) <= 1.1 * best


def test_mean_square_is_the_mean_at_first_and_a_moving_average_later():
    rng, quantizer = np.random.default_rng(0), InputQuantizer(4, momentum=0.75)
    values, expected = start(quantizer), 0.0
    for step in range(8):
        x = rng.normal(size=(4, 3)).astype(np.float32)
        values |= quantizer.observed(NUMPY, x, values)
        keep = min(0.75, step / (step + 1))
        expected = keep * expected + (1 - keep) * float(np.mean(np.square(x, dtype=np.float64)))
    assert float(values["mean_square"]) == pytest.approx(expected, rel=1e-5)


def test_an_empty_batch_moves_nothing():
    """A replica gets one where the last batch of an epoch has fewer samples than replicas."""
    quantizer, x = InputQuantizer(4), np.ones((2, 3), np.float32)
    values = start(quantizer) | quantizer.observed(NUMPY, x, start(quantizer))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of the mean of nothing
        assert quantizer.observed(NUMPY, x[:0], values).items() <= values.items()
    y = quantizer.with_gradient(NUMPY, x[:0], x[:0], values)
    assert y.shape == (0, 3)


def test_configuration_comes_back():
    quantizer = InputQuantizer(5, ("a", "b"), 0.9)
    config = quantizer.get_config()
    assert config == {"bits": 5, "readers": ["a", "b"], "momentum": 0.9}
    assert InputQuantizer.from_config(config).get_config() == config


LAYERS = [LayerFacts(name, "Conv2D", layer=name) for name in ("a_1", "a_2", "b")]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (None, {}),
        (8, {}),
        (4, {"a_1": 4, "a_2": 4, "b": 4}),
        ({"a_*": 5, "b": 8}, {"a_1": 5, "a_2": 5}),
        ({"a_1": 6, "*": 4}, {"a_1": 6, "a_2": 4, "b": 4}),
        (lambda layer: 6 if layer == "b" else None, {"b": 6}),
        ("auto", {"a_1": 8, "a_2": 8, "b": 8}),
    ],
)
def test_argument(argument, expected):
    assert wanted_bits(argument, LAYERS, "int8") == expected


@pytest.mark.parametrize(
    "argument", [0, 2, 7, 9, True, False, 4.5, "four", {"b": 0}, {"b": 7}, {"c": 4}]
)
def test_bad_arguments_name_the_value(argument):
    with pytest.raises(ValueError, match="input_bits"):
        wanted_bits(argument, LAYERS, "int8")


def test_float_activations_have_no_bits():
    with pytest.raises(ValueError, match="needs activations='int8', not 'float32'"):
        wanted_bits(4, LAYERS, "float32")
    assert wanted_bits(8, LAYERS, "float32") == {}


class Cell:
    """A variable as the front ends have them."""

    def __init__(self, value):
        self.value = value

    def assign(self, value):
        self.value = value

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.value, dtype)


def low_inputs(count):
    return [
        LowBitInput(f"q{i}", InputQuantizer(8, (f"layer{i}",)), {"bits": Cell(8.0)}, NUMPY)
        for i in range(count)
    ]


class TestLower:
    """A model whose accuracy is 1 minus what each input's bits cost."""

    def run(self, costs, budget, bits=(4, 5, 6)):
        found = low_inputs(len(costs))

        def evaluate():
            return 1.0 - sum(
                cost[each.bits] for cost, each in zip(costs, found, strict=True) if each.bits < 8
            )

        chosen = lower_bits.lower(found, evaluate, budget, bits)
        assert chosen == {f"layer{i}": each.bits for i, each in enumerate(found)}
        return list(chosen.values()), 1.0 - evaluate()

    def test_free_bits_are_all_taken(self):
        assert self.run([{4: 0.0, 5: 0.0, 6: 0.0}] * 3, 0.0) == ([4, 4, 4], 0.0)

    def test_the_cheapest_goes_first(self):
        dear, cheap = {4: 0.02, 5: 0.01, 6: 0.0}, {4: 0.005, 5: 0.0, 6: 0.0}
        assert self.run([dear, cheap], 0.006)[0] == [6, 4]

    def test_what_never_fits_stays(self):
        assert self.run([{4: 0.1, 5: 0.1, 6: 0.1}], 0.01)[0] == [8]

    @pytest.mark.parametrize("seed", range(20))
    def test_the_budget_holds_and_no_single_step_is_left(self, seed):
        rng = np.random.default_rng(seed)
        costs = []
        for _ in range(4):
            six, five, four = np.sort(rng.uniform(0.0, 0.01, 3))
            costs.append({4: four, 5: five, 6: six})
        chosen, lost = self.run(costs, 0.015)
        assert lost <= 0.015 + 1e-12
        # Greedy: what the last ones in the order got is the least that fitted; nothing can be
        # lowered further without a loss above the budget.
        steps = [8, 6, 5, 4]
        for cost, bits in zip(costs, chosen, strict=True):
            for fewer in steps[steps.index(bits) + 1 :]:
                more = cost[fewer] - cost.get(bits, 0.0)
                assert lost + more > 0.015 - 1e-12

    def test_errors(self):
        with pytest.raises(ValueError, match="input_bits='auto'"):
            lower_bits.lower([], lambda: 1.0, 0.0, (4,))
        with pytest.raises(ValueError, match="budget=-1"):
            lower_bits.lower(low_inputs(1), lambda: 1.0, -1, (4,))
        for bits in ((), (8,), (7,)):
            with pytest.raises(ValueError, match="bits"):
                lower_bits.lower(low_inputs(1), lambda: 1.0, 0.0, bits)


def test_bits_are_the_formats():
    """What training can make is what files are recognised by."""
    from tf_signbin.format.low_bits import LOW_BITS

    assert set(LOW_BITS) <= set(inputs.BITS)
    assert all(a < b for a, b in itertools.pairwise(inputs.BITS))

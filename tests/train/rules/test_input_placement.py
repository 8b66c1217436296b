"""Where coarse fake quantization goes, on graphs written down by hand."""

from __future__ import annotations

import pytest

from tf_signbin.train.rules.input_placement import place_inputs
from tf_signbin.train.rules.placement import Operator, place


def decide(operators, outputs, wanted):
    """({tensor of the range: (bits, readers)}, {tensor: (bits, readers)}, signed)."""
    plan = place(operators, [0], outputs)
    found = place_inputs(operators, plan, outputs, wanted)
    coarse = {r.tensor: (low.bits, low.readers) for r, low in found.coarse.items()}
    behind = {t: (low.bits, low.readers) for t, low in found.behind_relu.items()}
    return coarse, behind, found.signed


def conv_relu(*between):
    """conv(0) -> 1 -> relu -> 2 -> operators between -> ... -> second convolution."""
    kinds = ["conv", "relu", *between]
    operators = [Operator(f"{k}_{i}", k, (i,), (i + 1,)) for i, k in enumerate(kinds)]
    n = len(kinds)
    return [*operators, Operator("second", "conv", (n,), (n + 1,))], [n + 1]


@pytest.mark.parametrize("between", [(), ("max_pool",), ("pad",), ("average_pool", "reshape")])
def test_a_tensor_of_its_own_gets_few_bits(between):
    operators, outputs = conv_relu(*between)
    assert decide(operators, outputs, {"second": 4}) == ({2: (4, ("second",))}, {}, ())


@pytest.mark.parametrize("between", [("leaky_relu",), ("gelu",), ("mean",), ("split",)])
def test_what_is_not_known_to_be_a_relus_output_keeps_8_bits(between):
    operators, outputs = conv_relu(*between)
    assert decide(operators, outputs, {"second": 4}) == ({}, {}, ("second",))


def test_the_networks_input_keeps_8_bits():
    operators, outputs = conv_relu()
    assert decide(operators, outputs, {"conv_0": 4}) == ({}, {}, ("conv_0",))


@pytest.mark.parametrize("kind", ["conv", "add", "mean"])
def test_another_reader_keeps_8_bits(kind):
    operators, outputs = conv_relu()
    other = Operator("other", kind, (2, 2) if kind == "add" else (2,), (9,))
    found = decide([*operators, other], [*outputs, 9], {"second": 4})
    assert found == ({}, {2: (4, ("second",))}, ())


def test_a_returned_tensor_keeps_8_bits():
    operators, outputs = conv_relu("max_pool")
    assert decide(operators, [*outputs, 2], {"second": 4})[1] == {3: (4, ("second",))}
    assert decide(operators, [*outputs, 3], {"second": 4})[1] == {3: (4, ("second",))}


def test_readers_with_other_bits_share_the_most():
    operators, outputs = conv_relu()
    operators.append(Operator("third", "conv", (2,), (9,)))
    found = decide(operators, [*outputs, 9], {"second": 4, "third": 5})
    assert found == ({2: (5, ("second", "third"))}, {}, ())


def test_readers_behind_different_moves_get_a_relu_each():
    operators, outputs = conv_relu("max_pool")
    more = [Operator("third", "conv", (2,), (9,)), Operator("add", "add", (2, 2), (10,))]
    found = decide([*operators, *more], [*outputs, 9, 10], {"second": 4, "third": 4})
    assert found == ({}, {3: (4, ("second",)), 2: (4, ("third",))}, ())


def concatenation(second):
    return [
        Operator("a", "conv", (0,), (1,)),
        Operator("ra", "relu", (1,), (2,)),
        Operator("b", "conv", (0,), (3,)),
        Operator("rb", second, (3,), (4,)),
        Operator("cat", "concat", (2, 4), (5,)),
        Operator("c", "conv", (5,), (6,)),
    ]


def test_a_concatenation_needs_relus_everywhere():
    assert decide(concatenation("relu6"), [6], {"c": 4}) == ({5: (4, ("c",))}, {}, ())
    assert decide(concatenation("relu_n1_to_1"), [6], {"c": 4}) == ({}, {}, ("c",))


def test_a_residual_stream_keeps_8_bits():
    """x -> conv -> relu -> conv -> + x -> relu, twice."""
    operators, stream = [Operator("s", "conv", (0,), (1,)), Operator("sr", "relu", (1,), (2,))], 2
    for block in range(2):
        t = 10 * (block + 1)
        operators += [
            Operator(f"c{block}a", "conv", (stream,), (t,)),
            Operator(f"r{block}", "relu", (t,), (t + 1,)),
            Operator(f"c{block}b", "conv", (t + 1,), (t + 2,)),
            Operator(f"add{block}", "add", (t + 2, stream), (t + 3,)),
            Operator(f"out{block}", "relu", (t + 3,), (t + 4,)),
        ]
        stream = t + 4
    wanted = {f"c{block}{part}": 4 for block in range(2) for part in "ab"}
    coarse, behind, signed = decide(operators, [stream], wanted)
    assert coarse == {11: (4, ("c0b",)), 21: (4, ("c1b",))}
    assert behind == {2: (4, ("c0a",)), 14: (4, ("c1a",))}
    assert signed == ()


def test_nothing_wanted_nothing_done():
    operators, outputs = conv_relu("max_pool")
    assert decide(operators, outputs, {}) == ({}, {}, ())

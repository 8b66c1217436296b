"""Which tensors are fake-quantized, on graphs written down by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tf_signbin.train.rules.placement import KINDS, Operator, PlacementError, Range, place


def chain(*kinds):
    """Operators one after the other, over tensors 0 (the input), 1, 2, ..."""
    return [Operator(f"{kind}_{i}", kind, (i,), (i + 1,)) for i, kind in enumerate(kinds)]


def quantized(operators, outputs, inputs=(0,)):
    """{tensor: tensor whose range it has}, or its fixed limits."""
    plan = place(operators, inputs, outputs)
    return {tensor: r.limits or r.tensor for tensor, r in plan.ranges.items()}


def test_batch_norm_and_relu_fold_into_a_convolution():
    operators = chain("conv", "batch_norm", "relu", "dense", "relu6")
    assert quantized(operators, [5]) == {0: 0, 3: 3, 5: 5}
    assert place(operators, [0], [5]).folded == {"batch_norm_1", "relu_2", "relu6_4"}


@pytest.mark.parametrize("kind", ["add", "sub", "mul"])
def test_relu_folds_into_arithmetic(kind):
    operators = [Operator("a", kind, (0, 0), (1,)), Operator("r", "relu", (1,), (2,))]
    assert quantized(operators, [2]) == {0: 0, 2: 2}


@pytest.mark.parametrize("kind", ["leaky_relu", "prelu", "hard_swish", "gelu"])
def test_other_activations_do_not_fold(kind):
    assert quantized(chain("conv", "batch_norm", kind), [3]) == {0: 0, 2: 2, 3: 3}


def test_a_convolution_that_is_read_twice_or_returned_is_quantized_before_its_relu():
    operators = [*chain("conv", "relu"), Operator("other", "conv", (1,), (3,))]
    assert quantized(operators, [2, 3]) == {0: 0, 1: 1, 2: 2, 3: 3}
    assert quantized(chain("conv", "relu"), [1, 2]) == {0: 0, 1: 1, 2: 2}


def test_moves_keep_the_grid_and_averages_use_it_again():
    operators = chain("conv", "max_pool", "pad", "average_pool", "reshape", "dense")
    assert quantized(operators, [6]) == {0: 0, 1: 1, 4: 1, 6: 6}


def test_limits_of_integer_kernels():
    assert quantized(chain("dense", "softmax"), [2]) == {0: 0, 1: 1, 2: (0.0, 255 / 256)}
    for kind in ("sigmoid", "tanh", "l2_normalization", "log_softmax"):
        low, high = KINDS[kind].limits
        # 255 steps, and zero on the grid.
        assert (high - low) * 256 % 1 == 0
        assert low / ((high - low) / 255) % 1 == 0


def concatenation(*more):
    """conv(0) -> 1, conv(0) -> 2, both concatenated to 3."""
    return [
        Operator("a", "conv", (0,), (1,)),
        Operator("b", "conv", (0,), (2,)),
        Operator("cat", "concat", (1, 2), (3,)),
        *more,
    ]


def test_joined_tensors_are_quantized_after_the_join():
    assert quantized(concatenation(), [3]) == {0: 0, 3: 3}


def test_a_join_of_a_join_waits_too_even_when_moved():
    more = [
        Operator("pool", "max_pool", (3,), (4,)),
        Operator("c", "conv", (0,), (5,)),
        Operator("cat2", "concat", (4, 5), (6,)),
    ]
    assert quantized(concatenation(*more), [6]) == {0: 0, 6: 6}


def test_a_join_of_a_range_and_others_has_a_range_of_its_own():
    more = [
        Operator("c", "conv", (2,), (4,)),
        Operator("max", "maximum", (3, 4), (5,)),
        Operator("d", "conv", (0,), (6,)),
        Operator("cat2", "concat", (5, 6), (7,)),
    ]
    # 2 has two readers, so that 3 joins a range with what has none; and so on.
    assert quantized(concatenation(*more), [7]) == {0: 0, 2: 2, 3: 3, 5: 5, 7: 7}


def test_a_joined_tensor_with_another_reader_keeps_its_range():
    more = [Operator("c", "conv", (2,), (4,))]
    assert quantized(concatenation(*more), [3, 4]) == {0: 0, 2: 2, 3: 3, 4: 4}


@pytest.mark.parametrize("kind", ["max_pool", "average_pool"])
def test_a_pool_that_feeds_a_concatenation_and_another_layer(kind):
    operators = [
        Operator("a", "conv", (0,), (1,)),
        Operator("pool", kind, (1,), (2,)),
        Operator("b", "conv", (2,), (3,)),
        Operator("cat", "concat", (2, 3), (4,)),
    ]
    assert quantized(operators, [4]) == {0: 0, 1: 1, 2: 1, 4: 4}


@pytest.mark.parametrize("kind", ["max_pool", "reshape", "slice"])
def test_a_moved_tensor_with_several_readers_keeps_its_range_before_a_join(kind):
    more = [
        Operator("move", kind, (3,), (4,)),
        Operator("again", kind, (4,), (5,)),
        Operator("d", "conv", (0,), (6,)),
        Operator("cat2", "concat", (6, 5), (7,)),
    ]
    other = Operator("other", "conv", (4,), (8,))
    returned = {0: 0, 3: 3, 4: 3, 7: 7}
    assert quantized(concatenation(*more, other), [7, 8]) == {**returned, 8: 8}
    assert quantized(concatenation(*more), [7, 4]) == returned
    assert quantized(concatenation(*more[:1], other), [8, 4]) == {0: 0, 3: 3, 8: 8}


def test_fixed_ranges_are_requantized_by_a_join():
    operators = [
        Operator("s", "sigmoid", (0,), (1,)),
        Operator("c", "conv", (0,), (2,)),
        Operator("cat", "concat", (1, 2), (3,)),
    ]
    assert quantized(operators, [3]) == {0: 0, 1: (0.0, 255 / 256), 3: 3}


def test_parts_of_one_tensor_join_without_a_new_range():
    operators = [
        Operator("split", "split", (0,), (1, 2)),
        Operator("cat", "concat", (2, 1), (3,)),
        Operator("c", "conv", (3,), (4,)),
    ]
    assert quantized(operators, [4]) == {0: 0, 4: 4}


def test_unknown_operators_are_named_before_anything_else():
    with pytest.raises(PlacementError, match=r"'elu_1' \(elu\), 'cos_2' \(cos\).*float32") as error:
        place(chain("conv", "elu", "cos"), [0], [3])
    assert [operator.kind for operator in error.value.operators] == ["elu", "cos"]


def test_a_batch_norm_that_cannot_be_folded_is_an_error():
    with pytest.raises(PlacementError, match="'batch_norm_1' does not follow"):
        place(chain("max_pool", "batch_norm"), [0], [2])


def test_a_tensor_that_nothing_writes_is_an_error():
    with pytest.raises(ValueError, match="'c' reads 7"):
        place([Operator("c", "conv", (7,), (1,))], [0], [1])


def random_graph(rng):
    """Operators of every kind over random earlier tensors; tensors without readers are outputs."""
    kinds = [kind for kind in KINDS if kind != "batch_norm"]
    tensors, operators = [0, 1], []
    for i in range(12):
        kind = str(rng.choice(kinds))
        count = 2 if KINDS[kind].rule == "joins" or kind in ("add", "sub", "mul") else 1
        read = tuple(int(t) for t in rng.choice(tensors[-4:], count))
        wrote = (100 + 2 * i, 101 + 2 * i)[: 2 if kind == "split" else 1]
        operators.append(Operator(f"{kind}_{i}", kind, read, wrote))
        tensors += wrote
    read = {tensor for operator in operators for tensor in operator.inputs}
    return operators, [tensor for tensor in tensors if tensor not in read]


def test_random_graphs_quantize_every_computed_value_once(rng):
    """On every path a computation is followed by one quantization before the next computation."""
    for _ in range(200):
        operators, outputs = random_graph(rng)
        plan = place(operators, [0, 1], outputs)
        # Whether the values of a tensor lie on a grid, or were just computed.
        state = {0: "grid", 1: "grid"}
        for operator in operators:
            rule = KINDS[operator.kind].rule
            read = [state[tensor] for tensor in operator.inputs]
            for tensor in operator.outputs:
                if operator.name in plan.folded or rule in ("moves", "joins"):
                    made = "computed" if "computed" in read else "grid"
                else:
                    assert read == ["grid"] * len(read), operator
                    made = "computed"
                if tensor in plan.ranges:
                    shared = plan.ranges[tensor].tensor != tensor
                    assert made == "computed" or rule == "joins" or shared, operator
                    made = "grid"
                state[tensor] = made
        assert all(state[tensor] == "grid" for tensor in outputs)


def test_ranges_are_equal_only_where_they_are_shared():
    plan = place(chain("conv", "average_pool", "dense"), [0], [3])
    assert plan.ranges[2] == plan.ranges[1] == Range(1)
    assert len(set(plan.ranges.values())) == 3


def test_every_rule_is_known():
    rules = {kind.rule for kind in KINDS.values()}
    assert rules == {"computes", "moves", "averages", "joins", "activates", "normalizes"}
    assert np.all([set(kind.absorbs) <= set(KINDS) for kind in KINDS.values()])

"""Takes factors of input channels out of filters again.

The stock converter multiplies a BatchNormalization (or any other factor of the channels) that comes
directly before a dense layer into the layer's filters: y = W (s * x) becomes y = (W * s) x. Filters
that were two-valued or ternary then hold other values in each input channel. Here the factors are
found by value and divided out, so that the layer can be packed and the factors become a MUL again:

    filters[o, tap, i] = s[i] * v[o, tap, i], where v has few values in each filter o.

Two channels i and j of one filter and tap mostly hold the same v, or two values whose ratio other
filters do not share; so the ratio filters[:, :, i] / filters[:, :, j] that occurs most often is
s[i] / s[j]. Nothing rests on that guess: the quotient is packed only when all of it has few values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tf_signbin.convert.graph import Buffers, References, builtin_operator_code
from tf_signbin.convert.layers import CannotPackError, GraphReader
from tf_signbin.format.detect import FLOAT_TOLERANCE, detect
from tf_signbin.format.model import indices, operator_name, schema, shape_of, text
from tf_signbin.format.pack import unpack_filters
from tf_signbin.format.spec import PackedFilters

# Ratios this close are one: a product and a quotient of float32 numbers round twice.
_SAME = FLOAT_TOLERANCE / 2
# Of the filters and taps that a channel shares with known ones, at least this share agrees on the
# ratio: two values in every filter, evenly spread, agree in half of the cases.
_LEAST_AGREEMENT = 0.25
_MANY_ROWS = 64  # so many disagree only where there is no common ratio
_LEAST_ROWS = 4  # fewer filters and taps are a product of anything
_VALUES = 2  # remembered for each filter and tap
_LEAST_REGION = 8
_ATTEMPTS = 6


def unfold_model(model: Any) -> bool:
    """Puts a MUL before each layer of a `ModelT` whose filters have few values but for the factors
    of its input channels. Returns whether there was one."""
    changed = False
    buffers = Buffers(model)
    for number, graph in enumerate(model.subgraphs):
        reader = GraphReader(model, number)
        references = References(model, number)
        operators = []
        for operator in graph.operators:
            multiply = _multiply_before(reader, operator, buffers, references)
            if multiply is not None:
                operators.append(multiply)
                changed = True
            operators.append(operator)
        graph.operators = operators
    return changed


def _multiply_before(
    reader: GraphReader, operator: Any, buffers: Buffers, references: References
) -> Any:
    """The MUL that takes the factors of a layer's filters, which are taken out of it; or None."""
    if operator_name(reader.model, operator) not in ("CONV_2D", "FULLY_CONNECTED"):
        return None
    try:
        layer = reader.read(operator)
    except CannotPackError:
        return None
    graph = reader.graph
    source, filter_index, *bias = indices(operator.inputs)
    x, old = graph.tensors[source], graph.tensors[filter_index]
    # A fully connected operator may see [N, H, W, C] as [N, H * W * C].
    if layer.weights.dtype != np.float32 or shape_of(x)[-1:] != layer.weights.shape[3:]:
        return None
    if detect(layer.weights).packed is not None:
        return None
    found = unfold(layer.weights)
    if found is None:
        return None
    factors, packed = found
    filters = unpack_filters(packed).reshape(shape_of(old))

    def add(tensor: Any) -> int:
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    references.add([filter_index], -1)
    new_filters = _constant(buffers, filters, text(old.name))
    if references.used(filter_index):  # by another layer
        filter_index = add(new_filters)
    else:
        graph.tensors[filter_index] = new_filters
    by = add(_constant(buffers, factors, f"{text(x.name)}/factors"))
    scaled = add(
        schema().TensorT(
            shape=x.shape, shapeSignature=x.shapeSignature, type=x.type, buffer=0,
            name=f"{text(x.name)}/scaled".encode(), hasRank=True,
        )
    )  # fmt: skip
    operator.inputs = np.array([scaled, filter_index, *bias], np.int32)
    operators, options = schema().BuiltinOperator, schema().BuiltinOptions
    return schema().OperatorT(
        opcodeIndex=builtin_operator_code(reader.model, operators.MUL, 1),
        inputs=np.array([source, by], np.int32), outputs=np.array([scaled], np.int32),
        builtinOptionsType=options.MulOptions, builtinOptions=schema().MulOptionsT(),
    )  # fmt: skip


def _constant(buffers: Buffers, array: np.ndarray, name: str) -> Any:
    return schema().TensorT(
        shape=np.array(array.shape, np.int32), type=schema().TensorType.FLOAT32,
        buffer=buffers.add(array), name=name.encode(), hasRank=True,
    )  # fmt: skip


def unfold(filters: np.ndarray) -> tuple[np.ndarray, PackedFilters] | None:
    """The factors [I] of the input channels, and the filters without them.

    Args:
      filters: float32 [O, KH, KW, I] in which `detect` finds nothing.

    Returns:
      float32 factors and the packed filters; None when the filters are no such product. A channel
      that is 0 in all filters gets the factor 0.
    """
    channels = filters.shape[3] if filters.ndim == 4 else 0
    if filters.dtype != np.float32 or channels < 2 or not np.all(np.isfinite(filters)):
        return None
    rows = filters.reshape(-1, channels).astype(np.float64)
    if len(rows) < _LEAST_ROWS:
        return None
    for regions in range(1, max(channels // _LEAST_REGION, 1) + 1):
        if channels % regions:
            continue
        for attempt in range(_ATTEMPTS):
            factors = _region_factors(rows, regions, attempt)
            if factors is None:
                break
            found = _without(rows, factors, filters.shape)
            if found is not None:
                return found
    return None


def _region_factors(rows: np.ndarray, regions: int, attempt: int) -> np.ndarray | None:
    """The factors [I]; those of one region have nothing to do with another's."""
    found = []
    for part in np.split(rows, regions, axis=1):
        factors = _factors(part, attempt)
        if factors is None:
            return None
        found.append(factors)
    return np.concatenate(found)


def _without(
    rows: np.ndarray, factors: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, PackedFilters] | None:
    dead = factors == 0
    if np.all(dead):
        return None
    factors = factors.astype(np.float32)
    quotient = rows / np.where(dead, 1, factors)
    # What a dead channel holds is free; the values of another channel add none.
    quotient[:, dead] = quotient[:, [int(np.argmin(dead))]]
    packed = detect(quotient.astype(np.float32).reshape(shape)).packed
    return None if packed is None else (factors, packed)


def _factors(rows: np.ndarray, attempt: int) -> np.ndarray | None:
    """The factor of each column of [filters and taps, channels], that of one column being 1.

    attempt: counts through the columns to begin with; a wrong guess is likely with few filters.
    """
    counts = np.count_nonzero(rows, axis=0)
    order = np.argsort(-counts, kind="stable")
    first = int(order[attempt % len(order)])
    factors = np.zeros(rows.shape[1])
    factors[first] = 1.0
    # The values that each row is known to hold; 0 where there is none yet.
    known = np.zeros((len(rows), _VALUES))
    known[:, 0] = rows[:, first]
    waiting = [int(i) for i in np.roll(order, -attempt) if counts[i] and i != first]
    while waiting:
        left = []
        for column in waiting:
            shared, factor = _common_ratio(rows[:, column], known)
            if factor is not None:
                factors[column] = factor
                _remember(rows[:, column] / factor, known)
            elif shared >= _MANY_ROWS:
                return None
            else:
                left.append(column)
        if len(left) == len(waiting):  # what is left shares too little with the others
            return None
        waiting = left
    return factors


def _common_ratio(column: np.ndarray, known: np.ndarray) -> tuple[int, float | None]:
    """How many rows can be compared, and the ratio to known values that most of them agree on."""
    usable = (known != 0) & (column != 0)[:, None]
    shared = int(usable.any(axis=1).sum())
    ratios = np.sort((column[:, None] / np.where(usable, known, 1))[usable])
    if not len(ratios):
        return 0, None
    # The longest run of equal ratios, from the end of the run that each one starts.
    ends = np.searchsorted(ratios, ratios + _SAME * np.abs(ratios), side="right")
    lengths = ends - np.arange(len(ratios))
    start = int(np.argmax(lengths))
    if lengths[start] < max(_LEAST_AGREEMENT * shared, min(2, shared)):
        return shared, None
    return shared, float(np.median(ratios[start : ends[start]]))


def _remember(values: np.ndarray, known: np.ndarray) -> None:
    """Adds the values of a column, its factor divided out, to those that rows are known to hold."""
    new = values != 0
    for slot in range(_VALUES):
        empty = new & (known[:, slot] == 0)
        known[empty, slot] = values[empty]
        new &= np.abs(values - known[:, slot]) > 4 * _SAME * np.abs(values)

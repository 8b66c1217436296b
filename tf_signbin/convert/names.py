"""Readable layer names from the tensor names that exporters leave."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

# Last parts of a path that name an operation of a layer, not the layer.
_OPERATION = re.compile(
    r"(Conv\d?D|DepthwiseConv2dNative|Tensordot|MatMul|BatchMatMul"
    r"|BiasAdd|ReadVariableOp|FusedBatchNorm\w*|FakeQuant\w*|LastValueQuant|AllValuesQuant"
    r"|MovingAvgQuant\w*|ExpandDims|Squeeze|Reshape|transpose|values)(_?\d+)?"
)
# Those that are Keras's names of layers, too: only the last part of all can be an operation.
_OPERATION_OR_LAYER = re.compile(r"((separable_)?conv\d?d|depthwise|convolution)(_?\d+)?")


def layer_path(filter_name: str, output_name: str) -> tuple[str, ...]:
    """The path of the layer in the name of its filter or output tensor; its name comes last.

    TensorFlow's names are paths, and those of fused operators are joined by semicolons:
    'model/relu/Relu;model/conv/BiasAdd;model/conv/Conv2D' is layer ('model', 'conv'). Where no name
    is such a path, the output's name is the only part.
    """
    for name in (filter_name, output_name):
        for path in name.split(";"):
            parts = path.split("/")
            kept = list(parts)
            if len(kept) > 1 and _OPERATION_OR_LAYER.fullmatch(kept[-1]):
                kept.pop()
            else:
                while kept and _OPERATION.fullmatch(kept[-1]):
                    kept.pop()
            if kept and len(kept) < len(parts):
                return tuple(kept)
    return (output_name,)


def unique_names(paths: Sequence[tuple[str, ...]]) -> list[str]:
    """The last part of each path, with as many parts before it as tell it from the others.

    Equal paths are calls of one layer; the second becomes 'name#2'. For example the paths
    ('model', 'block', 'conv'), ('model', 'block_1', 'conv') and ('model', 'head') are 'block/conv',
    'block_1/conv' and 'head'.
    """
    lengths = dict.fromkeys(paths, 1)
    while True:
        short = {path: "/".join(path[-length:]) for path, length in lengths.items()}
        users = Counter(short.values())
        longer = [p for p in lengths if users[short[p]] > 1 and lengths[p] < len(p)]
        if not longer:
            break
        for path in longer:
            lengths[path] += 1
    taken: Counter[str] = Counter()
    names = []
    for path in paths:
        taken[short[path]] += 1
        calls = taken[short[path]]
        names.append(short[path] if calls == 1 else f"{short[path]}#{calls}")
    return names

"""Readable layer names from the tensor names that exporters leave."""

from __future__ import annotations

import re

# Last parts of a path that name an operation of a layer, not the layer.
_OPERATION = re.compile(
    r"(Conv\d?D|conv\d?d|DepthwiseConv2dNative|depthwise|convolution|Tensordot|MatMul|BatchMatMul"
    r"|BiasAdd|ReadVariableOp|FusedBatchNorm\w*|FakeQuant\w*|LastValueQuant|AllValuesQuant"
    r"|MovingAvgQuant\w*|ExpandDims|Squeeze|Reshape|transpose|values)(_?\d+)?"
)


def layer_name(filter_name: str, output_name: str) -> str:
    """The layer's part of the name of its filter or output tensor.

    TensorFlow's names are paths, and those of fused operators are joined by semicolons:
    'model/relu/Relu;model/conv/BiasAdd;model/conv/Conv2D' is layer 'conv'. Where no name is such a
    path, the output's name is returned as it is.
    """
    for name in (filter_name, output_name):
        for path in name.split(";"):
            parts = path.split("/")
            kept = list(parts)
            while kept and _OPERATION.fullmatch(kept[-1]):
                kept.pop()
            if kept and len(kept) < len(parts):
                return kept[-1]
    return output_name

"""Cuts one operator out of a model, with its constants."""

from __future__ import annotations

import numpy as np

from tf_signbin.format.model import indices, read_model, write_model


def extract_operator(data: bytes, subgraph: int, output: int) -> bytes:
    """A model of the one operator of `subgraph` that writes tensor `output`.

    Its input is the operator's first input; operators that only prepare constants (DEQUANTIZE of
    stored weights) stay. Tensors keep their numbers.
    """
    model = read_model(data)
    graph = model.subgraphs[subgraph]
    writers = {tensor: op for op in graph.operators for tensor in indices(op.outputs)}
    operator = writers[output]
    x = indices(operator.inputs)[0]
    constants = [writers[index] for index in indices(operator.inputs)[1:] if index in writers]
    graph.operators = [*constants, operator]
    graph.inputs = np.array([x], np.int32)
    graph.outputs = np.array([output], np.int32)
    model.subgraphs, model.signatureDefs, model.metadata = [graph], [], []
    return write_model(model)

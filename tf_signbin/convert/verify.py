"""Runs a stock model and its packed form side by side.

Every packed layer is computed by the NumPy specification on the input that the stock model feeds
it, and compared with the stock layer's output by TFLite's builtin reference kernels. Then the whole
packed file runs (in the delegate if it can be loaded, else unpacked into builtin operators again)
and its outputs are compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tf_signbin.convert.interpret import (
    Runner,
    Signature,
    named_sample,
    random_sample,
    random_tensor,
    signatures,
)
from tf_signbin.convert.layers import PACKED_OPS, layer_names
from tf_signbin.convert.rewrite import PackedOp, read_packed_op, unpack
from tf_signbin.convert.single_layer import extract_operator
from tf_signbin.format import reference
from tf_signbin.format.errors import ModelError
from tf_signbin.format.low_bits import BitCounter
from tf_signbin.format.model import constant, indices, operator_name, read_model, text
from tf_signbin.format.pack import unpack_filters
from tf_signbin.format.spec import FULLY_CONNECTED
from tf_signbin.runtime import DelegateError, delegate_path

# Float layers: error relative to the sum of |weight * x| + |bias| of that output.
LAYER_TOLERANCE = 1e-5
# Float outputs: error relative to the output's largest magnitude.
OUTPUT_TOLERANCE = 1e-4


class VerificationError(ValueError):
    """The packed model differs from the stock model; `report` says where."""

    def __init__(self, report: VerifyReport) -> None:
        self.report = report
        super().__init__(f"the packed model differs from the stock model\n{report}")


@dataclass
class Check:
    """One layer or output: its largest error against the stock model, and the limit.

    Integer tensors count in steps (limit 0: bit for bit). For float layers the error is relative to
    the sum of |weight * x| + |bias|, for float outputs to the largest magnitude.
    """

    name: str
    error: float = 0.0
    limit: float = 0.0
    ok: bool = True
    note: str = ""

    def add(self, error: float) -> None:
        self.error = max(self.error, error)
        self.ok = self.ok and error <= self.limit  # also false for NaN


@dataclass
class VerifyReport:
    """`executed_by` tells what ran the whole packed file: 'delegate' or 'unpacked'."""

    executed_by: str
    samples: int = 0
    outputs: list[Check] = field(default_factory=list)
    layers: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(check.ok for check in [*self.outputs, *self.layers])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**dataclasses.asdict(self), "ok": self.ok}

    def __str__(self) -> str:
        lines = [
            f"verified {len(self.layers)} packed layers and {len(self.outputs)} outputs on "
            f"{self.samples} samples (whole file: {self.executed_by}): "
            f"{'equal' if self.ok else 'DIFFERENT'}"
        ]
        for role, checks in (("output", self.outputs), ("layer", self.layers)):
            for check in checks:
                lines.append(
                    f"  {'ok' if check.ok else 'DIFFERS':7} {role:6} {check.name}: error "
                    f"{check.error:.2e}, limit {check.limit:.0e}"
                    + (f" ({check.note})" if check.note else "")
                )
        return "\n".join(lines)


def verify(
    stock: bytes,
    packed: bytes,
    data: Iterable[Any] | None = None,
    *,
    samples: int = 2,
    seed: int = 0,
    delegate: bool | None = None,
) -> VerifyReport:
    """Compares a packed model with the stock model that it was made from.

    Args:
      stock, packed: the two .tflite files.
      data: samples as a representative_dataset yields them: lists of input arrays in order, or
        dictionaries by input name. Default: `samples` random ones from `seed`.
      delegate: whether the delegate runs the packed file; without it, it is unpacked and run by
        builtin kernels. None: if it can be loaded.

    Raises:
      ModelError: a file is damaged, or the two do not belong together.
      ValueError: `data` does not fit the model's inputs, or there are no samples.
      DelegateError: delegate=True, and it cannot be loaded.
    """
    stock_model = read_model(stock, "stock model")
    layers = _packed_layers(read_model(packed, "packed model"), stock_model)
    if delegate is None:
        delegate = _delegate_available()
    executed = packed if delegate else unpack(packed)
    report = VerifyReport("delegate" if delegate else "unpacked")
    rng = np.random.default_rng(seed)
    given = None if data is None else list(data)
    if (samples if given is None else len(given)) < 1:
        raise ValueError(
            "verify: nothing was compared: "
            + (f"samples={samples} must be at least 1" if given is None else "data has no samples")
        )
    for signature in signatures(stock_model):
        before = Runner(stock, signature, name="stock model")
        after = Runner(executed, signature, delegate, name="packed model")
        label = f"{signature.key}/" if signature.key else ""
        checks = {name: Check(label + name) for name in signature.outputs}
        for index in range(samples if given is None else len(given)):
            if given is None:
                sample = random_sample(stock_model, signature, rng)
            else:
                sample = named_sample(signature, given[index])
            expected, actual = before.run(sample), after.run(sample)
            for name, check in checks.items():
                _compare_output(check, expected[name], actual[name])
            for layer in layers:
                if layer.subgraph == signature.subgraph:
                    layer.compare(before.tensor(layer.x), before.tensor(layer.y))
            report.samples += 1
        report.outputs += checks.values()
    for layer in layers:
        if not layer.compared:  # in a subgraph that only control flow calls
            layer.compare_alone(stock, stock_model, rng)
    report.layers = [layer.check for layer in layers]
    return report


def _delegate_available() -> bool:
    try:
        delegate_path()
    except DelegateError:
        return False
    return True


def _compare_output(check: Check, expected: np.ndarray, actual: np.ndarray) -> None:
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        check.ok, check.note = False, f"{actual.dtype}{actual.shape}, not {expected.shape}"
        return
    if expected.dtype.kind not in "fiub":
        check.ok = check.ok and bool(np.array_equal(expected, actual))
        return
    wide = expected.astype(np.float64)
    error = float(np.abs(wide - actual.astype(np.float64)).max(initial=0.0))
    if expected.dtype.kind == "f":
        check.limit = OUTPUT_TOLERANCE
        error /= float(np.abs(wide).max(initial=0.0)) or 1.0
    check.add(error)


def _packed_layers(model: Any, stock_model: Any) -> list[_PackedLayer]:
    layers = []
    labels = layer_names(model)
    if len(model.subgraphs) != len(stock_model.subgraphs):
        raise ModelError("the packed model has other subgraphs than the stock model")
    for number, graph in enumerate(model.subgraphs):
        stock_graph = stock_model.subgraphs[number]
        names = {text(tensor.name): index for index, tensor in enumerate(stock_graph.tensors)}
        writers = {tensor: op for op in graph.operators for tensor in indices(op.outputs)}
        for position, operator in enumerate(graph.operators):
            if operator_name(model, operator) not in PACKED_OPS:
                continue
            layer = _PackedLayer(model, number, operator, labels[number, position])
            if text(graph.tensors[layer.x].name) not in names and layer.x in writers:
                layer.take_factors(model, graph, writers[layer.x])
            # A file that was packed by us keeps tensor numbers; one that was unpacked and packed
            # again need not, so tensors are matched by name.
            for role in ("x", "y"):
                name = text(graph.tensors[getattr(layer, role)].name)
                if name not in names:
                    raise ModelError(f"the stock model has no tensor {name!r}")
                setattr(layer, role, names[name])
            layers.append(layer)
    return layers


class _PackedLayer:
    """A packed operator; x and y are the tensors of the stock model that it reads and writes."""

    def __init__(self, model: Any, subgraph: int, operator: Any, name: str) -> None:
        graph = model.subgraphs[subgraph]
        inputs = indices(operator.inputs)
        self.subgraph = subgraph
        self.x, self.y = inputs[0], indices(operator.outputs)[0]
        self.compared = False
        self._op: PackedOp = read_packed_op(model, graph, operator)
        self._fully_connected = operator_name(model, operator) == FULLY_CONNECTED
        self._bias = None if inputs[3] < 0 else constant(model, graph.tensors[inputs[3]])
        self._quantization = _quantization(graph, self.x, self.y, self._op)
        limit = LAYER_TOLERANCE if self._quantization is None else 0.0
        self.check = Check(name, limit=limit)
        bits = BitCounter(model, graph).bits(self.x)
        if self._quantization is not None and bits < 8:
            self.check.note = f"{bits}-bit input"
        self._factors: np.ndarray | None = None

    def take_factors(self, model: Any, graph: Any, operator: Any) -> None:
        """Reads a MUL that conversion put before the layer; in the stock model, the layer's filters
        hold its factors."""
        inputs = indices(operator.inputs)
        if operator_name(model, operator) == "MUL" and len(inputs) == 2 and min(inputs) >= 0:
            self._factors = constant(model, graph.tensors[inputs[1]])
            if self._factors is not None:
                self.x = inputs[0]

    def compare(self, x: np.ndarray, expected: np.ndarray) -> None:
        """Runs the specification on the stock layer's input, against the stock layer's output."""
        self.compared = True
        if self._factors is not None:
            x = x * self._factors
        actual = self._run(x)
        if actual.shape != expected.shape:
            self.check.ok = False
            self.check.note = f"shape {actual.shape} instead of {expected.shape}"
            return
        error = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
        if self._quantization is None:
            error /= np.maximum(self._magnitude(x).reshape(error.shape), 1e-30)
        elif self._fully_connected and error.any():
            # Old runtimes' kernels round twice here (docs/format.md); anything else is wrong.
            older = np.abs(self._run(x, old_kernel=True).astype(np.int64) - expected)
            if not older.any():
                self.check.note = "equal by the rounding of old runtimes"
                error = older.astype(np.float64)
        self.check.add(float(error.max(initial=0.0)))

    def compare_alone(self, stock: bytes, stock_model: Any, rng: np.random.Generator) -> None:
        """As `compare`, on random input to the stock operator cut out of its model."""
        single = extract_operator(stock, self.subgraph, self.y)
        runner = Runner(
            single, Signature("", 0, {"x": self.x}, {"y": self.y}), name=self.check.name
        )
        tensor = stock_model.subgraphs[self.subgraph].tensors[self.x]
        x = random_tensor(tensor, self.check.name, rng)
        self.compare(x, runner.run({"x": x})["y"])

    def _run(self, x: np.ndarray, **rule: bool) -> np.ndarray:
        operator = reference.fully_connected if self._fully_connected else reference.conv_2d
        op = self._op
        return operator(x, op.filters, op.options, self._bias, self._quantization, **rule)

    def _magnitude(self, x: np.ndarray) -> np.ndarray:
        """Sum of |weight * x| + |bias| of each output: what float rounding errors grow with."""
        dense = np.abs(unpack_filters(self._op.filters))
        if self._fully_connected:
            x = x.reshape(-1, 1, 1, self._op.options.in_channels)
        sums = reference.window_sums(np.abs(x), dense, self._op.options)
        return sums if self._bias is None else sums + np.abs(self._bias)


def _quantization(graph: Any, x: int, y: int, op: PackedOp) -> reference.Int8Quantization | None:
    if op.filter_scales is None:
        return None
    scales, zeros = [], []
    for index in (x, y):
        quantization = graph.tensors[index].quantization
        if quantization is None or quantization.scale is None or len(quantization.scale) != 1:
            raise ModelError(f"tensor {index} of an int8 packed operator has no single scale")
        scales.append(float(quantization.scale[0]))
        zero_point = quantization.zeroPoint
        zeros.append(0 if zero_point is None or not len(zero_point) else int(zero_point[0]))
    return reference.Int8Quantization(scales[0], zeros[0], op.filter_scales, scales[1], zeros[1])

"""Where a .tflite file and the Keras model that it was made from part.

Tensors carry the names of the Keras layers whose operations they end with: the output of
'model/relu/Relu;model/conv/Conv2D' is that of layer 'relu'. Both sides run on the same samples, and
each such tensor is compared with its layer's output.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tf_signbin.convert.interpret import Runner, named_sample, random_sample, signatures
from tf_signbin.convert.rewrite import unpack
from tf_signbin.format.model import indices, read_model, text

# Float outputs: error relative to the layer's largest magnitude. int8: one step of its scale, which
# is what two ways of rounding can be apart.
FLOAT_LIMIT = 1e-4
INT8_LIMIT = 1.0


@dataclass
class LayerDifference:
    """A Keras layer's output against the file's tensor.

    error: the largest one; in steps of the tensor's scale for int8, else relative to the layer's
    largest magnitude. share: of elements further apart than the limit.
    """

    layer: str
    tensor: str
    unit: str
    error: float = 0.0
    share: float = 0.0

    @property
    def limit(self) -> float:
        return INT8_LIMIT if self.unit == "steps" else FLOAT_LIMIT

    @property
    def ok(self) -> bool:
        return self.error <= self.limit * 1.001  # steps are computed in floating point


@dataclass
class KerasReport:
    """Layers in the order in which the file computes them."""

    samples: int = 0
    layers: list[LayerDifference] = field(default_factory=list)

    @property
    def first(self) -> LayerDifference | None:
        """The first layer that differs by more than rounding."""
        return next((layer for layer in self.layers if not layer.ok), None)

    @property
    def ok(self) -> bool:
        return self.first is None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            **dataclasses.asdict(self),
            "first": None if self.first is None else self.first.layer,
            "ok": self.ok,
        }

    def __str__(self) -> str:
        lines = [
            f"compared {len(self.layers)} layers with Keras on {self.samples} samples: "
            + ("equal but for rounding" if self.ok else "DIFFERENT")
        ]
        if self.first is not None:
            lines.append(
                f"first layer that differs: {self.first.layer}, by {self.first.error:.3g} "
                f"{self.first.unit} ({self.first.share:.1%} of its outputs beyond the limit)"
            )
        for layer in self.layers:
            verdict = "ok" if layer.ok else "DIFFERS"
            lines.append(f"  {verdict:7} {layer.layer}: {layer.error:.3g} {layer.unit}")
        return "\n".join(lines)


def verify_keras(
    model: Any,
    data: bytes,
    samples: Iterable[Any] | None = None,
    *,
    count: int = 2,
    seed: int = 0,
) -> KerasReport:
    """Compares a file, run by TFLite's reference kernels, with its Keras model, layer by layer.

    Args:
      model: functional or sequential, of either Keras.
      data: the .tflite file, packed or not, with float inputs.
      samples: as a representative_dataset yields them; default `count` random ones from `seed`.

    Raises:
      ValueError: the model's layers are not known, the inputs do not fit, or no layer of the model
        gave a tensor of the file its name.
      ModelError: the file is damaged.
    """
    plain = unpack(data)
    tree = read_model(plain)
    signature = signatures(tree)[0]
    outputs = _layer_outputs(model)
    compared = _matched(tree, signature, outputs, str(model.name))
    if not compared:
        raise ValueError(
            f"no tensor of the file has the name of a layer of {model.name!r}; was the file made "
            "of this model?"
        )
    keras_outputs = _calling(model, [outputs[layer.layer] for _, layer in compared])
    runner = Runner(plain, signature)
    report = KerasReport(layers=[layer for _, layer in compared])
    rng = np.random.default_rng(seed)
    if samples is None:
        samples = [random_sample(tree, signature, rng) for _ in range(count)]
    for sample in samples:
        named = named_sample(signature, sample)
        runner.run(named)
        expected = keras_outputs(_in_order(model, signature, named))
        for (index, layer), value in zip(compared, expected, strict=True):
            _compare(layer, tree.subgraphs[signature.subgraph].tensors[index], value,
                     runner.tensor(index))  # fmt: skip
        report.samples += 1
    return report


def _layer_outputs(model: Any) -> dict[str, Any]:
    """The symbolic output of each layer that is called once and has one output."""
    if not getattr(model, "inputs", None):
        raise ValueError(f"model {model.name!r} is subclassed: its layers' outputs are not known")
    found = {}
    for layer in model.layers:
        try:
            output = layer.output
        except (AttributeError, ValueError):  # called more than once, or never
            continue
        if not isinstance(output, list | tuple | dict) and type(layer).__name__ != "InputLayer":
            found[str(layer.name)] = output
    return found


def _matched(
    tree: Any, signature: Any, outputs: dict[str, Any], model_name: str
) -> list[tuple[int, LayerDifference]]:
    """Tensors that operators write and the layers whose outputs they are, in execution order."""
    graph = tree.subgraphs[signature.subgraph]
    last: dict[str, int] = {}
    for operator in graph.operators:
        for index in indices(operator.outputs):
            layer = layer_of(text(graph.tensors[index].name), outputs, model_name)
            if layer is not None and _fits(outputs[layer], graph.tensors[index]):
                last.pop(layer, None)
                last[layer] = index
    return [
        (index, LayerDifference(layer, text(graph.tensors[index].name), _unit(graph, index)))
        for layer, index in last.items()
    ]


def layer_of(name: str, layers: Iterable[str], model_name: str) -> str | None:
    """The layer of a tensor's first path; a layer's own name may hold slashes.

    The export of Keras 3 calls the model and its layers by their names and '_1'.
    """
    root, _, rest = f"{name.partition(';')[0]}/".partition("/")
    suffix = root[len(model_name) :] if root.startswith(f"{model_name}_") else ""
    inside = [layer for layer in layers if f"/{layer}{suffix}/" in f"/{rest}"]
    return max(inside, key=len) if inside else None


def _fits(output: Any, tensor: Any) -> bool:
    """Whether shapes agree, as far as both are known."""
    wanted, found = list(output.shape)[1:], list(tensor.shape)[1:]
    return len(wanted) == len(found) and all(
        a is None or b == a or b <= 1 for a, b in zip(wanted, found, strict=True)
    )


def _unit(graph: Any, index: int) -> str:
    return "steps" if _scale(graph.tensors[index]) else "relative"


def _scale(tensor: Any) -> float:
    quantization = tensor.quantization
    scale = None if quantization is None else quantization.scale
    return float(scale[0]) if scale is not None and len(scale) == 1 else 0.0


def _calling(model: Any, outputs: list[Any]) -> Any:
    """A function of the model's inputs that gives these outputs, in inference mode."""
    roots = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    if "tf_keras" in roots:
        import tf_keras as keras
    else:
        import keras
    inner = keras.Model(model.inputs, outputs)

    def call(inputs: list[np.ndarray]) -> list[Any]:
        values = inner(inputs, training=False)
        return list(values) if len(outputs) > 1 else [values]

    return call


def _in_order(model: Any, signature: Any, named: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The sample's arrays in the order of the model's inputs."""
    if len(named) == 1:
        return list(named.values())
    names = getattr(model, "input_names", None) or [tensor.name for tensor in model.inputs]
    missing = [name for name in names if name not in named]
    if missing:
        raise ValueError(f"the file has inputs {sorted(named)}, the model {names}")
    return [named[name] for name in names]


def _compare(layer: LayerDifference, tensor: Any, expected: Any, actual: np.ndarray) -> None:
    wanted = np.asarray(expected, np.float64)
    found = actual.astype(np.float64)
    scale = _scale(tensor)
    if scale:
        points = tensor.quantization.zeroPoint
        zero = int(points[0]) if points is not None and len(points) else 0
        found = (found - zero) * scale
        # A layer's output is compared before its fake quantization, which clips it.
        limits = np.iinfo(actual.dtype)
        wanted = np.clip(wanted, (limits.min - zero) * scale, (limits.max - zero) * scale)
    # Constant scalars and batches aside, shapes agree (see _fits).
    unit = scale or float(np.abs(wanted).max(initial=0.0)) or 1.0
    errors = np.abs(found.reshape(wanted.shape) - wanted) / unit
    errors = np.where(np.isnan(errors), np.inf, errors)
    layer.error = max(layer.error, float(errors.max(initial=0.0)))
    layer.share = max(layer.share, float((errors > layer.limit * 1.001).mean()))

"""Runs a .tflite file in-process on TFLite's builtin reference kernels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_signbin.format.errors import ModelError
from tf_signbin.format.model import NUMPY_TYPES, indices, shape_of, text
from tf_signbin.runtime import find_runtime, load_delegate
from tf_signbin.runtime.shapes import chosen_shape

MAX_RANDOM_ELEMENTS = 1 << 27  # 1 GiB while it is made; a file can ask for any size


@dataclass(frozen=True)
class Signature:
    """One way to call a model: `key` is '' for the main subgraph of a model without signatures;
    inputs and outputs map names to tensor numbers of `subgraph`."""

    key: str
    subgraph: int
    inputs: dict[str, int]
    outputs: dict[str, int]


def signatures(model: Any) -> list[Signature]:
    """The signatures of a `ModelT`, in the file's order."""
    found = []
    for signature in model.signatureDefs:
        maps = [
            {text(entry.name): entry.tensorIndex for entry in entries}
            for entries in (signature.inputs, signature.outputs)
        ]
        found.append(Signature(text(signature.signatureKey), signature.subgraphIndex, *maps))
    if found:
        return found
    graph = model.subgraphs[0]
    return [Signature("", 0, _by_name(graph, graph.inputs), _by_name(graph, graph.outputs))]


def _by_name(graph: Any, tensors: Any) -> dict[str, int]:
    named: dict[str, int] = {}
    for position, index in enumerate(indices(tensors)):
        name = text(graph.tensors[index].name)
        named[name if name not in named else f"{name}#{position}"] = index
    return named


class Runner:
    """An interpreter for one signature; without the delegate, it keeps every tensor readable.

    `name` is that of the model in messages.

    Raises:
      RuntimeNotFoundError: no TFLite runtime is installed.
      DelegateError: the delegate cannot be loaded.
      ModelError: here and in every method, the runtime refuses the model or the sample.
    """

    def __init__(
        self, data: bytes, signature: Signature, delegate: bool = False, name: str = "model"
    ) -> None:
        runtime = find_runtime()
        self._signature, self._name = signature, name
        delegates = [load_delegate(runtime=runtime)] if delegate else None
        with self._refusals():
            self._interpreter = runtime.interpreter(
                model_content=data,
                experimental_op_resolver_type=runtime.resolver_type.BUILTIN_REF,
                experimental_preserve_all_tensors=not delegate,
                experimental_delegates=delegates,
            )

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{self._name}: the runtime cannot run it: {error}") from error

    def run(self, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs on inputs by name; returns the outputs by name."""
        with self._refusals():
            return self._run(sample)

    def _run(self, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        signature, interpreter = self._signature, self._interpreter
        if signature.key:
            return dict(interpreter.get_signature_runner(signature.key)(**sample))
        for name, index in signature.inputs.items():
            interpreter.resize_tensor_input(index, sample[name].shape)
        interpreter.allocate_tensors()
        for name, index in signature.inputs.items():
            interpreter.set_tensor(index, sample[name])
        interpreter.invoke()
        return {name: interpreter.get_tensor(i) for name, i in signature.outputs.items()}

    def tensor(self, index: int) -> np.ndarray:
        """A tensor of the signature's subgraph after a run."""
        with self._refusals():
            return np.asarray(self._interpreter.get_tensor(index, self._signature.subgraph))


def named_sample(signature: Signature, sample: Any) -> dict[str, np.ndarray]:
    """A sample of a representative_dataset (dictionary, or list in input order) by input name."""
    if isinstance(sample, Mapping):
        named = {str(name): np.asarray(value) for name, value in sample.items()}
    else:
        values = list(sample) if isinstance(sample, list | tuple) else [sample]
        if len(values) != len(signature.inputs):
            raise ValueError(f"sample has {len(values)} arrays for {len(signature.inputs)} inputs")
        named = {name: np.asarray(v) for name, v in zip(signature.inputs, values, strict=True)}
    if set(named) != set(signature.inputs):
        raise ValueError(
            f"sample has inputs {sorted(named)}; the model has {sorted(signature.inputs)}"
        )
    return named


def random_sample(
    model: Any, signature: Signature, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Random inputs: normal floats, uniform 8-bit integers, 0 or 1 for other integers."""
    tensors = model.subgraphs[signature.subgraph].tensors
    return {name: random_tensor(tensors[i], name, rng) for name, i in signature.inputs.items()}


def random_tensor(tensor: Any, name: str, rng: np.random.Generator) -> np.ndarray:
    """Random contents for a tensor of the schema, of `chosen_shape` where sizes are open."""
    shape = chosen_shape(shape_of(tensor), tensor.shapeSignature)
    numpy_type = NUMPY_TYPES.get(tensor.type)
    if numpy_type is None:
        raise ModelError(f"input {name!r}: no random data for tensor type {tensor.type}; give data")
    if math.prod(shape) > MAX_RANDOM_ELEMENTS:
        raise ModelError(f"input {name!r} has shape {shape}; too large for random data, give data")
    dtype = np.dtype(numpy_type)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    if dtype.name in ("int8", "uint8"):
        return rng.integers(0, 256, shape).astype(np.uint8).view(dtype)
    return rng.integers(0, 2, shape).astype(dtype)

"""Runs model files in a process of its own: whatever a file does, the parent goes on.

    python -m tests.reliability.mutant_worker delegate.so|none BUILTIN_REF|AUTO|...

The second argument is an OpResolverType of LiteRT. Reads paths from standard input and answers each
with a line of JSON: {"error": message}, or {"output": a .npy, "delegated": whether an operator runs
in the delegate}. A path whose answer never comes crashed the process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert import interpreter as litert

CLEAN = (ValueError, RuntimeError, TypeError)  # what LiteRT raises


def run(path: Path, library: str | None, resolver: str) -> dict[str, str | bool]:
    try:
        delegates = (
            [] if library is None else [litert.load_delegate(library, {"log_level": "error"})]
        )
        interpreter = litert.Interpreter(
            model_path=str(path),  # mapped read-only: writing into it is a crash
            experimental_delegates=delegates,
            experimental_op_resolver_type=getattr(litert.OpResolverType, resolver),
        )
        outputs = _invoke(interpreter)
        names = [details["op_name"] for details in interpreter._get_ops_details()]
    except CLEAN as error:
        return {"error": str(error)}
    result = path.with_suffix(".npy")
    np.save(result, np.concatenate([o.astype(np.float64).ravel() for o in outputs] or [[]]))
    try:
        _grow(interpreter)
        _invoke(interpreter)
    except CLEAN:
        pass  # a larger batch need not fit the rest of the model
    return {"output": str(result), "delegated": "DELEGATE" in names}


def _invoke(interpreter: litert.Interpreter) -> list[np.ndarray]:
    interpreter.allocate_tensors()
    for number, details in enumerate(interpreter.get_input_details()):
        rng = np.random.default_rng(number)
        values = rng.integers(-128, 128, details["shape"]).astype(details["dtype"])
        if details["dtype"] == np.float32:
            values /= 64
        interpreter.set_tensor(details["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def _grow(interpreter: litert.Interpreter) -> None:
    """One more in the first dimension of every input."""
    for details in interpreter.get_input_details():
        shape = [int(size) for size in details["shape"]]
        if shape:
            interpreter.resize_tensor_input(details["index"], [shape[0] + 1, *shape[1:]])


def main() -> None:
    library = None if sys.argv[1] == "none" else sys.argv[1]
    for line in sys.stdin:
        print(json.dumps(run(Path(line.strip()), library, sys.argv[2])), flush=True)


if __name__ == "__main__":
    main()

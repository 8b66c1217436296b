"""Runs model files in a process of its own: whatever a file does, the parent goes on.

    python -m tests.reliability.mutant_worker delegate.so|none

Reads paths from standard input and answers each with a line of JSON: {"error": message}, or
{"output": a .npy, "delegated": whether the delegate runs an operator}. A path whose answer never
comes crashed the process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert import interpreter as litert


def run(path: Path, library: str | None) -> dict[str, str | bool]:
    data = path.read_bytes()
    resolver = litert.OpResolverType
    try:
        if library is None:
            interpreter = litert.Interpreter(
                model_content=data, experimental_op_resolver_type=resolver.BUILTIN_REF
            )
        else:
            interpreter = litert.Interpreter(
                model_content=data,
                experimental_delegates=[litert.load_delegate(library, {"log_level": "error"})],
                experimental_op_resolver_type=resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
        interpreter.allocate_tensors()
        for number, details in enumerate(interpreter.get_input_details()):
            rng = np.random.default_rng(number)
            values = rng.integers(-128, 128, details["shape"]).astype(details["dtype"])
            if details["dtype"] == np.float32:
                values /= 64
            interpreter.set_tensor(details["index"], values)
        interpreter.invoke()
        outputs = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    except (ValueError, RuntimeError, TypeError) as error:
        return {"error": str(error)}
    result = path.with_suffix(".npy")
    np.save(result, np.concatenate([o.astype(np.float64).ravel() for o in outputs] or [[]]))
    names = [details["op_name"] for details in interpreter._get_ops_details()]
    return {"output": str(result), "delegated": "DELEGATE" in names}


def main() -> None:
    library = None if sys.argv[1] == "none" else sys.argv[1]
    for line in sys.stdin:
        print(json.dumps(run(Path(line.strip()), library)), flush=True)


if __name__ == "__main__":
    main()

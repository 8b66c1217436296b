"""Where the built delegate is, and how tests run a model with and without it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import interpreter as litert

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "libtf_signbin_delegate.so"


@pytest.fixture(scope="session")
def delegate_path() -> Path:
    """$TF_SIGNBIN_DELEGATE, else the newest build in this tree."""
    if "TF_SIGNBIN_DELEGATE" in os.environ:
        return Path(os.environ["TF_SIGNBIN_DELEGATE"])
    built = [*ROOT.glob(f"build/*/{LIBRARY}"), *ROOT.glob(f"tf_signbin/runtime/{LIBRARY}")]
    assert built, f"{LIBRARY} is not built: cmake -S delegate -B build/dev && ninja -C build/dev"
    return max(built, key=lambda path: path.stat().st_mtime)


class Runner:
    """Runs models in LiteRT with this delegate, or with the builtin reference kernels."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def interpreter(self, model: bytes, **options: object) -> litert.Interpreter:
        delegate = litert.load_delegate(str(self.path), options)
        return litert.Interpreter(
            model_content=model,
            experimental_delegates=[delegate],
            # Nothing but our delegate may take a node.
            experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )

    def run(self, model: bytes, x: np.ndarray, **options: object) -> np.ndarray:
        """Fails unless the delegate ran the model's only node."""
        interpreter = self.interpreter(model, **options)
        names = [op["op_name"] for op in interpreter._get_ops_details()]
        assert len(names) == 2, names
        assert names[1] == "DELEGATE", names
        return invoke(interpreter, x)

    def builtin_reference(self, model: bytes) -> litert.Interpreter:
        return litert.Interpreter(
            model_content=model,
            experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        )

    def run_builtin_reference(self, model: bytes, x: np.ndarray) -> np.ndarray:
        return invoke(self.builtin_reference(model), x)


def invoke(interpreter: litert.Interpreter, x: np.ndarray) -> np.ndarray:
    index = interpreter.get_input_details()[0]["index"]
    if tuple(interpreter.get_input_details()[0]["shape"]) != x.shape:
        interpreter.resize_tensor_input(index, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.fixture(scope="session")
def runner(delegate_path: Path) -> Runner:
    return Runner(delegate_path)

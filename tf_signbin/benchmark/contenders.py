"""The two sides of every comparison: the delegate, and the runtime with XNNPACK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tf_signbin.benchmark.inputs import random_inputs
from tf_signbin.convert.rewrite import pack
from tf_signbin.quiet import quiet
from tf_signbin.runtime import Interpreter, TfliteRuntime, find_runtime


class BenchmarkError(RuntimeError):
    """A comparison that would not be fair or not be one; says why."""


@dataclass(frozen=True)
class Settings:
    """What both sides share (threads, runtime, view), and the delegate's options."""

    threads: int = 1
    runtime: str = "ai_edge_litert"
    delegate_options: dict[str, Any] = field(default_factory=dict)
    view: dict[str, Any] | None = None  # what `views.enter` gave; None: the machine as it is

    def find_runtime(self) -> TfliteRuntime:
        return find_runtime(self.runtime)


def ours(model: bytes, settings: Settings) -> tuple[Interpreter, Callable[[], None]]:
    """Packs and prepares the model with the delegate; the interpreter and its invoke."""
    packed, reports = pack(model)
    if not any(report.status == "packed" for report in reports):
        raise BenchmarkError(f"no layer was packed: {[report.reason for report in reports]}")
    with quiet():
        interpreter = Interpreter(
            packed,
            num_threads=settings.threads,
            runtime=settings.runtime,
            on_unclaimed="error",
            **settings.delegate_options,
        )
        interpreter.allocate_tensors()
    random_inputs(interpreter)
    return interpreter, interpreter.invoke


def stock(model: bytes, settings: Settings) -> tuple[Callable[[], None], str]:
    """Prepares the model in the runtime's default way; its invoke, and whose kernels run it.

    Those are 'XNNPACK' if it took any operator, else 'stock kernels'.
    """
    with quiet():
        interpreter = settings.find_runtime().interpreter(
            model_content=model, num_threads=settings.threads
        )
        interpreter.allocate_tensors()
    names = {details["op_name"] for details in interpreter._get_ops_details()}
    taken = any("XNNPack" in name or name == "DELEGATE" for name in names)
    random_inputs(interpreter)
    return interpreter.invoke, "XNNPACK" if taken else "stock kernels"


def xnnpack(model: bytes, settings: Settings) -> Callable[[], None]:
    """As `stock`; the invoke.

    Raises:
      BenchmarkError: XNNPACK did not take the graph.
    """
    invoke, kernels = stock(model, settings)
    if kernels != "XNNPACK":
        raise BenchmarkError(
            f"XNNPACK took no operator of the dense model in {settings.find_runtime().name}"
        )
    return invoke

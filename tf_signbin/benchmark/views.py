"""Views: this machine as a lesser one, for both sides of a comparison.

XNNPACK asks the processor (CPUID) which kernels it may run, once, and cannot be told otherwise. So
does the delegate. `enter` lets both ask while the thread is stepped through instruction by
instruction: CPUID is then answered without the features that a PC of the view's kind lacks
(delegate/views/view.cc). It needs nothing of the processor but its trap flag, leaves all code as it
is, and looks at what was executed in the end: answers that were given, and no instruction of a
hidden extension in a model that XNNPACK runs. A process stays in the view that it entered.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tf_signbin.benchmark.graph import INT8
from tf_signbin.benchmark.inputs import random_inputs
from tf_signbin.benchmark.layers import LayerShape
from tf_signbin.benchmark.weights import WeightSpec
from tf_signbin.quiet import quiet
from tf_signbin.runtime import delegate_path, find_runtime
from tf_signbin.runtime.delegate import supported_isas

# Each is named as the best instruction set that it leaves, and hides what the ones before it show.
VIEWS = {
    "amx": "a server with AMX (Intel's since Sapphire Rapids)",
    "avx512vnni": "a machine with AVX-512 VNNI, without AMX (Ice Lake, Zen 4)",
    "avxvnni": "a PC with AVX2 and AVX-VNNI (Intel's since 2021)",
    "avx2": "a PC with AVX2 (before 2021; Zen 2 and 3)",
}
_LIBRARY = "libtf_signbin_view.so"


class ViewError(RuntimeError):
    """The machine cannot be shown so, or the runtime did not see it so; says why."""


class _Seen(ctypes.Structure):
    """As delegate/views/view.cc has it: what happened while a view was shown."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("steps", "answers", "feature_leaves", "vex", "vex_dot_products",
                     "tile_products", "evex", "evex_dot_products")
    ]  # fmt: skip

    def executed(self) -> dict[str, int]:
        """Instructions of the watched code by the view that is the first to have them."""
        return {
            "amx": self.tile_products,
            "avx512vnni": self.evex,
            "avxvnni": self.vex_dot_products,
            "avx2": self.vex,
        }


def available_views() -> list[str]:
    """The views that this machine can give, the best first; none but on x86-64 Linux."""
    try:
        library = _library()
    except ViewError:
        return []
    return [view for view in VIEWS if library.tf_signbin_view_available(view.encode())]


def enter(view: str, runtime: str = "ai_edge_litert") -> dict[str, Any]:
    """Shows the runtime's XNNPACK and the delegate the view, for the rest of this process.

    Takes some seconds. To be called before either was used.

    Args:
      view: one of `available_views()`.
      runtime: the runtime that will be measured, as in `find_runtime`.

    Returns:
      What a benchmark's JSON says of it: `name`, `machine`, `cpuid_answers` by who asked, and
      `executed`, the instructions that XNNPACK executed in a small int8 layer, by the view that
      is the first to have them.

    Raises:
      ViewError: the view is not available; the runtime or the delegate had asked before; or
        XNNPACK executed what the view hides.
      DelegateError, RuntimeNotFoundError: as `load_delegate` and `find_runtime`.
    """
    _check_available(view)
    found = find_runtime(runtime)
    model = LayerShape(4, 16, 16).model(INT8, WeightSpec("dense"))
    with quiet():
        with _shown(view, _code_of(found.interpreter.__module__)) as runtime_saw:
            # A single thread: others are not stepped through.
            interpreter = found.interpreter(model_content=model, num_threads=1)
            interpreter.allocate_tensors()
        random_inputs(interpreter)
        with _shown(view, _code_of(found.interpreter.__module__)) as xnnpack_ran:
            interpreter.invoke()
    _check_asked(found.name, runtime_saw)
    hidden = list(VIEWS)[: list(VIEWS).index(view)]
    executed = xnnpack_ran.executed()
    if not executed["avx2"]:
        raise ViewError(
            f"no vector instruction was seen in {found.name}: its kernels are elsewhere"
        )
    if wrong := [name for name in hidden if executed[name]]:
        raise ViewError(
            f"{found.name} executed instructions of {', '.join(wrong)}, which view {view} hides"
        )
    delegate_saw = enter_delegate(view, runtime)
    return {
        "name": view,
        "machine": VIEWS[view],
        "cpuid_answers": {found.name: runtime_saw.answers, "delegate": delegate_saw.answers},
        "executed": executed,
    }


def enter_delegate(view: str, runtime: str = "ai_edge_litert") -> _Seen:
    """As `enter`, but the delegate alone, which takes less time: for tests.

    Raises:
      ViewError: the view is not available, or the delegate had been loaded before.
    """
    _check_available(view)
    # Without the runtime's help, whose many steps would take seconds.
    library = ctypes.PyDLL(str(delegate_path()))
    library.tflite_plugin_create_delegate.restype = ctypes.c_void_p
    library.tflite_plugin_destroy_delegate.argtypes = [ctypes.c_void_p]
    keys, values = ((ctypes.c_char_p * 1)(text) for text in (b"isa", view.encode()))
    with _shown(view, []) as seen:  # an instruction set has the delegate look what there is
        delegate = library.tflite_plugin_create_delegate(keys, values, ctypes.c_size_t(1), None)
    library.tflite_plugin_destroy_delegate(delegate)
    _check_asked("the delegate", seen)
    best = supported_isas(runtime)[0]
    if best != view:
        raise ViewError(f"the delegate runs {best} in view {view}")
    return seen


def _check_available(view: str) -> None:
    library = _library()
    if not library.tf_signbin_view_available(view.encode()):
        has = ", ".join(available_views()) or "none"
        raise ViewError(f"this machine cannot be shown as {view}; views that it can give: {has}")


def _check_asked(who: str, seen: _Seen) -> None:
    if not seen.feature_leaves:
        raise ViewError(
            f"{who} did not ask which processor this is, so it knew before ({seen.answers} CPUIDs "
            f"in {seen.steps} steps): a view must be entered first, in a process of its own"
        )


@contextmanager
def _shown(view: str, watched: list[int]) -> Iterator[_Seen]:
    """This thread sees the view in the block; what happened is known behind it."""
    library, seen = _library(), _Seen()
    ranges = (ctypes.c_size_t * len(watched))(*watched)
    if library.tf_signbin_view_begin(view.encode(), ranges, len(watched) // 2):
        raise ViewError("SIGTRAP cannot be taken, or too many libraries are loaded")
    try:
        yield seen
    finally:
        library.tf_signbin_view_end(ctypes.byref(seen))


def _code_of(module: str) -> list[int]:
    """First address and end of each piece of code that is mapped from the package's folder."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    places = spec.submodule_search_locations if spec else None
    folders = [Path(place).resolve() for place in places or ()]
    addresses = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and "x" in fields[1]:
            parents = Path(fields[5]).parents
            if any(folder in parents for folder in folders):
                addresses += [int(address, 16) for address in fields[0].split("-")]
    return addresses


@functools.cache
def _library() -> ctypes.PyDLL:
    path = Path(__file__).parents[1] / "runtime" / _LIBRARY
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise ViewError(f"views are for Linux on x86-64, not {platform.system()} on "
                        f"{platform.machine()}")  # fmt: skip
    if not path.is_file():
        raise ViewError(f"{path} is missing: run `make setup` in a checkout, or install a wheel")
    library = ctypes.PyDLL(str(path))  # PyDLL: other Python threads wait meanwhile
    library.tf_signbin_view_available.argtypes = [ctypes.c_char_p]
    library.tf_signbin_view_begin.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
    library.tf_signbin_view_end.argtypes = [ctypes.c_void_p]
    library.tf_signbin_view_end.restype = None
    return library

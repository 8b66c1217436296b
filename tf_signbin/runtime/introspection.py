"""What a loaded delegate is doing: the layers it claimed, their kernels and times."""

from __future__ import annotations

import ctypes
import json
from dataclasses import dataclass, replace
from typing import Any

from tf_signbin.runtime.delegate import delegate_path


@dataclass(frozen=True)
class ClaimedLayer:
    """One operator that the delegate runs.

    `layer` is the name of its output tensor, `kernel` for example 'permute_avx512bw_i8_m6'.
    Bytes: prepared weights, and working memory for all threads. The times are microseconds a run,
    0 unless the delegate was loaded with profile=True; stages are summed over threads.
    """

    op: str
    layer: str
    kernel: str
    weight_bytes: int
    workspace_bytes: int
    runs: int
    total_us: float
    tables_us: float
    lookup_us: float
    output_us: float


def claimed_layers(delegate: Any) -> list[ClaimedLayer]:
    """The layers of a delegate from load_delegate(); empty before allocate_tensors()."""
    # The library is loaded already: this only finds it again.
    library = ctypes.CDLL(str(delegate_path()))
    return describe_delegate(library, delegate._get_native_delegate_pointer())


def describe_delegate(library: ctypes.CDLL, pointer: int) -> list[ClaimedLayer]:
    """The layers of the TfLiteDelegate at that address, by the library that made it."""
    describe = _function(library, "tf_signbin_describe")
    describe.argtypes = [ctypes.c_void_p]
    text = describe(pointer)
    if text is None:
        raise MemoryError("the delegate could not describe its layers")
    layers = [ClaimedLayer(**layer) for layer in json.loads(text)["layers"]]
    # The library escapes bytes, one by one; names in models are UTF-8.
    return [
        replace(layer, layer=layer.layer.encode("latin-1").decode("utf-8", "replace"))
        for layer in layers
    ]


def take_error(library: ctypes.CDLL) -> str:
    """Why the library's last call on this thread failed, once; empty: it did not."""
    return str(_function(library, "tf_signbin_take_error")().decode("utf-8", "replace"))


def _function(library: ctypes.CDLL, name: str) -> Any:
    function = getattr(library, name)
    function.restype = ctypes.c_char_p
    return function

"""Registers the quantized layers with Keras, so that files load with the imports alone.

Keras looks the classes of a file up among those that are registered; it imports no other package
for them. Registering needs Keras imported, which takes seconds, pulls TensorFlow in, and is of no
use to a program that only runs a converted model. So it happens as soon as both packages are
there: at once where Keras came first, else right after the import of Keras. Keras 2 is the package
`tf_keras`; its front end needs tensorflow-model-optimization, which may be what imports it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_KERAS2 = ("tf_keras", "tensorflow_model_optimization")


def register_with_keras() -> None:
    """Registers with either Keras now, or as soon as it is imported."""
    for packages, register in ((("keras",), _register_keras3), (_KERAS2, _register_keras2)):
        if packages[0] in sys.modules:
            register()
        else:
            sys.meta_path.insert(0, _AfterImport(packages, register))


def _register_keras3() -> None:
    # Older ones called Keras are Keras 2.
    if getattr(sys.modules["keras"], "__version__", "").startswith("3."):
        importlib.import_module("tf_signbin.train.keras3")


def _register_keras2() -> None:
    # Who imports tf_keras need not want to quantize: what is missing is told when they do.
    with contextlib.suppress(ImportError):
        importlib.import_module("tf_signbin.train.keras2")


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finds the packages as all others do, and registers when the first has been executed.

    Where one of them imports the other, that is when both have been. Others may ask where a package
    is without importing it, so this stays until then.
    """

    def __init__(self, packages: Sequence[str], register: Callable[[], None]) -> None:
        self._packages, self._register = packages, register
        self._executing = 0

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._packages:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            self._register_after(spec.loader)
        return spec

    def _register_after(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            self._executing += 1
            try:
                execute(module)
            finally:
                self._executing -= 1
            if self._executing == 0 and self in sys.meta_path:
                sys.meta_path.remove(self)
                self._register()

        loader.exec_module = exec_module

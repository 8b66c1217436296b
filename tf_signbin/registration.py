"""Registers the quantized layers with Keras 3, so that files load with the imports alone.

Keras looks the classes of a file up among those that are registered; it imports no other package
for them. Registering needs Keras imported, which takes seconds, pulls TensorFlow in, and is of no
use to a program that only runs a converted model. So it happens as soon as both packages are
there: at once where Keras came first, else right after the import of Keras.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_PACKAGE = "keras"


def register_with_keras() -> None:
    """Registers now, or as soon as Keras is imported."""
    if _PACKAGE in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _AfterImport())


def _register() -> None:
    # Older ones called Keras are Keras 2.
    if getattr(sys.modules[_PACKAGE], "__version__", "").startswith("3."):
        importlib.import_module("tf_signbin.train.keras3")


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finds Keras as all others do, and registers when it has been executed.

    Others may ask where Keras is without importing it, so this stays until that has happened.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _PACKAGE:
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
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                _register()

        loader.exec_module = exec_module

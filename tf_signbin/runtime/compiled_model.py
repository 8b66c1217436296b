"""LiteRT's CompiledModel with the delegate as an accelerator."""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tf_signbin.runtime.delegate import delegate_path
from tf_signbin.runtime.errors import DelegateError, RuntimeNotFoundError
from tf_signbin.runtime.interpreter import UNCLAIMED, NothingClaimedWarning
from tf_signbin.runtime.introspection import ClaimedLayer, describe_delegate, take_error
from tf_signbin.runtime.runtimes import find_runtime
from tf_signbin.versions import release

_OLDEST = (2, 2)
# The name is the runtime's choice: delegate/litert/accelerator.h.
_LIBRARY = "libLiteRtGpuAccelerator.so"


def accelerator_folder() -> Path:
    """The folder with the accelerator, for `runtime_path` of LiteRT's Environment and tools.

    Raises:
      DelegateError: the accelerator or the delegate is missing.
    """
    folder = delegate_path().parent
    if not (folder / _LIBRARY).is_file():
        raise DelegateError(
            f"there is no accelerator {_LIBRARY} beside the delegate in {folder}: run `make setup` "
            "in a checkout, or install a wheel for this platform"
        )
    return folder


class CompiledModel:
    """Runs a .tflite model in LiteRT's CompiledModel, signed-binary layers in the delegate.

    Everything that `ai_edge_litert.compiled_model.CompiledModel` offers (get_signature_list,
    create_input_buffers, run_by_index, run_by_name, resize_input_tensor, ...) is here under the
    same name; XNNPACK runs the other layers. New are `claimed_layers`, the delegate's options, and
    errors that say why. Made by `from_file` and `from_buffer`; beside the runtime's arguments:

      num_threads: threads of the runtime and of the delegate; None: one, the runtime's default. Not
        together with `options`, which has cpu_options.num_threads.
      on_unclaimed: what to do when the delegate claims no layer: 'warn', 'error' or 'ignore'.
      **delegate_options: as in load_delegate().

    Raises:
      FileNotFoundError: no such model.
      ValueError: an argument that does not fit, or an environment without the accelerator.
      DelegateError: the libraries are missing, or the delegate refused an option.
      RuntimeNotFoundError: ai-edge-litert is not installed, or older than 2.2.
      RuntimeError: from the runtime, with the delegate's reason; for example a damaged model.
    """

    def __init__(self, model: Any, delegate: int | None) -> None:
        self._model = model
        self._delegate = delegate

    @classmethod
    def from_file(
        cls,
        model_path: str | os.PathLike[str],
        hardware_accel: Any = None,
        environment: Any = None,
        options: Any = None,
        *,
        num_threads: int | None = None,
        on_unclaimed: str = "warn",
        **delegate_options: Any,
    ) -> CompiledModel:
        """As in the runtime; see the class for the other arguments."""
        name = os.fspath(model_path)
        if not Path(name).is_file():
            raise FileNotFoundError(f"there is no model {name}")
        create = functools.partial(_litert("compiled_model").CompiledModel.from_file, name)
        return cls._create(create, name, hardware_accel, environment, options, num_threads,
                           on_unclaimed, delegate_options)  # fmt: skip

    @classmethod
    def from_buffer(
        cls,
        model_data: bytes,
        hardware_accel: Any = None,
        environment: Any = None,
        options: Any = None,
        *,
        num_threads: int | None = None,
        on_unclaimed: str = "warn",
        **delegate_options: Any,
    ) -> CompiledModel:
        """As in the runtime; see the class for the other arguments."""
        create = functools.partial(_litert("compiled_model").CompiledModel.from_buffer, model_data)
        return cls._create(create, "model", hardware_accel, environment, options, num_threads,
                           on_unclaimed, delegate_options)  # fmt: skip

    @staticmethod
    def create_environment(**environment_options: Any) -> Any:
        """An environment with the accelerator, to be shared by models.

        Args:
          **environment_options: of LiteRT's EnvironmentOptions, but for runtime_path.
        """
        module = _litert("environment")
        options = module.EnvironmentOptions(
            runtime_path=str(accelerator_folder()), **environment_options
        )
        return module.Environment.create(options=options)

    @classmethod
    def _create(
        cls,
        create: Callable[..., Any],
        name: str,
        hardware_accel: Any,
        environment: Any,
        options: Any,
        num_threads: int | None,
        on_unclaimed: str,
        delegate_options: dict[str, Any],
    ) -> CompiledModel:
        if on_unclaimed not in UNCLAIMED:
            raise ValueError(f"on_unclaimed={on_unclaimed!r}: must be one of {UNCLAIMED}")
        options = _options(hardware_accel, options, num_threads)
        environment = environment or cls.create_environment()
        accelerator = _accelerator()
        text = ";".join(f"{key}:{value}" for key, value in delegate_options.items())
        for key, value in delegate_options.items():
            if any(mark in f"{key}{value}" for mark in ":;"):
                raise DelegateError(f"delegate option {key}={value!r} has a ':' or a ';'")
        if not accelerator.tf_signbin_litert_options(text.encode()):
            raise DelegateError(f"the delegate's options are too long: {text[:100]}...")
        try:
            model = _explained(create, environment=environment, options=options)
            delegate = accelerator.tf_signbin_litert_delegate()
        finally:
            accelerator.tf_signbin_litert_options(None)
        if delegate is None:
            raise ValueError(
                f"{name}: the environment has no accelerator of this package; make it with "
                "tf_signbin.CompiledModel.create_environment()"
            )
        result = cls(model, delegate)
        if not result.claimed_layers and on_unclaimed != "ignore":
            message = (
                f"{name}: the signed-binary accelerator claimed no layer; everything runs in the "
                "stock runtime. See `tf-signbin inspect` for the reason of each layer"
            )
            if on_unclaimed == "error":
                raise RuntimeError(message)
            warnings.warn(message, NothingClaimedWarning, stacklevel=3)
        return result

    @property
    def claimed_layers(self) -> list[ClaimedLayer]:
        """The layers that the delegate runs; their kernels are chosen when the model first runs.

        Raises:
          ValueError: the model is closed.
        """
        if self._delegate is None:
            raise ValueError("the model is closed")
        return describe_delegate(_accelerator(), self._delegate)

    def close(self) -> None:
        """Releases the model, and the delegate with it."""
        self._delegate = None
        self._model.close()

    def __enter__(self) -> CompiledModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(n for n in dir(self._model) if not n.startswith("_"))})

    def __getattr__(self, name: str) -> Any:
        # Reached for names that this class does not define: the runtime's own.
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._model, name)
        return functools.partial(_explained, value) if callable(value) else value


def _explained(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """The call's result; an error of the runtime gets the delegate's reason, if that failed."""
    # The delegate that the accelerator is linked with. Another copy, loaded before it from another
    # folder, takes the place of the one beside it.
    library = _accelerator()
    take_error(library)  # what an earlier call left
    try:
        return call(*arguments, **named)
    except RuntimeError as error:
        reason = take_error(library)
        if not reason:
            raise
        kind = DelegateError if "delegate option" in reason else RuntimeError
        raise kind(f"{error}: {reason}") from error


def _options(hardware_accel: Any, options: Any, num_threads: int | None) -> Any:
    """LiteRT's Options of these arguments."""
    module = _litert("options")
    hardware = module.HardwareAccelerator
    if num_threads is not None and num_threads < 1:
        raise ValueError(f"num_threads={num_threads}: must be at least 1")
    if options is None:
        options = module.Options(
            hardware_accelerators=hardware.CPU if hardware_accel is None else hardware_accel,
            cpu_options=module.CpuOptions(num_threads=num_threads or 1),
        )
    elif hardware_accel is not None or num_threads is not None:
        raise ValueError(
            "give hardware_accel and num_threads inside options: hardware_accelerators and "
            "cpu_options.num_threads"
        )
    chosen = options.hardware_accelerators
    if not chosen & hardware.CPU or chosen & hardware.GPU:
        raise ValueError(
            f"hardware accelerators {chosen!r}: the signed-binary layers run on the CPU, and this "
            "runtime loads no GPU accelerator beside them; ask for HardwareAccelerator.CPU, or use "
            "ai_edge_litert.compiled_model.CompiledModel for the GPU"
        )
    return options


def _litert(module: str) -> Any:
    """A module of ai_edge_litert, of a version whose accelerators this package makes."""
    version = find_runtime("ai_edge_litert").version
    found = release(version)
    if found is not None and found < _OLDEST:
        raise RuntimeNotFoundError(
            f"tf_signbin.CompiledModel needs ai-edge-litert 2.2 or later, and {version} is "
            "installed: pip install -U ai-edge-litert, or use tf_signbin.Interpreter"
        )
    return importlib.import_module(f"ai_edge_litert.{module}")


@functools.cache
def _accelerator() -> ctypes.CDLL:
    ctypes.CDLL(str(delegate_path()))  # the one that the accelerator needs, by its name
    library = ctypes.CDLL(str(accelerator_folder() / _LIBRARY))
    library.tf_signbin_litert_options.argtypes = [ctypes.c_char_p]
    library.tf_signbin_litert_delegate.restype = ctypes.c_void_p
    return library

"""Keras callbacks that move a quantizer's variables, or watch its weights.

Every schedule is a function of the epoch alone and writes variables of the model, so a run that is
resumed with `initial_epoch` continues exactly. They serve models of Keras 2 and Keras 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tf_signbin.train.api import quantized_kernels
from tf_signbin.train.rules import schedules
from tf_signbin.train.rules.kernels import QuantizedKernel
from tf_signbin.train.rules.quantizers import SignedBinaryQuantizer


class Callback:
    """What `fit` of either Keras calls; it knows of the model only when training begins.

    A subclass of one Keras's Callback would import that Keras before the model is known.
    """

    def __init__(self) -> None:
        self.params: Any = None
        self._model: Any = None

    @property
    def model(self) -> Any:
        """The model in training, whose variables have their current values."""
        # On JAX the state lives outside the model during an epoch.
        synchronize = getattr(self._model, "jax_state_sync", None)
        if synchronize is not None:
            synchronize()
        return self._model

    def set_model(self, model: Any) -> None:
        self._model = model

    def set_params(self, params: Any) -> None:
        self.params = params

    def on_train_begin(self, logs: Any = None) -> None: ...
    def on_train_end(self, logs: Any = None) -> None: ...
    def on_test_begin(self, logs: Any = None) -> None: ...
    def on_test_end(self, logs: Any = None) -> None: ...
    def on_predict_begin(self, logs: Any = None) -> None: ...
    def on_predict_end(self, logs: Any = None) -> None: ...
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None: ...
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None: ...
    def on_batch_begin(self, batch: int, logs: Any = None) -> None: ...
    def on_batch_end(self, batch: int, logs: Any = None) -> None: ...
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None: ...
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None: ...
    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None: ...
    def on_test_batch_end(self, batch: int, logs: Any = None) -> None: ...
    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None: ...
    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None: ...

    # Keras 2 asks which hooks to call per batch, Keras 3 looks for this mark on them.
    for _hook in (on_batch_begin, on_batch_end, on_train_batch_begin, on_train_batch_end,
                  on_test_batch_begin, on_test_batch_end, on_predict_batch_begin,
                  on_predict_batch_end):  # fmt: skip
        _hook._is_default = True  # type: ignore[attr-defined]
    del _hook

    def _implements_train_batch_hooks(self) -> bool:
        return not getattr(self.on_train_batch_end, "_is_default", False)

    def _implements_test_batch_hooks(self) -> bool:
        return False

    def _implements_predict_batch_hooks(self) -> bool:
        return False


class _KernelCallback(Callback):
    """Finds the kernels that the callback is about when training begins."""

    def _applies(self, kernel: QuantizedKernel) -> bool:
        return True

    def _missing(self) -> str:
        """What to do when no kernel applies."""
        return "Quantize the model with tf_signbin.quantize_model first."

    def on_train_begin(self, logs: Any = None) -> None:
        self._kernels = [k for k in quantized_kernels(self.model) if self._applies(k)]
        if not self._kernels:
            raise ValueError(
                f"{type(self).__name__}: no layer of {self.model.name!r} is concerned. "
                f"{self._missing()}"
            )

    @property
    def kernels(self) -> list[QuantizedKernel]:
        """The kernels, with their current values."""
        _ = self.model
        return self._kernels


class EDESchedule(_KernelCallback):
    """Error decay estimator of IR-Net (Qin et al., CVPR 2020, eq. 11).

    t = t_min * 10^(log10(t_max / t_min) * epoch / epochs), k = max(1/t, 1).

    Args:
      epochs: of the whole training.
      t_min, t_max: IR-Net's 0.1 and 10.

    Raises:
      ValueError: no quantizer of the model has estimator='ede'.
    """

    def __init__(self, epochs: int, t_min: float = 0.1, t_max: float = 10.0):
        super().__init__()
        self.epochs, self.t_min, self.t_max = epochs, t_min, t_max

    def _applies(self, kernel: QuantizedKernel) -> bool:
        return "ede_t" in kernel.variables

    def _missing(self) -> str:
        return "Use quantizers with estimator='ede'."

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        t, k = schedules.ede(epoch, self.epochs, self.t_min, self.t_max)
        for kernel in self.kernels:
            kernel.variables["ede_t"].assign(t)
            kernel.variables["ede_k"].assign(k)


class DensitySchedule(_KernelCallback):
    """Moves delta so that the share of effectual weights reaches a target.

    The wanted density falls from its first value d0 to the target d as
    d + (d0 - d) (1 - progress)^3 (Zhu & Gupta, 2017). delta is then the quantile of βW / max|W|
    that leaves this density, and is found anew every `steps` batches while weights move.

    Args:
      target: density, above 0. With a pattern (n, m) it cannot exceed n/m.
      begin, end: epochs between which the density falls; constant after.
      per_layer: each layer reaches the target by its own delta; else one delta for all, so that
        the total does.
      steps: batches between two updates.

    Raises:
      ValueError: no layer is signed-binary.
    """

    def __init__(
        self, target: float, begin: int = 0, end: int = 1, per_layer: bool = False, steps: int = 50
    ):
        super().__init__()
        if not 0.0 < target < 1.0:
            raise ValueError(f"target={target} must be in (0, 1).")
        if not 0 <= begin <= end:
            raise ValueError(f"begin={begin} and end={end} must satisfy 0 <= begin <= end.")
        self.target, self.begin, self.end = target, begin, end
        self.per_layer, self.steps = per_layer, steps

    def _applies(self, kernel: QuantizedKernel) -> bool:
        return isinstance(kernel.quantizer, SignedBinaryQuantizer)

    def _missing(self) -> str:
        return "Its quantizers must be SignedBinaryQuantizer."

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        self._update()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (batch + 1) % self.steps == 0:
            self._update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._update()

    def _update(self) -> None:
        groups = [[k] for k in self.kernels] if self.per_layer else [self.kernels]
        for group in groups:
            start = max(self._start(k) for k in group)
            density = schedules.density(self._epoch, self.begin, self.end, start, self.target)
            pooled = np.concatenate([k.relative_scores() for k in group])
            delta = float(np.clip(np.quantile(pooled, 1.0 - density), 0.0, 0.999))
            for kernel in group:
                kernel.variables["delta"].assign(delta)

    def _start(self, kernel: QuantizedKernel) -> float:
        assert isinstance(kernel.quantizer, SignedBinaryQuantizer)
        return schedules.start_density(kernel.quantizer, self.target)


class PatternSchedule(_KernelCallback):
    """Tightens the n-of-m limit from no limit to the full one, linearly over epochs.

    With tightness τ a weight may be effectual from τ times the n-th largest βW of its group on, so
    weights far below the n largest are cut first. Use it to turn a trained unpatterned model
    into a patterned one, or to let the first epochs choose freely.

    Args:
      begin, end: epochs between which the limit tightens; it holds exactly from `end` on.

    Raises:
      ValueError: no layer has a pattern.
    """

    def __init__(self, begin: int, end: int):
        super().__init__()
        if not 0 <= begin < end:
            raise ValueError(f"begin={begin} and end={end} must satisfy 0 <= begin < end.")
        self.begin, self.end = begin, end

    def _applies(self, kernel: QuantizedKernel) -> bool:
        return "tightness" in kernel.variables

    def _missing(self) -> str:
        return "Give quantize_model a pattern."

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for kernel in self.kernels:
            kernel.variables["tightness"].assign(schedules.progress(epoch, self.begin, self.end))


class LayerStatistics(_KernelCallback):
    """Density, flip ratio and threshold of every quantized layer, each epoch.

    The totals `density` and `flip_ratio` join the epoch's logs, so they show in the progress bar,
    History and CSVLogger (list this callback before CSVLogger). Per layer, they go to TensorBoard
    as `density/<layer>`, `flip_ratio/<layer>` and `threshold/<layer>`.

    * density: share of effectual weights (binary weights: of positive ones).
    * flip ratio: share of weights whose mask bit changed since the last epoch (Larq's metric).
    * threshold: mean Δ over filters.

    Args:
      log_dir: TensorBoard folder, or None.
    """

    def __init__(self, log_dir: str | None = None):
        super().__init__()
        self.log_dir = log_dir

    def on_train_begin(self, logs: Any = None) -> None:
        super().on_train_begin(logs)
        self._writer = None
        if self.log_dir:
            import tensorflow as tf  # its writer of event files serves every backend

            self._summary = tf.summary
            self._writer = tf.summary.create_file_writer(self.log_dir)
        self._masks = [self._mask(kernel) for kernel in self.kernels]

    @staticmethod
    def _mask(kernel: QuantizedKernel) -> np.ndarray:
        return kernel.ops.convert_to_numpy(kernel.mask())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        effectual = flipped = total = 0.0
        rows = {}
        for i, kernel in enumerate(self.kernels):
            mask = self._mask(kernel)
            flips = float(np.sum(mask != self._masks[i]))
            effectual, flipped, total = effectual + mask.sum(), flipped + flips, total + mask.size
            rows[f"density/{kernel.name}"] = float(mask.mean())
            rows[f"flip_ratio/{kernel.name}"] = flips / mask.size
            rows[f"threshold/{kernel.name}"] = kernel.threshold()
            self._masks[i] = mask
        totals = {"density": float(effectual / total), "flip_ratio": flipped / total}
        if logs is not None:
            logs.update(totals)
        if self._writer:
            with self._writer.as_default(step=epoch):
                for name, value in {**rows, **totals}.items():
                    self._summary.scalar(name, value)
            self._writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        if self._writer:
            self._writer.close()

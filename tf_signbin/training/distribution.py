"""Distribution strategies by name."""

from __future__ import annotations

import contextlib
from typing import Any

from tf_signbin.training.choices import STRATEGIES as NAMES
from tf_signbin.training.keras import tf


def make_strategy(name: str, cpu_replicas: int = 0) -> Any:
    """A tf.distribute strategy, or None for 'none'. Must come before other TensorFlow work.

    Args:
      name: 'mirrored' uses all GPUs of this machine; 'multi_worker' the workers of TF_CONFIG, one
        process each.
      cpu_replicas: splits the CPU into that many devices for 'mirrored' without GPUs.
    """
    if name not in NAMES:
        raise ValueError(f"strategy={name!r} is not one of {', '.join(NAMES)}.")
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "none":
        return None
    if cpu_replicas:
        (cpu,) = tf.config.list_physical_devices("CPU")
        devices = [tf.config.LogicalDeviceConfiguration()] * cpu_replicas
        tf.config.set_logical_device_configuration(cpu, devices)
        return tf.distribute.MirroredStrategy([f"cpu:{i}" for i in range(cpu_replicas)])
    return tf.distribute.MirroredStrategy()


def scope(strategy: Any) -> Any:
    """The strategy's scope, or one that does nothing."""
    return strategy.scope() if strategy else contextlib.nullcontext()

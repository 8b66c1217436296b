"""What every measured interpreter is fed with. Needs NumPy only, as devices have it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tf_signbin.runtime.shapes import chosen_shape


def random_inputs(interpreter: Any) -> None:
    """Fills every input: normal values, for int8 of 40 steps deviation; 0 or 1 for other integers.

    An int8 input of few bits (its zero point is 64 or more) gets all its values alike. Sizes
    that the model leaves open are chosen, and the tensors allocated anew.
    """
    rng = np.random.default_rng(1)
    inputs = interpreter.get_input_details()
    shapes = [chosen_shape(details["shape"], details["shape_signature"]) for details in inputs]
    if any(shape != list(d["shape"]) for shape, d in zip(shapes, inputs, strict=True)):
        for shape, details in zip(shapes, inputs, strict=True):
            interpreter.resize_tensor_input(details["index"], shape)
        interpreter.allocate_tensors()
    for shape, details in zip(shapes, inputs, strict=True):
        values: np.ndarray = rng.standard_normal(shape, dtype=np.float32)
        kind = np.dtype(details["dtype"])
        zero_point = details["quantization"][1]
        if kind == np.int8 and zero_point >= 64:
            values = rng.integers(zero_point, 128, shape)
        elif kind in (np.int8, np.uint8):
            middle, limits = (0 if kind == np.int8 else 128), np.iinfo(kind)
            values = np.clip(np.rint(values * 40) + middle, limits.min, limits.max)
        elif kind.kind in "iub":
            values = values > 0
        interpreter.set_tensor(details["index"], values.astype(kind))

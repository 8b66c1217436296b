"""What every measured interpreter is fed with. Needs NumPy only, as devices have it."""

from __future__ import annotations

from typing import Any

import numpy as np


def random_inputs(interpreter: Any) -> None:
    """Fills every input: normal values, for int8 of 40 steps deviation.

    An int8 input of few bits (its zero point is 64 or more) gets all its values alike.
    """
    rng = np.random.default_rng(1)
    for details in interpreter.get_input_details():
        values = rng.standard_normal(details["shape"], dtype=np.float32)
        if details["dtype"] == np.int8:
            zero_point = details["quantization"][1]
            if zero_point >= 64:
                values = rng.integers(zero_point, 128, details["shape"]).astype(np.int8)
            else:
                values = np.clip(np.rint(values * 40), -128, 127).astype(np.int8)
        interpreter.set_tensor(details["index"], values)

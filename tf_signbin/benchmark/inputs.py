"""What every measured interpreter is fed with. Needs NumPy only, as devices have it."""

from __future__ import annotations

from typing import Any

import numpy as np


def random_inputs(interpreter: Any) -> None:
    """Fills every input: normal values, for int8 of 40 steps deviation."""
    rng = np.random.default_rng(1)
    for details in interpreter.get_input_details():
        values = rng.standard_normal(details["shape"], dtype=np.float32)
        if details["dtype"] == np.int8:
            values = np.clip(np.rint(values * 40), -128, 127).astype(np.int8)
        interpreter.set_tensor(details["index"], values)

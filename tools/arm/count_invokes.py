"""Runs in the emulated Python: one marked invoke of each model, for insncount.c.

    count_invokes.py MODEL:ours MODEL:stock ...

Prints one JSON object a model: the kernels of the layers that the delegate runs. `stock` is the
runtime in its default way (XNNPACK where it has it), one thread as `ours`.
"""

import json
import os
import sys

import numpy as np

from tf_signbin.runtime import Interpreter, find_runtime


def fill_inputs(interpreter):
    rng = np.random.default_rng(1)
    for details in interpreter.get_input_details():
        values = rng.standard_normal(details["shape"], dtype=np.float32)
        if details["dtype"] == np.int8:
            values = np.clip(np.rint(values * 40), -128, 127).astype(np.int8)
        interpreter.set_tensor(details["index"], values)


def main():
    for argument in sys.argv[1:]:
        path, _, side = argument.rpartition(":")
        kernels = []
        if side == "ours":
            interpreter = Interpreter(path, num_threads=1, on_unclaimed="error")
            interpreter.allocate_tensors()
            kernels = [layer.kernel for layer in interpreter.claimed_layers]
        else:
            interpreter = find_runtime("auto").interpreter(model_path=path, num_threads=1)
            interpreter.allocate_tensors()
        fill_inputs(interpreter)
        interpreter.invoke()  # first touch, lazy preparation
        os.getppid()
        interpreter.invoke()
        os.getppid()
        print(json.dumps({"kernels": kernels}), flush=True)


if __name__ == "__main__":
    main()

"""Runs in the emulated Python: one marked invoke of each model, for insncount.c.

    count_invokes.py MODEL:ours MODEL:stock ...

Prints one JSON object a model: the kernels of the layers that the delegate runs. `stock` is the
runtime in its default way (XNNPACK where it has it), one thread as `ours`.
"""

import json
import os
import sys

from tf_signbin.benchmark.inputs import random_inputs
from tf_signbin.runtime import Interpreter, find_runtime


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
        random_inputs(interpreter)
        invoke = interpreter.invoke  # Python's look-up of the name is not counted
        invoke()  # first touch, lazy preparation
        os.getppid()
        invoke()
        os.getppid()
        print(json.dumps({"kernels": kernels}), flush=True)


if __name__ == "__main__":
    main()

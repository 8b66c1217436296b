"""How long a network takes to load: the stock runtime alone, the delegate on the stock file, and
the delegate on the packed one. Interleaved; the least of the rounds, in milliseconds of
processor time, which other programs disturb less than time on the clock.

  python tools/load_time.py [--network resnet18] [--activations int8] [--rounds 15]

$TF_SIGNBIN_DELEGATE picks another library, for a comparison.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from tf_signbin.benchmark.networks import NETWORKS, network_model
from tf_signbin.benchmark.weights import WeightSpec
from tf_signbin.convert.rewrite import pack
from tf_signbin.runtime.delegate import load_delegate
from tf_signbin.runtime.runtimes import find_runtime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=NETWORKS, default="resnet18")
    parser.add_argument("--activations", choices=("int8", "float32"), default="int8")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    runtime = find_runtime("ai_edge_litert")
    stock = network_model(args.network, args.activations, WeightSpec())
    packed, _ = pack(stock)

    def load(model: bytes, delegated: bool) -> None:
        delegates = [load_delegate(runtime=runtime, num_threads=1)] if delegated else []
        runtime.interpreter(
            model_content=model, num_threads=1, experimental_delegates=delegates
        ).allocate_tensors()

    cases: dict[str, Callable[[], None]] = {
        "stock alone": lambda: load(stock, False),
        "delegate, stock file": lambda: load(stock, True),
        "delegate, packed file": lambda: load(packed, True),
    }
    fastest = dict.fromkeys(cases, float("inf"))
    for _ in range(args.rounds):
        for name, run in cases.items():
            start = time.process_time()
            run()
            fastest[name] = min(fastest[name], time.process_time() - start)
    for name, seconds in fastest.items():
        print(f"{name:24s}{1e3 * seconds:8.1f} ms")


if __name__ == "__main__":
    main()

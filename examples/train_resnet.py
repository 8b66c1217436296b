"""Trains, converts and measures a residual network: `tf-signbin train` as a program of its own.

    python examples/train_resnet.py --demo                   # what `make demo` runs
    python examples/train_resnet.py --dataset=glyphs --pattern=2:10 --run_dir=out/glyphs

`--help` lists the options. The run is tf_signbin.training.run, the demonstration
tf_signbin.training.demo.
"""

from __future__ import annotations

import sys

from tf_signbin.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))

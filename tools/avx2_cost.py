"""Instructions of one invoke on an x86 CPU with AVX2 and no AVX-512: ours and XNNPACK's, counted.

    python tools/avx2_cost.py        needs Debian's qemu-user; writes docs/results/avx2_cost.json

XNNPACK cannot be told to leave AVX-512 alone, so both run under qemu as on a Haswell, where each
picks its AVX2 kernels. Counts are exact; they are not time (docs/performance.md).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from datetime import date
from pathlib import Path
from statistics import geometric_mean
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from arm import emulation  # noqa: E402
from arm_cost import (  # noqa: E402
    COUNT_INVOKES,
    Case,
    build_plugin,
    counted_spans,
    model_names,
    write_models,
)

from tf_signbin.benchmark.networks import NETWORKS  # noqa: E402

RESULTS = ROOT / "docs/results/avx2_cost.json"
CORE = "Haswell"
GETPPID = 110  # x86-64


def count(cases: list[Case], folder: Path) -> list[dict[str, Any]]:
    """Instructions and kernels of each case."""
    models, _ = write_models(cases, folder)
    out = folder / "spans.json"
    command = [
        "qemu-x86_64", "-cpu", CORE, "-plugin", f"{build_plugin()},mark={GETPPID},out={out}",
        sys.executable, COUNT_INVOKES, *models,
    ]  # fmt: skip
    # Under qemu the interpreter does not find its virtual environment by itself.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    spans = counted_spans(CORE, command, environment, out, len(cases))
    return [
        {"model": case.model, "case": case.key}
        | {key: span[key] for key in ("instructions", "kernels")}
        for case, span in zip(cases, spans, strict=True)
    ]


def main() -> None:
    emulation.require("qemu-x86_64")
    models = model_names()
    kinds = ("int8", "float32")
    cases = [Case(m, k, side) for m in models for k in kinds for side in ("stock", "ours")]
    with tempfile.TemporaryDirectory() as folder:
        rows = count(cases, Path(folder))
    found = {(row["model"], row["case"]): row["instructions"] for row in rows}
    for kind in kinds:
        ratios = [found[m, f"stock_{kind}"] / found[m, f"ours_{kind}"] for m in models]
        for model, ratio in zip(models, ratios, strict=True):
            stock, ours = (found[model, f"{side}_{kind}"] / 1e6 for side in ("stock", "ours"))
            print(f"{model:10} {kind:8} XNNPACK {stock:6.2f} M   ours {ours:6.2f} M   {ratio:.2f}x")
        layers = [r for model, r in zip(models, ratios, strict=True) if model not in NETWORKS]
        print(f"geometric mean of the layers, {kind}: {geometric_mean(layers):.2f}x")
    RESULTS.write_text(
        json.dumps({"date": date.today().isoformat(), "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()

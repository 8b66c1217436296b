"""keras.applications, signed-binary with int8 activations: layers packed, file sizes, speed.

    python tools/applications.py [NAME ...]    measures (default: all), then writes the table
    python tools/applications.py --table       only writes docs/applications.md's table

Networks have random weights; none of the three figures depends on what they were trained for. The
file without packed layers is the same network in stock int8 operators, which XNNPACK runs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "docs/results/applications.json", ROOT / "docs/applications.md"
_MARKS = re.compile(r"(<!-- results:begin -->\n).*?(<!-- results:end -->)", re.DOTALL)

EMPTY: dict[str, Any] = {"command": "tools/applications.py", "threads": 1, "networks": {}}
# One of each family of keras.applications: the size that it is measured at, its own.
SIZES = {
    "VGG16": 224,
    "ResNet50": 224,
    "ResNet50V2": 224,
    "InceptionV3": 299,
    "InceptionResNetV2": 299,
    "Xception": 299,
    "DenseNet121": 224,
    "MobileNet": 224,
    "MobileNetV2": 224,
    "MobileNetV3Small": 224,
    "MobileNetV3Large": 224,
    "NASNetMobile": 224,
    "EfficientNetB0": 224,
    "EfficientNetV2B0": 224,
    "ConvNeXtTiny": 224,
}


def build(name: str, size: int, classes: int = 1000) -> Any:
    """The float network, on images [size, size, 3]."""
    import keras

    factory = getattr(keras.applications, name)
    return factory(weights=None, input_shape=(size, size, 3), classes=classes)


def measure(name: str, seconds: float) -> dict[str, Any]:
    import numpy as np

    import tf_signbin
    from tf_signbin.benchmark.contenders import Settings, ours, xnnpack
    from tf_signbin.benchmark.machine import describe_machine
    from tf_signbin.benchmark.timing import interleave
    from tf_signbin.convert.report import ConversionReport

    size = SIZES[name]
    model = tf_signbin.quantize_model(build(name, size), activations="int8")
    rng = np.random.default_rng(0)
    model(rng.uniform(-1, 1, (2, size, size, 3)).astype(np.float32), training=True)  # ranges
    report = ConversionReport()
    packed = tf_signbin.convert(model, strict=True, report=report)
    plain = tf_signbin.unpack(packed)
    settings = Settings()
    interpreter, invoke = ours(plain, settings)
    timings = interleave({"ours": invoke, "xnnpack": xnnpack(plain, settings)}, seconds=seconds)
    info = tf_signbin.inspect_model(packed)
    packed_layers = [layer for layer in info.layers if layer.status == "already packed"]
    return {
        "size": size,
        "layers": len(info.layers),
        "packed_layers": len(packed_layers),
        "macs": sum(layer.macs_per_sample for layer in info.layers),
        "packed_macs": sum(layer.macs_per_sample for layer in packed_layers),
        "claimed": len(interpreter.claimed_layers),
        "int8_bytes": len(plain),
        "packed_bytes": len(packed),
        "ours_ms": timings["ours"].median_ms,
        "xnnpack_ms": timings["xnnpack"].median_ms,
        "ratio": timings["xnnpack"].median_ms / timings["ours"].median_ms,
        "spread": {key: timing.to_dict() for key, timing in timings.items()},
        "machine": describe_machine(settings.find_runtime()),
    }


def table() -> str:
    """Markdown of what is in RESULTS."""
    networks = json.loads(RESULTS.read_text())["networks"]
    lines = [
        "| network | layers packed | of the multiplications | file, int8 | packed | "
        "XNNPACK int8, ms | ours, ms | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, size in SIZES.items():
        if name not in networks:
            continue
        row = networks[name]
        stock, packed = row["int8_bytes"] / 1e6, row["packed_bytes"] / 1e6
        cells = [
            f"{name}, {size}x{size}",
            f"{row['packed_layers']} of {row['layers']}",
            f"{row['packed_macs'] / row['macs']:.0%}",
            f"{stock:.1f} MB",
            f"{packed:.1f} MB ({stock / packed:.1f}x)",
            f"{row['xnnpack_ms']:.1f}",
            f"{row['ours_ms']:.1f}",
            f"{row['ratio']:.2f}x",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    machines = {
        f"{row['machine']['cpu']} ({', '.join(row['machine']['cpu_features'])}), "
        f"{row['machine']['runtime']}"
        for row in networks.values()
    }
    return "\n".join([*lines, "", f"{'; '.join(sorted(machines))}.", ""])


def with_table(text: str) -> str:
    return _MARKS.sub(lambda match: match[1] + table() + match[2], text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks; default all")
    parser.add_argument("--seconds", type=float, default=20, help="to time one network")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    for name in [] if arguments.table else arguments.names or SIZES:
        print(name, file=sys.stderr)
        row = measure(name, arguments.seconds)
        # Each network's figures are kept, whatever becomes of the next.
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else EMPTY
        results["networks"][name] = row
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(with_table(PAGE.read_text()))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()

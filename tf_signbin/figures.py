"""What all pictures share: colours, clean axes, files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tf_signbin.convert.files import replacing

COLOURS = {
    "ours": "#0b6e4f",
    "signed_binary": "#0b6e4f",
    "pattern": "#58b368",
    "few_bits": "#2a6f97",
    "both": "#89c2d9",
    "ternary": "#8e3b8a",
    "binary": "#333333",
    "xnnpack_int8": "#c0752a",
    "xnnpack_fp32": "#6b7a8f",
}
LABELS = {
    "ours": "tf_signbin",
    "signed_binary": "signed-binary",
    "ternary": "ternary",
    "binary": "binary",
    "xnnpack_int8": "XNNPACK int8",
    "xnnpack_fp32": "XNNPACK fp32",
}


def pyplot() -> Any:
    """matplotlib's pyplot, drawing into files only."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as module

    return module


def clean(axes: Any) -> None:
    """No frame above and at the right; a legend without a box, if there is anything to name."""
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def save(figure: Any, path: str | os.PathLike[str], default: tuple[str, ...]) -> list[Path]:
    """Writes the figure and closes it; without a suffix, `path` gets each of `default`."""
    target = Path(path)
    files = [target] if target.suffix else [Path(f"{path}{suffix}") for suffix in default]
    for file in files:
        with replacing(file) as temporary:
            figure.savefig(temporary, dpi=150)
    pyplot().close(figure)
    return files
